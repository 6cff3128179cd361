"""Speed of a cut model against its base: paired runs in one process, prefill and decoding apart."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

SHAPES = ((1, 256), (1, 1024), (16, 256), (16, 1024))
"""Batch and context of each point."""

DECODED = 16
"""Tokens decoded after each context."""

_FEWEST_PAIRS = 6


@dataclass(frozen=True)
class SpeedPoint:
    """One comparison.

    Attributes:
        what: ``"prefill"`` or ``"decode"``.
        batch, context: rows, and tokens before the measured ones (decode) or measured (prefill).
        base_tokens_per_second, cut_tokens_per_second: from the median times.
        ratio: median over pairs of base time / cut time; above 1 the cut model is faster.
        low, high: 95 % bootstrap interval of that median.
        pairs: pairs measured.
    """

    what: str
    batch: int
    context: int
    base_tokens_per_second: float
    cut_tokens_per_second: float
    ratio: float
    low: float
    high: float
    pairs: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def fitting(model: Any, shapes: Sequence[tuple[int, int]] = SHAPES) -> list[tuple[int, int]]:
    """The shapes whose context and decoded tokens the model has positions for."""
    most = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return [shape for shape in shapes if most is None or shape[1] + DECODED <= most]


@torch.no_grad()
def measure(
    base: Any,
    cut: Any,
    shapes: Sequence[tuple[int, int]] = SHAPES,
    decode_tokens: int = DECODED,
    pairs: int = 9,
    budget_seconds: float = 60.0,
    progress: Callable[[SpeedPoint], None] | None = None,
) -> list[SpeedPoint]:
    """Time both models in turn on the same random tokens.

    The order within a pair alternates, so that a drift of the machine favours neither.

    Args:
        decode_tokens: tokens decoded a time, after the context.
        pairs: pairs of runs a point, fewer (at least 6, below which no interval of a median can be
            one of 95 %) where they would take longer than ``budget_seconds``.
    """
    cut.to(base.device)
    points = []
    for batch, context in shapes:
        generator = torch.Generator().manual_seed(0)
        vocabulary = base.config.get_text_config().vocab_size
        ids = torch.randint(0, vocabulary, (batch, context), generator=generator).to(base.device)
        times: dict[str, list[tuple[float, float]]] = {"prefill": [], "decode": []}
        started = time.perf_counter()
        for pair in range(-1, pairs):  # the first pair warms up
            order = (base, cut) if pair % 2 else (cut, base)
            found = {id(model): _time(model, ids, decode_tokens) for model in order}
            if pair >= 0:
                for index, what in enumerate(times):
                    times[what].append((found[id(base)][index], found[id(cut)][index]))
            spent = time.perf_counter() - started
            if pair + 1 >= _FEWEST_PAIRS and spent + spent / (pair + 2) > budget_seconds:
                break
        for what, tokens in (("prefill", batch * context), ("decode", batch * decode_tokens)):
            points.append(_point(what, batch, context, tokens, times[what]))
            if progress is not None:
                progress(points[-1])
    return points


def _time(model: Any, ids: torch.Tensor, decode_tokens: int) -> tuple[float, float]:
    """Seconds of the prefill and of decoding."""
    started = _now(ids.device)
    out = model(ids, use_cache=True, logits_to_keep=1)
    filled = _now(ids.device)
    token, cache = out.logits[:, -1:].argmax(-1), out.past_key_values
    for _ in range(decode_tokens):
        out = model(token, past_key_values=cache, use_cache=True, logits_to_keep=1)
        token = out.logits[:, -1:].argmax(-1)
    return filled - started, _now(ids.device) - filled


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _point(what: str, batch: int, context: int, tokens: int, times: list[tuple[float, float]]) -> SpeedPoint:
    ratios = np.array([before / after for before, after in times])
    rng = np.random.default_rng(0)
    medians = np.median(ratios[rng.integers(0, len(ratios), (2000, len(ratios)))], axis=1)
    before, after = (statistics.median(pair[i] for pair in times) for i in range(2))
    low, high = np.quantile(medians, [0.025, 0.975])
    return SpeedPoint(
        what=what,
        batch=batch,
        context=context,
        base_tokens_per_second=tokens / before,
        cut_tokens_per_second=tokens / after,
        ratio=float(np.median(ratios)),
        low=float(low),
        high=float(high),
        pairs=len(times),
    )
