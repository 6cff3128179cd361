"""Attention over packed tokens: to the shared prefix, and to a request's own past.

Registered with ``transformers`` as an attention function, with a mask function of its own beside it
(without one a model would be given no mask, silently). The two parts are computed apart and merged
by their log-sum-exp, so that a prefix is read once for all tokens behind it. A GPU takes sequences of
any lengths in one call, where its kernel can (``varlen.py``), and both parts at once while they are
small; elsewhere they stand in padded buckets.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface

from sprint_eval.engine import varlen
from sprint_eval.engine.buckets import Buckets
from sprint_eval.engine.cache import Cache, PrefixCells, empty_lasting
from sprint_eval.engine.kernel import Kernel
from sprint_eval.engine.stages import Span, Stage

if TYPE_CHECKING:
    from torch import Tensor, nn

NAME = "sprint_packed"


class LayerAttention:
    """Attention of one stage's tokens in one layer; a model passes it on to its attention function."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self.stage: Stage | None = None
        self.layer = 0

    def __call__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        scale: float,
        window: int | None = None,
        cap: float | None = None,
        uneven: Any = None,
    ) -> Tensor:
        """Store keys and values, and attend.

        Args:
            query: ``[tokens, heads, head_dim]``; key and value ``[tokens, kv_heads, head_dim]``.
            window: tokens that a query sees, itself included; ``None`` for all before it.
            cap: soft limit of the scores; ``None`` for none.
            uneven: where each query head stands in a grid of even groups, and what fills the grid, of a
                layer that has lost heads; ``None`` for even groups.

        Returns:
            ``[tokens, heads, head_dim]``, zero where a head is pruned.
        """
        stage = self.stage
        if stage is None or stage.empty:
            return torch.zeros_like(query)
        if uneven is not None:
            query = query.index_select(1, uneven.get("grid", query.device))
        kernel = Kernel(scale, window if window is not None and window < _longest(stage) else None, cap)
        rows = stage.rows
        parts: list[Tensor] = []
        if rows:
            store = self._cache.stores[stage.segment].write(self.layer, stage.slots, key[:rows], value[:rows])
        if stage.prefixes:
            parts.append(self._prefixes(kernel, stage, query, key, value))
        if rows:
            parts.insert(0, self._rows(kernel, stage, query[:rows], store))
        output = parts[0] if len(parts) == 1 else torch.cat(parts)
        if uneven is not None:
            output = output.index_select(1, uneven.get("places", output.device))
        self._prune(stage, output)
        return output

    def _prefixes(self, kernel: Kernel, stage: Stage, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Causal attention of prefixes, each to itself; keys and values are kept."""
        by_head = not varlen.fits(query)
        for span, cells in stage.prefixes:
            part = slice(span.start, span.end)
            cells.keys_values[self.layer] = _copy_to_keep(key[part], value[part], by_head)
        if kernel.takes_lengths(query):
            rows = stage.rows
            lengths = stage.memo.get("prefixes")
            if lengths is None:
                spans = [span.end - span.start for span, _ in stage.prefixes]
                lengths = stage.memo["prefixes"] = varlen.Lengths.of(spans, spans, query.device)
            both = torch.stack((key[rows:], value[rows:]), 1)
            return varlen.causal(query[rows:], both, lengths, kernel.scale)[0]
        return torch.cat([self._prefix(kernel, stage, span, cells, query) for span, cells in stage.prefixes])

    def _prefix(self, kernel: Kernel, stage: Stage, span: Span, cells: PrefixCells, query: Tensor) -> Tensor:
        """Causal attention of a prefix to itself."""
        keys, values = _by_head(cells.keys_values[self.layer])
        places = torch.arange(span.end - span.start, device=query.device)[None]
        part = query[None, span.start : span.end]
        output, _ = kernel.attend(part, keys[None], values[None], places, places.shape[1], stage, span)
        return output[0]

    def _rows(self, kernel: Kernel, stage: Stage, query: Tensor, store: Tensor) -> Tensor:
        """Attention of requests' tokens to all that stands before them: ``[rows, heads, head_dim]``."""
        if kernel.takes_lengths(query):
            joined = varlen.Joined.of(stage, query)
            if joined is not None:
                past = joined.keys_values(store, self.layer)
                return varlen.causal(query, past, joined.lengths, kernel.scale)[0]
        own, own_weight = self._own(kernel, stage, query, store)
        return self._with_prefix(kernel, stage, query, own, own_weight)

    def _own(self, kernel: Kernel, stage: Stage, query: Tensor, store: Tensor) -> tuple[Tensor, Tensor]:
        """Attention to the requests' own tokens: output and log-sum-exp, ``[rows, heads, …]``."""
        if kernel.takes_lengths(query):
            pasts = varlen.OwnPasts.of(stage)
            past = store.index_select(0, pasts.context)
            output, weight = varlen.causal(query, past, pasts.lengths, kernel.scale)
            return output, pasts.lengths.weights(weight)
        outputs: list[Tensor] = []
        weights: list[Tensor] = []
        buckets = Buckets.of(stage)
        for bucket in buckets.members:
            runs, width, length = bucket.lengths
            part = query.index_select(0, bucket.queries).unflatten(0, (runs, width))
            past = store.index_select(0, bucket.context).unflatten(0, (runs, length))
            keys, values = past.permute(2, 0, 3, 1, 4)  # 2 x [runs, kv_heads, length, head_dim]
            output, weight = kernel.attend(part, keys, values, bucket.query_positions, length, stage, bucket)
            outputs.append(output.flatten(0, 1))
            weights.append(weight.flatten(0, 1))
        output, weight = torch.cat(outputs), torch.cat(weights)
        return output.index_select(0, buckets.unpad), weight.index_select(0, buckets.unpad)

    def _with_prefix(
        self, kernel: Kernel, stage: Stage, query: Tensor, own: Tensor, own_weight: Tensor
    ) -> Tensor:
        """Merge in the attention to the prefixes; a span is a slice, so that many cost little."""
        for spans in _behind_prefixes(stage):
            first, last = spans[0].start, spans[-1].end
            own[first:last] = self._behind(kernel, stage, spans, query, own, own_weight)
        return own

    def _behind(
        self,
        kernel: Kernel,
        stage: Stage,
        spans: list[Span],
        query: Tensor,
        own: Tensor,
        own_weight: Tensor,
    ) -> Tensor:
        """Merged attention of neighbouring spans: ``[tokens, heads, head_dim]``."""
        first, last = spans[0].start, spans[-1].end
        prefixes = [span.prefix.cells[span.key].keys_values[self.layer] for span in spans]
        if kernel.takes_lengths(query):
            lengths = _span_lengths(stage, spans, query.shape[1] // prefixes[0].shape[2])
            past = torch.cat(prefixes) if len(prefixes) > 1 else prefixes[0]
            seen, seen_weight = varlen.whole(query[first:last], past, lengths, kernel.scale)
        else:
            widths = [span.end - span.start for span in spans]
            parts = list(zip(widths, map(_by_head, prefixes), strict=True))
            seen, seen_weight = kernel.attend_all(query[first:last], parts, _positions(stage)[first:last])
        share = torch.sigmoid(seen_weight - own_weight[first:last]).unsqueeze(-1)
        return torch.lerp(own[first:last], seen, share.to(own.dtype))

    def _prune(self, stage: Stage, output: Tensor) -> None:
        """Zero the heads that are pruned in this layer, which is the segment's first if there are any."""
        places, heads = stage.pruned
        if self.layer == stage.layer and len(places):
            output.index_put_((places, heads), output.new_zeros(()))


def _copy_to_keep(key: Tensor, value: Tensor, by_head: bool) -> Tensor:
    """Keys and values of a prefix: ``[length, 2, kv_heads, head_dim]``.

    ``by_head``: a head's lie side by side in memory, which makes products with all of its queries faster.
    """
    length, kv_heads, width = key.shape
    if by_head:
        both = empty_lasting((2, kv_heads, length, width), key).permute(2, 0, 1, 3)
    else:
        both = empty_lasting((length, 2, kv_heads, width), key)
    return torch.stack((key, value), 1, out=both)


def _by_head(both: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values ``[kv_heads, length, head_dim]`` of ``[length, 2, kv_heads, head_dim]``."""
    keys, values = both.permute(1, 2, 0, 3)
    return keys, values


def _behind_prefixes(stage: Stage) -> list[list[Span]]:
    """Spans that stand behind a prefix: together, or one by one where others stand between them."""
    found: list[list[Span]] | None = stage.memo.get("behind")
    if found is None:
        spans = [span for span in stage.spans if len(span.prefix)]
        apart = any(one.end != next_one.start for one, next_one in pairwise(spans))
        found = stage.memo["behind"] = [[span] for span in spans] if apart else [spans] if spans else []
    return found


def _longest(stage: Stage) -> int:
    """Tokens that a query of the stage may look back on, its own prefix included."""
    prefixes = [len(span.prefix) for span in (*stage.spans, *(span for span, _ in stage.prefixes))]
    return max(prefixes, default=0) + int(stage.runs.lengths.max(initial=0))


def _positions(stage: Stage) -> Tensor:
    """Distance of each of a stage's queries behind its prefix's end: ``[rows]``."""
    places = stage.memo.get("places")
    if places is None:
        buckets = Buckets.of(stage)
        flat = torch.cat([bucket.query_positions.flatten() for bucket in buckets.members])
        places = stage.memo["places"] = flat.index_select(0, buckets.unpad)
    return places


def _span_lengths(stage: Stage, spans: list[Span], groups: int) -> varlen.Lengths:
    """Boundaries of spans, ``groups`` queries a token, and of their prefixes."""
    name = ("spans", spans[0].start, groups)
    lengths: varlen.Lengths | None = stage.memo.get(name)
    if lengths is None:
        widths = [(span.end - span.start) * groups for span in spans]
        device = stage.tokens.device
        lengths = stage.memo[name] = varlen.Lengths.of(widths, [len(s.prefix) for s in spans], device)
    return lengths


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    sprint_attention: LayerAttention | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """The attention function ``transformers`` calls: tensors ``[1, heads, tokens, head_dim]``.

    A module that was cut carries a map of its uneven groups (``sprint_eval.pruning.attention``).
    """
    if sprint_attention is None:
        raise RuntimeError(f"{type(module).__name__} does not pass keyword arguments on to its attention")
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    query, key, value = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
    uneven = None if getattr(module, "kv_even", True) else module.kv_index
    window = _window(module, sliding_window)
    output = sprint_attention(query, key, value, scale, window, softcap, uneven)
    return output[None], None  # [1, tokens, heads, head_dim]


def _window(module: nn.Module, told: int | None) -> int | None:
    """The layer's sliding window, also where a model says it by its mask alone, which is not made here."""
    kinds = getattr(getattr(module, "config", None), "layer_types", None)
    kind = kinds[module.layer_idx] if kinds else None
    if kind == "full_attention":
        return told
    window = told if told is not None else getattr(module, "sliding_window", None)
    if kind is None or (kind == "sliding_attention" and window is not None):
        return window
    raise RuntimeError(f"{type(module).__name__} masks by {kind}, and its attention is told of no window")


def _no_mask(*args: Any, **kwargs: Any) -> None:
    """Masks are part of the plan."""


AttentionInterface.register(NAME, packed_attention)
AttentionMaskInterface.register(NAME, _no_mask)


@contextlib.contextmanager
def packed(model: Any) -> Iterator[None]:
    """Let a model attend by :func:`packed_attention` inside the block."""
    configs = {id(config): config for config in (model.config, model.config.get_text_config())}
    before = [(config, config._attn_implementation) for config in configs.values()]
    try:
        for config in configs.values():
            config._attn_implementation = NAME
        yield
    finally:
        for config, name in before:
            config._attn_implementation = name
