"""Runs of tokens in padded buckets, for attention kernels that want sequences of one length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sprint_eval.engine.cells import Runs
from sprint_eval.engine.stages import Stage, index

if TYPE_CHECKING:
    from torch import Tensor

_SMALL = 4096  # query-key pairs that are not worth a bucket of their own
_PADDING = 1.4  # padded over true size of a bucket


@dataclass
class Bucket:
    """Runs of tokens whose attention to their own past is computed together, padded.

    Attributes:
        queries: ``[runs * width]``, tokens of the stage.
        context: ``[runs * length]``, slots.
        query_positions: ``[runs, width]``, place of each query in its own past.
        lengths: runs, width and length.
    """

    queries: Tensor
    context: Tensor
    query_positions: Tensor
    lengths: tuple[int, int, int]


@dataclass
class Buckets:
    """A stage's requests' tokens in buckets.

    Attributes:
        members: the buckets.
        unpad: ``[rows]``; the buckets' concatenated outputs, in this order, are the stage's tokens.
    """

    members: list[Bucket]
    unpad: Tensor

    @classmethod
    def of(cls, stage: Stage) -> Buckets:
        """A stage's buckets, the same for all of its layers."""
        found: Buckets | None = stage.memo.get("buckets")
        if found is None:
            found = stage.memo["buckets"] = cls._build(stage)
        return found

    @classmethod
    def _build(cls, stage: Stage) -> Buckets:
        runs, buckets = stage.runs, []
        unpad = np.zeros(int(runs.widths.sum()), dtype=np.int64)
        offsets = runs.offsets
        offset, device = 0, stage.tokens.device
        for members in _similar(runs):
            widths, lengths = runs.widths[members], runs.lengths[members]
            width, length = np.arange(widths.max()), np.arange(lengths.max())
            there = width < widths[:, None]
            queries = np.where(there, runs.starts[members][:, None] + width, 0)
            # Padded by a run's own last token: another's, where it is not finite, would spoil this run.
            context = runs.past[offsets[members][:, None] + np.minimum(length, lengths[:, None] - 1)]
            places = np.where(there, (lengths - widths)[:, None] + width, 0)
            unpad[queries[there]] = offset + np.flatnonzero(there)
            offset += queries.size
            buckets.append(
                Bucket(
                    index(queries.ravel(), device),
                    index(context.ravel(), device),
                    index(places, device),
                    (len(members), len(width), len(length)),
                )
            )
        return cls(buckets, index(unpad, device))


def _similar(runs: Runs) -> list[list[int]]:
    """Runs of similar width and length together, so that padding stays small."""
    groups: list[list[int]] = []
    first = true = longest = 0  # width of the last group's first run; the group's size; its longest past
    sizes = list(zip(runs.widths.tolist(), runs.lengths.tolist(), strict=True))
    for run in sorted(range(len(runs)), key=sizes.__getitem__, reverse=True):
        width, length = sizes[run]
        size = width * length
        if groups:
            padded = (len(groups[-1]) + 1) * first * max(longest, length)
            if padded <= max(_PADDING * (true + size), _SMALL):
                groups[-1].append(run)
                true, longest = true + size, max(longest, length)
                continue
        groups.append([run])
        first, true, longest = width, size, length
    return groups
