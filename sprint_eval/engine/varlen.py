"""Attention on a GPU over sequences of many lengths in one call, without padding.

On a GPU a small product costs what its launch costs. PyTorch's memory-efficient attention takes the
boundaries of sequences packed one behind the other, in float32 as in half precision, and gives the
log-sum-exp that merging two parts takes; the wrapper around it drops both.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from sprint_eval.engine.cache import PrefixCells
from sprint_eval.engine.cells import Run, Span
from sprint_eval.engine.plan import Stage, index

if TYPE_CHECKING:
    from torch import Tensor

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
            tokens = sum(len(span.prefix) + len(run.past) for span, run in _by_run(stage))
            width = 2 * query.shape[1] * query.shape[2] * query.element_size()
            fits = tokens * width <= _JOINED_BYTES or not any(len(span.prefix) for span in stage.spans)
            stage.memo["joined"] = cls._join(stage, query.device) if fits else None
        found: Joined | None = stage.memo["joined"]
        return found

    @classmethod
    def _join(cls, stage: Stage, device: torch.device) -> Joined:
        own = np.concatenate([run.past for run in stage.runs])
        prefixes: dict[int, tuple[PrefixCells, np.ndarray]] = {}
        places, lengths = [], []
        end, first = len(own), 0
        for span, run in _by_run(stage):
            if len(span.prefix):
                cells = span.prefix.cells[span.key]
                if id(cells) not in prefixes:
                    prefixes[id(cells)] = (cells, np.arange(end, end + len(span.prefix)))
                    end += len(span.prefix)
                places.append(prefixes[id(cells)][1])
            places.append(np.arange(first, first + len(run.past)))
            first += len(run.past)
            lengths.append(len(span.prefix) + len(run.past))
        return cls(
            index(own, device),
            [cells for cells, _ in prefixes.values()],
            index(np.concatenate(places), device),
            Lengths.of([run.width for run in stage.runs], lengths, device),
        )

    def keys_values(self, store: Tensor, layer: int) -> Tensor:
        """``[keys, 2, kv_heads, head_dim]``, from a layer's ``[capacity, 2, kv_heads, head_dim]``."""
        own = store.index_select(0, self.own)
        if not self.prefixes:
            return own
        together = torch.cat([own, *(cells.keys_values[layer] for cells in self.prefixes)])
        return together.index_select(0, self.places)


def _by_run(stage: Stage) -> Iterator[tuple[Span, Run]]:
    """A stage's requests, each with the span of tokens it stands in."""
    spans = iter(stage.spans)
    span = next(spans)
    for run in stage.runs:
        while run.start >= span.end:
            span = next(spans)
        yield span, run


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


def _boundaries(lengths: SequenceOf[int], device: torch.device) -> Tensor:
    return index(np.cumsum([0, *lengths]), device).to(torch.int32)
