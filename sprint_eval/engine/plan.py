"""What one forward computes: which cells, from which hidden states, attending to which slots.

Tokens of all requests are packed into one row without padding. Each segment of layers has its own
*stage*, a subset of the step's tokens: those whose cells are not there yet. Only attention over a
request's own tokens works in padded buckets, since requests differ in length there.
"""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from sprint_eval.engine.cache import Cache, Prefix, PrefixCells
from sprint_eval.engine.cells import CellChooser, Run, Span, StageDraft
from sprint_eval.engine.segments import Key, Segments
from sprint_eval.engine.sequence import Sequence

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
class Stage:
    """The tokens that run through one segment.

    Attributes:
        tokens: ``[tokens]``, indices into the step's tokens; requests' tokens first, then prefixes.
        rows: number of requests' tokens.
        from_previous: places in this stage and in the one before, for tokens that ran there.
        same: the tokens are those of the stage before, in the same order.
        from_store: places in this stage and slots of the segment before, for tokens that did not.
        from_prefix: place of the first token, and the cells that hold the hidden states.
        slots: ``[rows]``, where the requests' tokens are stored.
        spans: requests' tokens by prefix and key.
        prefixes: prefixes computed in this stage, with the cells to fill.
        buckets: attention to requests' own tokens; their concatenated outputs, in the order
            ``unpad``, are the stage's tokens.
        empty: no token runs here; token 0 stands in, and its result is dropped.
    """

    segment: int
    tokens: Tensor
    rows: int
    from_previous: tuple[Tensor, Tensor]
    same: bool
    from_store: tuple[Tensor, Tensor]
    from_prefix: list[tuple[int, PrefixCells]]
    slots: Tensor
    spans: list[Span]
    prefixes: list[tuple[Span, PrefixCells]]
    buckets: list[Bucket]
    unpad: Tensor
    empty: bool
    memo: dict[object, Tensor] = field(default_factory=dict)


@dataclass
class StepPlan:
    """One forward pass.

    Attributes:
        input_ids, positions: ``[tokens]``.
        stages: one a segment.
        logits: ``[rows]``, tokens of the last stage whose logits decide something.
        decisions: each request with its rows of the logits, one a decision in order.
        token_layers: tokens times layers that run.
        skipped_layers: tokens times layers that were there already.
    """

    input_ids: Tensor
    positions: Tensor
    stages: list[Stage]
    logits: Tensor
    decisions: list[tuple[Sequence, list[int]]]
    token_layers: int
    skipped_layers: int


class Planner:
    """Builds the plan of a step."""

    def __init__(self, segments: Segments, cache: Cache, device: torch.device) -> None:
        self._segments = segments
        self._cache = cache
        self._device = device

    def plan(self, sequences: SequenceOf[Sequence]) -> StepPlan:
        """The forward that computes every sequence's feed; takes the slots it writes to."""
        rows = sorted(sequences, key=lambda sequence: (id(sequence.tree.prefix), sequence.order))
        prefixes = self._missing_prefixes(rows)
        builder = CellChooser(self._segments, self._cache, rows, prefixes)
        stages = [self._stage(builder.stage(segment)) for segment in range(len(self._segments))]
        ids, positions = builder.inputs()
        logits, decisions = builder.decisions()
        feeds = sum(len(row.feed) for row in rows) + sum(len(prefix) for prefix, _ in prefixes)
        return StepPlan(
            self._index(ids),
            self._index(positions),
            stages,
            self._index(logits),
            decisions,
            builder.token_layers,
            feeds * self._segments.num_layers - builder.token_layers,
        )

    def _missing_prefixes(self, rows: SequenceOf[Sequence]) -> list[tuple[Prefix, tuple[Key, ...]]]:
        """Prefixes with keys under which they are not computed, in the rows' order."""
        missing: dict[tuple[int, Key], tuple[Prefix, tuple[Key, ...]]] = {}
        for row in rows:
            prefix = row.tree.prefix
            if len(prefix) and row.keys[-1] not in prefix.cells:
                missing[id(prefix), row.keys[-1]] = (prefix, row.keys)
        return list(missing.values())

    def _index(self, values: SequenceOf[int] | np.ndarray) -> Tensor:
        return torch.from_numpy(np.asarray(values, dtype=np.int64)).to(self._device, non_blocking=True)

    def _stage(self, draft: StageDraft) -> Stage:
        buckets, unpad = self._buckets(draft.runs)
        previous, store = np.array(draft.previous).reshape(-1, 2), np.array(draft.store).reshape(-1, 2)
        return Stage(
            draft.segment,
            self._index(draft.tokens or [0]),
            len(draft.slots),
            (self._index(previous[:, 0]), self._index(previous[:, 1])),
            draft.same,
            (self._index(store[:, 0]), self._index(store[:, 1])),
            draft.from_prefix,
            self._index(draft.slots),
            draft.spans,
            draft.prefixes,
            buckets,
            self._index(unpad),
            not draft.tokens,
        )

    def _buckets(self, runs: list[Run]) -> tuple[list[Bucket], np.ndarray]:
        buckets: list[Bucket] = []
        unpad = np.zeros(sum(run.width for run in runs), dtype=np.int64)
        offset = 0
        for members in _similar(runs):
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
                    self._index(queries.ravel()),
                    self._index(context.ravel()),
                    self._index(places),
                    (len(members), width, length),
                )
            )
        return buckets, unpad


def _similar(runs: list[Run]) -> list[list[Run]]:
    """Runs of similar width and length together, so that padding stays small."""
    groups: list[list[Run]] = []
    true = 0
    for run in sorted(runs, key=lambda run: (run.width, len(run.past)), reverse=True):
        size = run.width * len(run.past)
        if groups:
            first = groups[-1][0]
            longest = max(len(groups[-1][0].past), len(run.past))
            padded = (len(groups[-1]) + 1) * first.width * longest
            if padded <= max(_PADDING * (true + size), _SMALL):
                groups[-1].append(run)
                true += size
                continue
        groups.append([run])
        true = size
    return groups
