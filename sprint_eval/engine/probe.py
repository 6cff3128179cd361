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
_AGREEMENT = 0.5


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
    half = model.dtype not in _TOLERANCE and len(variants) > 1
    allowed = _TOLERANCE.get(model.dtype, _TOLERANCE_ELSEWHERE) * float(plain.abs().max())
    # A model that has lost half of its heads may blow rounding up to any size (a fine-tuned SmolLM2 does):
    # in half precision that variant is judged by what the loss does alone.
    compared = slice(-1) if half else slice(None)
    found = float((shared[compared] - plain[compared]).abs().max())
    if not found <= allowed:  # nor is what is not a number within the tolerance
        return f"logits of a trial run differ from the plain model's by {found:.2g}, more than {allowed:.2g}"
    if not half:
        return None
    agreement = _agreement(shared, plain)
    if agreement >= _AGREEMENT:
        return None
    return (
        f"what pruned heads do to the logits of a trial run agrees with the plain model to {agreement:.2f}, "
        f"less than {_AGREEMENT}"
    )


def _agreement(shared: Tensor, plain: Tensor) -> float:
    """Cosine of what a variant changes, shared and plain; the lowest of those that rounding cannot hide.

    In half precision the tolerance is wider than what one head does: a mask that did nothing would pass.
    """
    changed, expected = shared[1:] - shared[0], plain[1:] - plain[0]
    cosines = torch.nn.functional.cosine_similarity(changed, expected, dim=1)
    clear = expected.norm(dim=1) > 2 * (shared[0] - plain[0]).norm()
    clear[-1] = True  # half of all heads from the middle on
    return float(cosines[clear].min())


def _variants(model: Any) -> list[HeadSet]:
    """The base; every other head of a layer in the middle, of the last one, and of all from the middle on."""
    heads = HeadMasker(model).layout.heads
    layers = [layer for layer, count in enumerate(heads.heads_per_layer) if count]
    if not layers:
        return [HeadSet()]
    late = layers[len(layers) // 2 :]

    def half(*chosen: int) -> HeadSet:
        return HeadSet.of(*(Head(i, head) for i in chosen for head in range(0, heads.heads_per_layer[i], 2)))

    return list(dict.fromkeys([HeadSet(), half(late[0]), half(late[-1]), half(*late)]))


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
    for index, variant in enumerate([*variants, variants[0]]):  # twice one that shares all of its cells
        keys = segments.keys(variant)
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
