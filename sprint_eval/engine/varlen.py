"""Attention on a GPU over sequences of many lengths in one call, without padding.

On a GPU a small product costs what its launch costs. PyTorch's memory-efficient attention takes the
boundaries of sequences packed one behind the other, in float32 as in half precision, and gives the
log-sum-exp that merging two parts takes; the wrapper around it drops both.
"""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from sprint_eval.engine.plan import Stage, index

if TYPE_CHECKING:
    from torch import Tensor

_FROM_BOTTOM_RIGHT = 2  # the kernel's name for: a sequence's last query sees all of its keys
_EVERYTHING = 0


@dataclass
class Lengths:
    """Boundaries of packed sequences.

    Attributes:
        queries, keys: ``[sequences + 1]``, where each sequence begins, and where the last ends.
        longest: most queries and most keys of a sequence.
        sequence, place: ``[queries]``, each query's sequence and its place there.
    """

    queries: Tensor
    keys: Tensor
    longest: tuple[int, int]
    sequence: Tensor
    place: Tensor
    _weights: dict[int, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, queries: SequenceOf[int], keys: SequenceOf[int], device: torch.device) -> Lengths:
        """Of sequences of so many queries and keys."""
        widths = np.asarray(queries)
        starts = np.cumsum([0, *widths])
        sequence = np.repeat(np.arange(len(widths)), widths)
        return cls(
            _boundaries(queries, device),
            _boundaries(keys, device),
            (max(queries), max(keys)),
            index(sequence, device),
            index(np.arange(starts[-1]) - starts[sequence], device),
        )

    def weights(self, padded: Tensor) -> Tensor:
        """The kernel's padded log-sum-exp ``[sequences, heads, most]`` as ``[queries, heads]``."""
        most = padded.shape[-1]
        places = self._weights.get(most)
        if places is None:
            places = self._weights[most] = self.sequence * most + self.place
        return padded.transpose(1, 2).flatten(0, 1).index_select(0, places)


@dataclass
class OwnPasts:
    """The pasts of a stage's requests, one behind the other.

    Attributes:
        context: ``[keys]``, slots.
        lengths: boundaries of queries and of ``context``.
    """

    context: Tensor
    lengths: Lengths

    @classmethod
    def of(cls, stage: Stage) -> OwnPasts:
        """A stage's, the same for all of its layers."""
        found: OwnPasts | None = stage.memo.get("pasts")
        if found is None:
            device = stage.tokens.device
            context = index(np.concatenate([run.past for run in stage.runs]), device)
            lengths = Lengths.of([r.width for r in stage.runs], [len(r.past) for r in stage.runs], device)
            found = stage.memo["pasts"] = cls(context, lengths)
        return found


def fits(query: Tensor) -> bool:
    """Whether the kernel is there for this device, type and width of head."""
    whole = torch.float32, torch.float16, torch.bfloat16
    return query.is_cuda and torch.version.hip is None and query.dtype in whole and query.shape[-1] % 8 == 0


def causal(
    query: Tensor, keys: Tensor, values: Tensor, lengths: Lengths, scale: float
) -> tuple[Tensor, Tensor]:
    """Attention of each sequence's queries, the last of its tokens, to what stands before them.

    Args:
        query: ``[queries, heads, head_dim]``.
        keys: ``[keys, kv_heads, head_dim]``; values too.

    Returns:
        Output, shaped as the query, and log-sum-exp ``[queries, heads]`` in float32.
    """
    groups = query.shape[1] // keys.shape[1]
    if groups > 1:  # queries of one key head cannot stand side by side: the mask goes by their places
        keys, values = keys.repeat_interleave(groups, 1), values.repeat_interleave(groups, 1)
    output, weight = _run(query, keys, values, lengths, _FROM_BOTTOM_RIGHT, scale)
    return output, lengths.weights(weight)


def whole(
    query: Tensor, keys: Tensor, values: Tensor, lengths: Lengths, scale: float
) -> tuple[Tensor, Tensor]:
    """Attention to all of a sequence's keys, arguments and result as of :func:`causal`.

    ``lengths`` counts each query once for every query head that shares a key head.
    """
    kv_heads = keys.shape[1]
    groups = query.shape[1] // kv_heads
    packed = query.unflatten(1, (kv_heads, groups)).transpose(1, 2).flatten(0, 1)
    output, weight = _run(packed, keys, values, lengths, _EVERYTHING, scale)
    output = output.unflatten(0, (-1, groups)).transpose(1, 2).flatten(1, 2)
    return output, lengths.weights(weight).unflatten(0, (-1, groups)).transpose(1, 2).flatten(1, 2)


def _run(
    query: Tensor, keys: Tensor, values: Tensor, lengths: Lengths, mask: int, scale: float
) -> tuple[Tensor, Tensor]:
    """Output ``[queries, heads, d]``, and the log-sum-exp in the kernel's padded layout."""
    output, weight, *_ = torch.ops.aten._efficient_attention_forward(
        query[None],
        keys[None],
        values[None],
        None,
        lengths.queries,
        lengths.keys,
        *lengths.longest,
        0.0,
        mask,
        compute_log_sumexp=True,
        scale=scale,
    )
    return output[0], weight


def _boundaries(lengths: SequenceOf[int], device: torch.device) -> Tensor:
    return index(np.cumsum([0, *lengths]), device).to(torch.int32)
