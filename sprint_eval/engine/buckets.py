"""Runs of tokens in padded buckets, for attention kernels that want sequences of one length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sprint_eval.engine.cells import Run
from sprint_eval.engine.plan import Stage, index

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
        buckets: list[Bucket] = []
        unpad = np.zeros(sum(run.width for run in stage.runs), dtype=np.int64)
        offset, device = 0, stage.tokens.device
        for members in _similar(stage.runs):
            width, length = max(run.width for run in members), max(len(run.past) for run in members)
            queries = np.zeros((len(members), width), dtype=np.int64)
            context = np.zeros((len(members), length), dtype=np.int64)
            places = np.zeros((len(members), width), dtype=np.int64)
            for row, run in enumerate(members):
                span = np.arange(run.width)
                queries[row, : run.width] = run.start + span
                context[row, : len(run.past)] = run.past
                places[row, : run.width] = len(run.past) - run.width + span
                unpad[run.start : run.start + run.width] = offset + row * width + span
            offset += queries.size
            buckets.append(
                Bucket(
                    index(queries.ravel(), device),
                    index(context.ravel(), device),
                    index(places, device),
                    (len(members), width, length),
                )
            )
        return cls(buckets, index(unpad, device))


def _similar(runs: list[Run]) -> list[list[Run]]:
    """Runs of similar width and length together, so that padding stays small."""
    groups: list[list[Run]] = []
    true = longest = 0
    for run in sorted(runs, key=lambda run: (run.width, len(run.past)), reverse=True):
        size = run.width * len(run.past)
        if groups:
            first = groups[-1][0]
            padded = (len(groups[-1]) + 1) * first.width * max(longest, len(run.past))
            if padded <= max(_PADDING * (true + size), _SMALL):
                groups[-1].append(run)
                true, longest = true + size, max(longest, len(run.past))
                continue
        groups.append([run])
        true, longest = size, len(run.past)
    return groups
