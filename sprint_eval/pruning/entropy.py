"""Attention entropy of every head, measured while the model runs, without whole attention maps.

The maps are visited in tiles and only running sums are kept, so that memory depends neither on
the length of the texts nor on how many there are.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sprint_eval.architectures import attention_layout
from sprint_eval.errors import DataError, UnsupportedModelError
from sprint_eval.pruning.attention import attention_function, base_implementation, expand_heads, register

if TYPE_CHECKING:
    from torch import Tensor

TILE = 128


def attention_entropy(
    query: Tensor,
    key: Tensor,
    scaling: float,
    mask: Tensor | None = None,
    softcap: float | None = None,
    tile: int = TILE,
) -> tuple[Tensor, Tensor]:
    """Entropy of each query's attention, in nats, from tiles of ``tile`` queries by ``tile`` keys.

    With running maximum m, normaliser Z = Σ e^(s−m) and T = Σ e^(s−m)·(s−m), the entropy of
    softmax(s) is log Z − T / Z.

    Args:
        query, key: ``[batch, heads, seq, head_dim]``.
        mask: what each query may see, ``[batch or 1, 1, seq, seq]``: booleans, or numbers to add
            to the scores; ``None`` for plain causal attention.

    Returns:
        The entropies ``[batch, heads, seq]`` and the number of visible positions ``[batch, seq]``.
    """
    entropies, visible = [], []
    for start in range(0, query.shape[2], tile):
        rows = slice(start, min(start + tile, query.shape[2]))
        entropy, seen = _tile_row(query[:, :, rows], key, rows, scaling, mask, softcap, tile)
        entropies.append(entropy)
        visible.append(seen)
    return torch.cat(entropies, dim=2), torch.cat(visible, dim=1)


def _tile_row(
    query: Tensor,
    key: Tensor,
    rows: slice,
    scaling: float,
    mask: Tensor | None,
    softcap: float | None,
    tile: int,
) -> tuple[Tensor, Tensor]:
    highest = torch.full(
        query.shape[:3], torch.finfo(query.dtype).min, dtype=query.dtype, device=query.device
    )
    total, weighted = torch.zeros_like(highest), torch.zeros_like(highest)
    seen = torch.zeros(query.shape[0], query.shape[2], device=query.device)
    last = rows.stop if mask is None else key.shape[2]  # causal attention sees nothing beyond its own row
    for start in range(0, last, tile):
        columns = slice(start, min(start + tile, last))
        scores = torch.matmul(query, key[:, :, columns].transpose(2, 3)) * scaling
        if softcap is not None:
            scores = torch.tanh(scores / softcap) * softcap
        scores, allowed = _masked(scores, mask, rows, columns)
        peak = torch.maximum(highest, scores.amax(dim=-1))
        shifted = torch.where(allowed, scores - peak[..., None], 0.0)
        weight = torch.where(allowed, shifted.exp(), 0.0)
        decay = (highest - peak).exp()
        weighted = decay * (weighted + total * (highest - peak)) + (weight * shifted).sum(dim=-1)
        total = decay * total + weight.sum(dim=-1)
        highest = peak
        seen += allowed[:, 0].expand(query.shape[0], -1, -1).sum(dim=-1)
    safe = total.clamp_min(torch.finfo(total.dtype).tiny)
    return torch.where(total > 0, safe.log() - weighted / safe, 0.0), seen


def _masked(scores: Tensor, mask: Tensor | None, rows: slice, columns: slice) -> tuple[Tensor, Tensor]:
    """Scores with hidden positions at the dtype's minimum, and which positions are visible."""
    low = torch.finfo(scores.dtype).min
    if mask is None:
        q = torch.arange(rows.start, rows.stop, device=scores.device)
        k = torch.arange(columns.start, columns.stop, device=scores.device)
        allowed = (k[None, :] <= q[:, None])[None, None]
    else:
        part = mask[:, :, rows, columns]
        allowed = part if part.dtype == torch.bool else part > torch.finfo(part.dtype).min / 2
        if part.dtype != torch.bool:
            scores = scores + part.to(scores.dtype)
    return torch.where(allowed, scores, low), allowed


