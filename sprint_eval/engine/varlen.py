"""Attention on a GPU over sequences of many lengths in one call, without padding.

On a GPU a small product costs what its launch costs. PyTorch's memory-efficient attention takes the
boundaries of sequences packed one behind the other, in float32 as in half precision, and gives the
log-sum-exp that merging two parts takes; the wrapper around it drops both.
"""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch

from sprint_eval.engine.cache import PrefixCells
from sprint_eval.engine.stages import Stage, together

if TYPE_CHECKING:
    from torch import Tensor

Counts: TypeAlias = "SequenceOf[int] | np.ndarray"

_FROM_BOTTOM_RIGHT = 2  # the kernel's name for: a sequence's last query sees all of its keys
_EVERYTHING = 0
_JOINED_BYTES = 64 * 2**20  # keys and values a layer that are copied rather than read in two calls


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
    def of(cls, queries: Counts, keys: Counts, device: torch.device) -> Lengths:
        """Of sequences of so many queries and keys."""
        return cls.beside(queries, keys, device)[0]

    @classmethod
    def beside(
        cls, queries: Counts, keys: Counts, device: torch.device, *others: np.ndarray
    ) -> tuple[Lengths, list[Tensor]]:
        """Of sequences of so many queries and keys; and ``others``, which come in the same copy."""
        starts, past = (np.cumsum([0, *counts]) for counts in (queries, keys))
        sequence = np.repeat(np.arange(len(queries)), queries)
        place = np.arange(len(sequence)) - starts[sequence]
        numbers = [np.concatenate((starts, past)), sequence, place, *others]
        bounds, sequences, places, *tensors = together(numbers, device)
        ends = bounds.to(torch.int32).split(len(starts))
        longest = int(np.max(queries)), int(np.max(keys))
        return cls(ends[0], ends[1], longest, sequences, places), tensors

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
            runs = stage.runs
            lengths, (context,) = Lengths.beside(runs.widths, runs.lengths, stage.tokens.device, runs.past)
            found = stage.memo["pasts"] = cls(context, lengths)
        return found


@dataclass
class Joined:
    """The pasts of a stage's requests with their prefixes in front, to attend to both in one call.

    A prefix is copied for each request behind it, which costs less than the launches of a second call
    and of the merge, while it is little.

    Attributes:
        own: ``[keys]``, slots of the requests' own tokens.
        prefixes: each that a request stands behind, in its segment and under its key.
        places: ``[keys]``, each key's place among own and prefixes' tokens, one behind the other.
        lengths: boundaries of queries and of ``places``.
    """

    own: Tensor
    prefixes: list[PrefixCells]
    places: Tensor
    lengths: Lengths

    @classmethod
    def of(cls, stage: Stage, query: Tensor) -> Joined | None:
        """A stage's, the same for all of its layers; ``None`` where it would be much to copy.

        ``query``: ``[rows, heads, head_dim]``.
        """
        if "joined" not in stage.memo:
            in_front = _span_of_run(stage, [len(span.prefix) for span in stage.spans])
            tokens = len(stage.runs.past) + int(in_front.sum())
            width = 2 * query.shape[1] * query.shape[2] * query.element_size()
            fits = tokens * width <= _JOINED_BYTES or not any(len(span.prefix) for span in stage.spans)
            stage.memo["joined"] = cls._join(stage, query.device) if fits else None
        found: Joined | None = stage.memo["joined"]
        return found

    @classmethod
    def _join(cls, stage: Stage, device: torch.device) -> Joined:
        runs = stage.runs
        begin: dict[int, int] = {}  # of each prefix among own and prefixes' tokens
        prefixes: list[PrefixCells] = []
        end = len(runs.past)
        for span in stage.spans:
            if len(span.prefix) and id(cells := span.prefix.cells[span.key]) not in begin:
                begin[id(cells)] = end
                end += len(span.prefix)
                prefixes.append(cells)
        behind = [(begin.get(id(s.prefix.cells.get(s.key)), 0), len(s.prefix)) for s in stage.spans]
        starts, widths = _span_of_run(stage, behind).T
        # In turn each request's prefix and its own tokens.
        first = np.stack((starts, runs.offsets), 1).ravel()
        count = np.stack((widths, runs.lengths), 1).ravel()
        places = np.arange(count.sum()) + np.repeat(first - (np.cumsum(count) - count), count)
        lengths, (own, places_there) = Lengths.beside(
            runs.widths, widths + runs.lengths, device, runs.past, places
        )
        return cls(own, prefixes, places_there, lengths)

    def keys_values(self, store: Tensor, layer: int) -> Tensor:
        """``[keys, 2, kv_heads, head_dim]``, from a layer's ``[capacity, 2, kv_heads, head_dim]``."""
        own = store.index_select(0, self.own)
        if not self.prefixes:
            return own
        together = torch.cat([own, *(cells.keys_values[layer] for cells in self.prefixes)])
        return together.index_select(0, self.places)


def _span_of_run(stage: Stage, values: SequenceOf[Any]) -> np.ndarray:
    """For each of a stage's requests the value of the span of tokens that it stands in."""
    ends = [span.end for span in stage.spans]
    return np.asarray(values)[np.searchsorted(ends, stage.runs.starts, side="right")]


def fits(query: Tensor) -> bool:
    """Whether the kernel is there for this device, type and width of head."""
    whole = torch.float32, torch.float16, torch.bfloat16
    return query.is_cuda and torch.version.hip is None and query.dtype in whole and query.shape[-1] % 8 == 0


def causal(query: Tensor, past: Tensor, lengths: Lengths, scale: float) -> tuple[Tensor, Tensor]:
    """Attention of each sequence's queries, the last of its tokens, to what stands before them.

    Args:
        query: ``[queries, heads, head_dim]``.
        past: keys and values, ``[keys, 2, kv_heads, head_dim]``.

    Returns:
        Output, shaped as the query, and log-sum-exp in float32, for :meth:`Lengths.weights` to lay out.
    """
    groups = query.shape[1] // past.shape[2]
    if groups > 1:  # queries of one key head cannot stand side by side: the mask goes by their places
        past = past.repeat_interleave(groups, 2)
    keys, values = past.unbind(1)
    return _run(query, keys, values, lengths, _FROM_BOTTOM_RIGHT, scale)


def whole(query: Tensor, past: Tensor, lengths: Lengths, scale: float) -> tuple[Tensor, Tensor]:
    """Attention to all of a sequence's keys, arguments as of :func:`causal`.

    ``lengths`` counts each query once for every query head that shares a key head.

    Returns:
        Output, shaped as the query, and log-sum-exp ``[queries, heads]`` in float32.
    """
    keys, values = past.unbind(1)
    kv_heads = past.shape[2]
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
