"""What one forward computes: which cells, from which hidden states, attending to which slots.

Tokens of all requests are packed into one row without padding. Each segment of layers has its own
*stage*, a subset of the step's tokens: those whose cells are not there yet.
"""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING

import numpy as np
import torch

from sprint_eval.engine.cache import Cache, Prefix
from sprint_eval.engine.cells import Cells
from sprint_eval.engine.segments import Key, Segments
from sprint_eval.engine.sequence import Sequence
from sprint_eval.engine.stages import Stage, Stages, together

if TYPE_CHECKING:
    from torch import Tensor


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
        order: dict[Prefix, int] = {}
        for sequence in sequences:
            order.setdefault(sequence.tree.prefix, len(order))
        # Not by addresses: a run's forwards, and how they round, are then the same when it is done again.
        rows = sorted(sequences, key=lambda one: (order[one.tree.prefix], one.order))
        prefixes = _missing_prefixes(rows)
        cells = Cells(self._cache, rows)
        numbers_of_prefixes = [order[row.tree.prefix] for row in rows]
        stages = Stages(cells, self._segments.starts, rows, numbers_of_prefixes, prefixes)
        drafts = [stages.draft(segment) for segment in range(len(self._segments))]
        logits, decisions = stages.decisions()
        ids, positions = _inputs(rows, prefixes)
        parts = [[ids, positions, logits], *(draft.numbers for draft in drafts)]
        sent = iter(together(list(chain.from_iterable(parts)), self._device))
        (inputs, places, wanted), *numbers = [list(islice(sent, len(part))) for part in parts]
        run = sum(len(draft.tokens) * self._segments.layers(segment) for segment, draft in enumerate(drafts))
        return StepPlan(
            inputs,
            places,
            [draft.stage(part) for draft, part in zip(drafts, numbers, strict=True)],
            wanted,
            decisions,
            run,
            len(ids) * self._segments.num_layers - run,
        )


def _missing_prefixes(rows: SequenceOf[Sequence]) -> list[tuple[Prefix, tuple[Key, ...]]]:
    """Prefixes with keys under which they are not computed, in the rows' order."""
    missing: dict[tuple[int, Key], tuple[Prefix, tuple[Key, ...]]] = {}
    for row in rows:
        prefix = row.tree.prefix
        if len(prefix) and row.keys[-1] not in prefix.cells:
            missing[id(prefix), row.keys[-1]] = (prefix, row.keys)
    return list(missing.values())


def _inputs(
    rows: SequenceOf[Sequence], prefixes: list[tuple[Prefix, tuple[Key, ...]]]
) -> tuple[np.ndarray, np.ndarray]:
    """Token ids and positions of all the step's tokens."""
    ids: list[int] = []
    positions: list[int] = []
    for row in rows:
        feed = row.feed
        first = len(row.tree.prefix) + len(row.path)
        ids += [node.token for node in feed]
        positions += range(first, first + len(feed))
    for prefix, _ in prefixes:
        ids += prefix.tokens
        positions += range(len(prefix))
    return np.array(ids), np.array(positions)
