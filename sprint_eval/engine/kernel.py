"""Softmax attention for packed tokens, with the log-sum-exp that merging two parts of it takes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from sprint_eval.engine import varlen
from sprint_eval.engine.buckets import Bucket
from sprint_eval.engine.stages import Span, Stage

if TYPE_CHECKING:
    from torch import Tensor

# Pairs of a query and a key that are masked at a time: all those of a long prompt would fill memory.
MASK_SIZE = 2**22


class Kernel:
    """Softmax attention that also gives its log-sum-exp, with grouped queries, windows and soft caps."""

    def __init__(self, scale: float, window: int | None, softcap: float | None) -> None:
        self.scale = scale
        self._window = window
        self._softcap = softcap

    def takes_lengths(self, query: Tensor) -> bool:
        """Whether sequences of any lengths can stand one behind the other (``varlen.py``)."""
        return self._window is None and not self._softcap and varlen.fits(query)

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

        The mask is the same in every layer of the stage and kept there, by the ``part`` it belongs to; that
        of more pairs than :data:`MASK_SIZE` is made block by block, and not kept.
        """
        runs, width, heads = query.shape[:3]
        groups = heads // keys.shape[1]
        block = max(MASK_SIZE // (runs * groups * length), 1)
        if block < width:
            blocks = [
                self._masked(q, keys, values, self._mask(p, length, groups, query.dtype))
                for q, p in zip(query.split(block, 1), places.split(block, 1), strict=True)
            ]
            outputs, weights = zip(*blocks, strict=True)
            return torch.cat(outputs, 1), torch.cat(weights, 1)
        # Prefixes of one length have one mask, of whichever head sets.
        name = (id(part) if isinstance(part, Bucket) else "prefix", length, groups, self._hiding(length))
        mask = stage.memo.get(name)
        if mask is None:
            mask = stage.memo[name] = self._mask(places, length, groups, query.dtype)
        return self._masked(query, keys, values, mask)

    def _hiding(self, length: int) -> int | None:
        """The window, where it hides any of so many keys."""
        return self._window if self._window is not None and self._window < length else None

    def _mask(self, places: Tensor, length: int, groups: int, dtype: torch.dtype) -> Tensor:
        """What queries at ``places`` ``[runs, width]`` may not see: ``[runs, 1, width * groups, length]``."""
        columns = torch.arange(length, device=places.device)
        hidden = columns > places[..., None]  # [runs, width, length]
        window = self._hiding(length)
        if window is not None:
            hidden = hidden | (columns <= places[..., None] - window)
        mask = torch.zeros(hidden.shape, dtype=dtype, device=places.device)
        return mask.masked_fill_(hidden, -math.inf).repeat_interleave(groups, 1)[:, None]

    def _masked(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Attention of ``[runs, width, heads, d]`` under a mask: output and log-sum-exp, of that layout."""
        width, kv_heads = query.shape[1], keys.shape[1]
        groups = query.shape[2] // kv_heads
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
            return _flash(query, keys, values, mask, self.scale)
        scores = torch.matmul(query.float(), keys.float().transpose(-1, -2)) * self.scale
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
