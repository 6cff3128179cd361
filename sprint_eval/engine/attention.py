"""Attention over packed tokens: to the shared prefix, and to a request's own past.

Registered with ``transformers`` as an attention function, with a mask function of its own beside it
(without one a model would be given no mask, silently). The two parts are computed apart and merged
by their log-sum-exp, so that a prefix is read once for all tokens behind it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface

from sprint_eval.engine.cache import Cache, PrefixCells
from sprint_eval.engine.cells import Span
from sprint_eval.engine.plan import Bucket, Stage

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
        self, query: Tensor, key: Tensor, value: Tensor, scale: float, window: int | None, cap: float | None
    ) -> Tensor:
        """Store keys and values, and attend.

        Args:
            query: ``[tokens, heads, head_dim]``; key and value ``[tokens, kv_heads, head_dim]``.
            window: tokens that a query sees, itself included; ``None`` for all before it.
            cap: soft limit of the scores; ``None`` for none.

        Returns:
            ``[tokens, heads, head_dim]``, zero where a head is pruned.
        """
        stage = self.stage
        if stage is None or stage.empty:
            return torch.zeros_like(query)
        kernel = _Kernel(scale, window if window is not None and window < _longest(stage) else None, cap)
        rows = stage.rows
        parts: list[Tensor] = []
        if rows:
            store = self._cache.stores[stage.segment].write(self.layer, stage.slots, key[:rows], value[:rows])
        for span, cells in stage.prefixes:
            parts.append(self._prefix(kernel, stage, span, cells, query, key, value))
        if rows:
            own, own_weight = self._own(kernel, stage, query, store)
            parts.insert(0, self._with_prefix(kernel, stage, query[:rows], own, own_weight))
        output = parts[0] if len(parts) == 1 else torch.cat(parts)
        self._prune(stage, output)
        return output

    def _prefix(
        self,
        kernel: _Kernel,
        stage: Stage,
        span: Span,
        cells: PrefixCells,
        query: Tensor,
        key: Tensor,
        value: Tensor,
    ) -> Tensor:
        """Causal attention of a prefix to itself; its keys and values are kept, head by head."""
        keys = key[span.start : span.end].transpose(0, 1).contiguous()  # [kv_heads, length, head_dim]
        values = value[span.start : span.end].transpose(0, 1).contiguous()
        cells.keys_values[self.layer] = (keys, values)
        places = torch.arange(span.end - span.start, device=query.device)[None]
        part = query[None, span.start : span.end]
        output, _ = kernel.attend(part, keys[None], values[None], places, places.shape[1], stage, span)
        return output[0]

    def _own(self, kernel: _Kernel, stage: Stage, query: Tensor, store: Tensor) -> tuple[Tensor, Tensor]:
        """Attention to the requests' own tokens: output and log-sum-exp, ``[rows, heads, …]``."""
        outputs: list[Tensor] = []
        weights: list[Tensor] = []
        for bucket in stage.buckets:
            runs, width, length = bucket.lengths
            part = query.index_select(0, bucket.queries).unflatten(0, (runs, width))
            past = store.index_select(0, bucket.context).unflatten(0, (runs, length))
            keys, values = past.permute(2, 0, 3, 1, 4)  # 2 x [runs, kv_heads, length, head_dim]
            output, weight = kernel.attend(part, keys, values, bucket.query_positions, length, stage, bucket)
            outputs.append(output.flatten(0, 1))
            weights.append(weight.flatten(0, 1))
        output, weight = torch.cat(outputs), torch.cat(weights)
        return output.index_select(0, stage.unpad), weight.index_select(0, stage.unpad)

    def _with_prefix(
        self, kernel: _Kernel, stage: Stage, query: Tensor, own: Tensor, own_weight: Tensor
    ) -> Tensor:
        """Merge in the attention to the prefixes; a span is a slice, so that many cost little."""
        behind = [span for span in stage.spans if len(span.prefix)]
        if not behind:
            return own
        first, last = behind[0].start, behind[-1].end
        if sum(span.end - span.start for span in behind) < last - first:  # others stand between them
            parts = [self._behind(kernel, stage, [span], query, own, own_weight) for span in behind]
            for span, part in zip(behind, parts, strict=True):
                own[span.start : span.end] = part
        else:
            own[first:last] = self._behind(kernel, stage, behind, query, own, own_weight)
        return own

    def _behind(
        self,
        kernel: _Kernel,
        stage: Stage,
        spans: list[Span],
        query: Tensor,
        own: Tensor,
        own_weight: Tensor,
    ) -> Tensor:
        """Merged attention of neighbouring spans: ``[tokens, heads, head_dim]``."""
        first, last = spans[0].start, spans[-1].end
        places = _positions(stage)[first:last]
        lengths = [
            (span.end - span.start, span.prefix.cells[span.key].keys_values[self.layer]) for span in spans
        ]
        seen, seen_weight = kernel.attend_all(query[first:last], lengths, places)
        share = torch.sigmoid(seen_weight - own_weight[first:last]).unsqueeze(-1)
        return torch.lerp(own[first:last], seen, share.to(own.dtype))

    def _prune(self, stage: Stage, output: Tensor) -> None:
        """Zero the pruned heads of this layer, which is the segment's first if there are any."""
        spans = [*stage.spans, *(span for span, _ in stage.prefixes)]
        for span in spans:
            for head in span.key.pruned_in(self.layer):
                output[span.start : span.end, head] = 0.0


def _longest(stage: Stage) -> int:
    """Tokens that a query of the stage may look back on, its own prefix included."""
    prefixes = [len(span.prefix) for span in (*stage.spans, *(span for span, _ in stage.prefixes))]
    return max(prefixes, default=0) + max((bucket.lengths[2] for bucket in stage.buckets), default=0)


