"""Head masks on a loaded model, one head set a row of the batch.

Pruning head (l, h) zeroes its output before the heads are concatenated, at every position: the
same as zeroing columns ``[h*d, (h+1)*d)`` of the output projection's input (SPRINT, section 3).
A forward pre-hook on that projection does it, so that no modeling code is copied and the weights
exist once however many head sets are in use.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch

from sprint_eval.architectures import AttentionLayout, attention_layout
from sprint_eval.errors import HeadError
from sprint_eval.heads import HeadSet

if TYPE_CHECKING:
    from torch import Tensor, nn


class HeadMasker:
    """Applies head masks to a model while a ``with`` block is open.

    Hooks exist only inside the block and only on layers that lose a head, so an unmasked forward
    costs nothing. Blocks nest: the masks multiply.
    """

    def __init__(self, model: nn.Module) -> None:
        """Raises :class:`~sprint_eval.errors.UnsupportedModelError` for an unknown architecture."""
        self.layout: AttentionLayout = attention_layout(model)

    @contextlib.contextmanager
    def rows(self, head_sets: Sequence[HeadSet]) -> Iterator[None]:
        """Prune ``head_sets[r]`` in row ``r`` of every batch that runs inside the block.

        Raises:
            HeadError: a head is out of range (at once), or a batch has another number of rows (in
                the forward).
        """
        for head_set in head_sets:
            self.layout.heads.check(head_set)
        layers = sorted({head.layer for head_set in head_sets for head in head_set})
        with self._hooks(layers, head_sets):
            yield

    @contextlib.contextmanager
    def every_row(self, head_set: HeadSet) -> Iterator[None]:
        """Prune one head set in all rows, whatever the size of the batch."""
        self.layout.heads.check(head_set)
        with self._hooks(sorted(head_set.by_layer()), [head_set], broadcast=True):
            yield

    @contextlib.contextmanager
    def _hooks(self, layers: list[int], rows: Sequence[HeadSet], broadcast: bool = False) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for layer in layers:
                projection = self.layout.outputs[layer]
                if projection is None:
                    continue
                hook = _RowMask(layer, keep_matrix(self.layout, layer, rows), broadcast)
                stack.callback(projection.register_forward_pre_hook(hook).remove)
            yield


def keep_matrix(layout: AttentionLayout, layer: int, rows: Sequence[HeadSet]) -> Tensor:
    """1 for kept and 0 for pruned heads of a layer: ``[rows, heads]``, float32 on the CPU."""
    keep = torch.ones(len(rows), layout.heads.heads_per_layer[layer])
    for row, head_set in enumerate(rows):
        for head in head_set.by_layer().get(layer, ()):
            keep[row, head] = 0.0
    return keep


class _RowMask:
    """Forward pre-hook that multiplies a projection's input by its rows' head masks."""

    def __init__(self, layer: int, keep: Tensor, broadcast: bool) -> None:
        self._layer = layer
        self._keep = keep  # [rows, heads]
        self._broadcast = broadcast

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden: Tensor = args[0]  # [batch, seq, heads * head_dim]
        rows, heads = self._keep.shape
        if not self._broadcast and hidden.shape[0] != rows:
            raise HeadError(
                f"layer {self._layer}: masks for {rows} rows met a batch of {hidden.shape[0]}; "
                "give one head set a row"
            )
        if self._keep.device != hidden.device or self._keep.dtype != hidden.dtype:
            self._keep = self._keep.to(hidden.device, hidden.dtype)
        split = hidden.unflatten(-1, (heads, -1))  # [batch, seq, heads, head_dim]
        # where() and not a product: a pruned head is exactly 0, even if its output is not finite.
        kept = self._keep.bool().view(rows, *(1,) * (split.dim() - 3), heads, 1)
        return (torch.where(kept, split, 0.0).flatten(-2), *args[1:])
