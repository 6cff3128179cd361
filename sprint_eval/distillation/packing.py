"""Texts behind one another in a single row, so that no linear layer works on padding.

Only attention sees the texts apart: it is handed a padded form, ``[texts, heads, longest, head_dim]``,
of queries, keys and values, and its results are packed again. A third of the tokens of a batch of word
problems is padding otherwise, and the output embedding need not look at prompts at all.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch

from sprint_eval.pruning.attention import (
    TEXTS_PREFIX,
    attention_function,
    base_implementation,
    register,
)

if TYPE_CHECKING:
    from torch import Tensor


class Packing:
    """Where the tokens of packed texts stand in the padded form, and back.

    Attributes:
        shape: texts, and tokens of the longest.
        places: ``[tokens]``, the place of each token among ``texts * longest``.
        sources: ``[texts * longest]``, the token at each place; the first one stands in for padding.
        padding: the places that hold no token.
    """

    def __init__(self, lengths: Tensor) -> None:
        """``lengths``: ``[texts]``, tokens of each text."""
        positions = torch.arange(int(lengths.max()), device=lengths.device)
        real = positions[None] < lengths[:, None]  # [texts, longest]
        self.shape = (int(real.shape[0]), int(real.shape[1]))
        self.places = real.flatten().nonzero()[:, 0]
        self.padding = (~real).flatten().nonzero()[:, 0]
        self.sources = torch.zeros(real.numel(), dtype=torch.long, device=lengths.device)
        self.sources[self.places] = torch.arange(len(self.places), device=lengths.device)

    def spread(self, states: Tensor) -> Tensor:
        """``[1, heads, tokens, head_dim] -> [texts, heads, longest, head_dim]``."""
        padded: Tensor = _Spread.apply(states[0].transpose(0, 1), self)
        return padded.unflatten(0, self.shape).transpose(1, 2)

    def pack(self, states: Tensor) -> Tensor:
        """``[texts, longest, heads, head_dim] -> [1, tokens, heads, head_dim]``."""
        packed: Tensor = _Pack.apply(states.flatten(0, 1), self)
        return packed[None]

    def maps(self, weights: Tensor) -> Tensor:
        """Attention maps ``[texts, heads, longest, longest]``.

        Models that do not hand the packing on to their attention give one map of all tokens,
        ``[1, heads, tokens, tokens]``: ``transformers`` itself keeps the texts apart by their positions.
        """
        texts, longest = self.shape
        if tuple(weights.shape[0::2]) == (texts, longest):
            return weights
        own = self.sources.unflatten(0, self.shape)
        return torch.stack([weights[0].index_select(1, rows).index_select(2, rows) for rows in own])


class _Spread(torch.autograd.Function):
    """Copies and no sums in both directions: nothing flows back from padding."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, packing: Packing) -> Tensor:
        ctx.packing = packing
        return states.index_select(0, packing.sources)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0].index_select(0, ctx.packing.places), None


class _Pack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, packing: Packing) -> Tensor:
        ctx.packing = packing
        return states.index_select(0, packing.places)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        padded = gradients[0].index_select(0, ctx.packing.sources)
        return padded.index_fill_(0, ctx.packing.padding, 0.0), None


@contextlib.contextmanager
def packed_attention(models: Sequence[Any], maps: bool) -> Iterator[None]:
    """Let these models keep packed texts apart while the block is open.

    Their forwards then take ``sprint_packing``.

    Args:
        maps: attention maps are wanted, which eager attention alone gives.
    """
    before = [model.config.get_text_config()._attn_implementation for model in models]
    for model, implementation in zip(models, before, strict=True):
        base = "eager" if maps else base_implementation(implementation)
        model.set_attn_implementation(TEXTS_PREFIX + base)
    try:
        yield
    finally:
        for model, implementation in zip(models, before, strict=True):
            model.set_attn_implementation(implementation)


def _over_texts(base: str) -> Callable[..., Any]:
    compute = attention_function(base)

    def forward(
        module: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        sprint_packing: Packing | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """Attention within each text; its map is ``[texts, heads, longest, longest]``.

        Without a packing (scores are measured on padded texts between two steps) it is ``base``.
        """
        if sprint_packing is None:
            result: tuple[Tensor, Tensor | None] = compute(module, query, key, value, mask, **kwargs)
            return result
        spread = sprint_packing.spread
        own = _causal_mask(sprint_packing.shape[1], kwargs.get("sliding_window"), base, query)
        output, weights = compute(module, spread(query), spread(key), spread(value), own, **kwargs)
        return sprint_packing.pack(output), weights

    return forward


def _causal_mask(length: int, window: int | None, base: str, like: Tensor) -> Tensor | None:
    """What a query may see, ``[1, 1, length, length]``; padding on the right needs no more than that."""
    window = length if window is None else window
    if base == "sdpa" and window >= length:
        return None  # its own causal path
    positions = torch.arange(length, device=like.device)
    behind = positions[:, None] - positions[None]
    seen = (behind >= 0) & (behind < window)
    if base == "sdpa":
        return seen[None, None]
    low = torch.finfo(like.dtype).min
    return torch.zeros(length, length, device=like.device, dtype=like.dtype).masked_fill(~seen, low)[
        None, None
    ]


for _base in ("eager", "sdpa"):
    register(TEXTS_PREFIX + _base, _base, _over_texts(_base))