def _positions(stage: Stage) -> Tensor:
    """Distance of each of a stage's queries behind its prefix's end: ``[rows]``."""
    places = stage.memo.get("places")
    if places is None:
        flat = torch.cat([bucket.query_positions.flatten() for bucket in stage.buckets])
        places = stage.memo["places"] = flat.index_select(0, stage.unpad)
    return places


class _Kernel:
    """Softmax attention that also gives its log-sum-exp, with grouped queries, windows and soft caps."""

    def __init__(self, scale: float, window: int | None, softcap: float | None) -> None:
        self._scale = scale
        self._window = window
        self._softcap = softcap

    def attend(
        self,
        query: Tensor,
        keys: Tensor,
        values: Tensor,
        places: Tensor,
        length: int,
        stage: Stage,
        part: Bucket | Span,
    ) -> tuple[Tensor, Tensor]:
        """Causal attention of ``[runs, width, heads, d]`` to ``[runs, kv_heads, length, d]``.

        The mask is the same in every layer of the stage and kept there, by the ``part`` it belongs to.
        """
        width, heads = query.shape[1:3]
        kv_heads = keys.shape[1]
        groups = heads // kv_heads
        window = self._window if self._window is not None and self._window < length else None
        # Prefixes of one length have one mask, of whichever head sets.
        name = (id(part) if isinstance(part, Bucket) else "prefix", length, groups, window)
        mask = stage.memo.get(name)
        if mask is None:
            columns = torch.arange(length, device=query.device)
            hidden = columns > places[..., None]  # [runs, width, length]
            if window is not None:
                hidden = hidden | (columns <= places[..., None] - window)
            mask = torch.zeros(hidden.shape, dtype=query.dtype, device=query.device)
            mask = mask.masked_fill_(hidden, -math.inf).repeat_interleave(groups, 1)[:, None]
            stage.memo[name] = mask  # [runs, 1, width * groups, length]
        # Queries of one key head side by side: [runs, kv_heads, width * groups, d].
        packed = query.unflatten(2, (kv_heads, groups)).transpose(1, 2).flatten(2, 3)
        output, weight = self._run(packed, keys, values, mask)
        output = output.unflatten(2, (width, groups)).transpose(1, 2).flatten(2, 3)
        return output, weight.unflatten(2, (width, groups)).transpose(1, 2).flatten(2, 3)

    def attend_all(
        self, query: Tensor, prefixes: list[tuple[int, tuple[Tensor, Tensor]]], places: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Attention of ``[tokens, heads, d]`` to whole prefixes, so many tokens to each in turn."""
        kv_heads = prefixes[0][1][0].shape[0]
        groups = query.shape[1] // kv_heads
        packed = query.unflatten(1, (kv_heads, groups)).transpose(0, 1).flatten(1, 2)[None]
        outputs: list[Tensor] = []
        weights: list[Tensor] = []
        start = 0
        for tokens, (keys, values) in prefixes:
            mask = self._prefix_mask(places[start : start + tokens], keys.shape[1], groups, query.dtype)
            part = packed[:, :, start * groups : (start + tokens) * groups]
            output, weight = self._run(part, keys[None], values[None], mask)
            outputs.append(output[0])
            weights.append(weight[0])
            start += tokens
        output, weight = torch.cat(outputs, 1), torch.cat(weights, 1)  # [kv_heads, tokens * groups, …]
        output = output.unflatten(1, (-1, groups)).transpose(0, 1).flatten(1, 2)
        return output, weight.unflatten(1, (-1, groups)).transpose(0, 1).flatten(1, 2)

    def _prefix_mask(self, places: Tensor, length: int, groups: int, dtype: torch.dtype) -> Tensor | None:
        """What a window hides of a prefix from queries ``places`` behind its end."""
        if self._window is None:
            return None
        columns = torch.arange(length, device=places.device)
        hidden = columns <= (length + places[:, None]) - self._window
        mask = torch.zeros(hidden.shape, dtype=dtype, device=places.device)
        return mask.masked_fill_(hidden, -math.inf).repeat_interleave(groups, 0)[None, None]

    def _run(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """``[b, h, queries, d]`` to ``[b, h, length, d]``: output, and log-sum-exp in float32."""
        if query.device.type == "cpu" and not self._softcap and self._window is None:
            return _flash(query, keys, values, mask, self._scale)
        scores = torch.matmul(query.float(), keys.float().transpose(-1, -2)) * self._scale
        if self._softcap:
            scores = torch.tanh(scores / self._softcap) * self._softcap
        if mask is not None:
            scores = scores + mask
        weight = torch.logsumexp(scores, dim=-1)
        # A query that a window shuts off from the whole prefix has weight -inf and takes nothing.
        shares = torch.where(torch.isneginf(weight)[..., None], 0.0, torch.exp(scores - weight[..., None]))
        return torch.matmul(shares, values.float()).to(query.dtype), weight


def _flash(
    query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, scale: float
) -> tuple[Tensor, Tensor]:
    """PyTorch's flash attention for CPUs, asked for the log-sum-exp that its wrapper drops."""
    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    output, weight = kernel(query, keys, values, attn_mask=mask, scale=scale)
    return output, weight


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
    """The attention function ``transformers`` calls: tensors ``[1, heads, tokens, head_dim]``."""
    if sprint_attention is None:
        raise RuntimeError(f"{type(module).__name__} does not pass keyword arguments on to its attention")
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    query, key, value = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
    output = sprint_attention(query, key, value, scale, sliding_window, softcap)  # [tokens, heads, head_dim]
    return output[None], None


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