class EntropyMeter:
    """Mean relative attention entropy of every head over the batches it is shown.

    A query's entropy is divided by the log of the number of positions that it may see, so that 0
    is a head that looks at one position and 1 one that looks at all alike; queries that see one
    position only are left out.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._layout = attention_layout(model)
        counts = self._layout.heads.heads_per_layer
        self._sums = [torch.zeros(count, dtype=torch.float64) for count in counts]
        self._queries = [0] * len(counts)
        self._lengths: Tensor | None = None

    @torch.no_grad()
    def add(self, input_ids: Tensor, lengths: Tensor | None = None) -> None:
        """Run the model on ``[batch, seq]`` tokens, padded on the right beyond ``lengths``.

        Causal attention never looks to the right, so padding needs no mask here.
        """
        self._lengths = lengths
        with self._listening():
            self._model(input_ids=input_ids, use_cache=False, **few_logits(self._model))

    def result(self) -> np.ndarray:
        """``[heads]``, in the order of ``layout.heads()``.

        Raises:
            DataError: no text of two tokens or more was shown.
        """
        if not any(self._queries):
            raise DataError("no text with two tokens or more to measure attention entropy on")
        means = [total / max(count, 1) for total, count in zip(self._sums, self._queries, strict=True)]
        return torch.cat(means).numpy()

    def record(
        self,
        layer: int,
        query: Tensor,
        key: Tensor,
        scaling: float,
        mask: Tensor | None,
        softcap: float | None,
    ) -> None:
        """Add one layer's attention: queries and keys with one row a query head."""
        dtype = torch.promote_types(query.dtype, torch.float32)
        entropy, visible = attention_entropy(query.to(dtype), key.to(dtype), scaling, mask, softcap)
        counted = visible >= 2  # [batch, seq]
        if self._lengths is not None:
            positions = torch.arange(query.shape[2], device=query.device)
            counted &= positions[None] < self._lengths.to(query.device)[:, None]
        relative = entropy / visible.clamp_min(2).log()[:, None]
        kept = torch.where(counted[:, None], relative, 0.0)
        self._sums[layer] += kept.double().sum(dim=(0, 2)).cpu()
        self._queries[layer] += int(counted.sum())

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        before = self._model.config.get_text_config()._attn_implementation
        attentions: list[tuple[int, Any]] = [
            (i, a) for i, a in enumerate(self._layout.attentions) if a is not None
        ]
        for index, attention in attentions:
            attention.entropy_tap = (self, index)
        self._model.set_attn_implementation(_entropy_implementation(self._model, before))
        try:
            yield
        finally:
            self._model.set_attn_implementation(before)
            for _, attention in attentions:
                del attention.entropy_tap


def mean_entropies(model: Any, batches: Iterable[tuple[Tensor, Tensor | None]]) -> np.ndarray:
    """Relative attention entropy of each head over ``(input_ids, lengths)`` batches: ``[heads]``."""
    meter = EntropyMeter(model)
    for input_ids, lengths in batches:
        meter.add(input_ids, lengths)
    return meter.result()


def _entropy_implementation(model: Any, before: str | None) -> str:
    """Name of the attention function that computes as ``before`` does and shows what it attends to.

    Eager attention, which training runs for its maps, would hold whole maps here for nothing: SDPA
    gives the same results where a model can run it, soft-capped scores being what it cannot do.
    """
    base = base_implementation(before)
    soft_capped = getattr(model.config.get_text_config(), "attn_logit_softcapping", None) is not None
    if base == "eager" and not soft_capped and getattr(model, "_supports_sdpa", False):
        base = "sdpa"
    if base not in ("eager", "sdpa"):
        raise UnsupportedModelError(
            f"attention entropy is measured under sdpa or eager attention, found '{before}'; "
            "load the model with attn_implementation=sdpa"
        )
    name = f"sprint_entropy_{base}"
    register(name, base, _TAPPED[base])
    return name


def _tapped(base: str) -> Any:
    compute = attention_function(base)

    def forward(
        module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **kwargs: Any
    ) -> Any:
        meter, layer = module.entropy_tap
        scaling = kwargs.get("scaling")
        scaling = 1.0 / math.sqrt(query.shape[-1]) if scaling is None else scaling
        meter.record(
            layer, query, expand_heads(module, key, query.shape[1]), scaling, mask, kwargs.get("softcap")
        )
        return compute(module, query, key, value, mask, **kwargs)

    return forward


_TAPPED = {base: _tapped(base) for base in ("eager", "sdpa")}


def few_logits(model: Any, positions: Any = 1) -> dict[str, Any]:
    """Ask for the logits of these positions only (1: the last), where the model's forward can be asked."""
    import inspect

    parameters = inspect.signature(type(model).forward).parameters
    return {"logits_to_keep": positions} if "logits_to_keep" in parameters else {}
