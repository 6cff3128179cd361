"""Is sharing safe on this model? Tried out before it is relied on.

Instead of a list of architectures that are believed to work, a short forward through the shared
path is compared with the plain model under the same head masks. What fails is decoded plainly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from sprint_eval.engine.cache import Cache, Prefix
from sprint_eval.engine.plan import Planner
from sprint_eval.engine.request import Request
from sprint_eval.engine.runner import Runner
from sprint_eval.engine.segments import Segments
from sprint_eval.engine.sequence import Sequence
from sprint_eval.engine.settings import DecodingSettings
from sprint_eval.engine.text import StopChecker
from sprint_eval.engine.tree import AnswerTree
from sprint_eval.heads import Head, HeadSet
from sprint_eval.masking import HeadMasker

if TYPE_CHECKING:
    from torch import Tensor

_PREFIX, _LENGTH = 3, 9  # tokens of the shared prefix and of the whole prompt
_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3}  # of the largest logit; rounding decides elsewhere
_TOLERANCE_ELSEWHERE = 0.1


def why_unsafe(model: Any) -> str | None:
    """Compare the shared path with the plain model; the difference, or ``None`` where they agree."""
    if model.training:
        return "the model is in training mode"
    variants = _variants(model)
    try:
        shared = _shared_logits(model, variants)
        plain = _plain_logits(model, variants)
    except Exception as error:  # whatever an unknown architecture stumbles over, plain decoding may do
        return f"a trial run failed ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
    if not bool(torch.isfinite(plain).all()):
        return "a trial run gave logits that are not finite"
    allowed = _TOLERANCE.get(model.dtype, _TOLERANCE_ELSEWHERE) * float(plain.abs().max())
    found = float((shared - plain).abs().max())
    if found <= allowed:
        return None
    return f"logits of a trial run differ from the plain model's by {found:.2g}, more than {allowed:.2g}"


def _variants(model: Any) -> list[HeadSet]:
    """The base, a head in the middle, one in the last layer, and both."""
    heads = HeadMasker(model).layout.heads
    layers = [layer for layer, count in enumerate(heads.heads_per_layer) if count]
    if not layers:
        return [HeadSet()]
    middle, last = Head(layers[len(layers) // 2], 0), Head(layers[-1], 0)
    return list(dict.fromkeys([HeadSet(), HeadSet.of(middle), HeadSet.of(last), HeadSet.of(middle, last)]))


def _prompt(model: Any) -> tuple[int, ...]:
    vocabulary = int(model.config.get_text_config().vocab_size)
    return tuple((7 * place + 3) % vocabulary for place in range(_LENGTH))


def _shared_logits(model: Any, variants: list[HeadSet]) -> Tensor:
    """Next-token logits through the shared path: prompt but one token, then that token."""
    prompt = _prompt(model)
    heads = HeadMasker(model).layout.heads
    segments = Segments(variants, heads.num_layers)
    cache = Cache(segments, _LENGTH * len(variants))
    tree = AnswerTree(Prefix(prompt[:_PREFIX]), prompt[_PREFIX:-1])
    checker = StopChecker(None, (), DecodingSettings(()))
    sequences = []
    for index, variant in enumerate(variants):
        keys = segments.keys(variant)
        tree.join(keys)
        request = Request(prompt, variant)
        sequences.append(Sequence(index, request, tree, keys, segments.order(variant), checker))
    planner, runner = Planner(segments, cache, model.device), Runner(model, segments, cache)
    with runner.open():
        runner.run(planner.plan(sequences))
        for sequence in sequences:
            sequence.path, sequence.pending = sequence.pending, [sequence.tip.child(prompt[-1])]
        plan = planner.plan(sequences)
        logits = runner.run(plan)
    rows = {sequence.index: places[0] for sequence, places in plan.decisions}
    return logits[[rows[index] for index in range(len(variants))]].float().cpu()


def _plain_logits(model: Any, variants: list[HeadSet]) -> Tensor:
    ids = torch.tensor([_prompt(model)] * len(variants), device=model.device)
    with torch.no_grad(), HeadMasker(model).rows(variants):
        logits: Tensor = model(input_ids=ids, use_cache=False).logits[:, -1]
    return logits.float().cpu()
