"""What one forward computes: which cells, from which hidden states, attending to which slots.

Tokens of all requests are packed into one row without padding. Each segment of layers has its own
*stage*, a subset of the step's tokens: those whose cells are not there yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sprint_eval.engine.cache import Cache, Prefix, PrefixCells
from sprint_eval.engine.cells import CellChooser, Run, Span, StageDraft
from sprint_eval.engine.segments import Key, Segments
from sprint_eval.engine.sequence import Sequence

if TYPE_CHECKING:
    from torch import Tensor


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
        runs: requests' tokens by request, in the order of the rows, with their past.
        empty: no token runs here; token 0 stands in, and its result is dropped.
        memo: what attention derives from the stage once for all of its layers.
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
    runs: list[Run]
    empty: bool
    memo: dict[object, Any] = field(default_factory=dict)


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
        prefixes_in_order: dict[Prefix, int] = {}
        for sequence in sequences:
            prefixes_in_order.setdefault(sequence.tree.prefix, len(prefixes_in_order))
        # Not by addresses: a run's forwards, and how they round, are then the same when it is done again.
        rows = sorted(sequences, key=lambda one: (prefixes_in_order[one.tree.prefix], one.order))
        prefixes = self._missing_prefixes(rows)
        builder = CellChooser(self._segments, self._cache, rows, prefixes)
        drafts = [builder.stage(segment) for segment in range(len(self._segments))]
        ids, positions = builder.inputs()
        logits, decisions = builder.decisions()
        numbers = [ids, positions, logits]
        for draft in drafts:
            numbers += [draft.tokens or [0], draft.slots, *draft.previous, *draft.store]
        tensors = iter(_together(numbers, self._device))
        inputs, places, wanted = next(tensors), next(tensors), next(tensors)
        stages = [_stage(draft, tensors) for draft in drafts]
        feeds = sum(len(row.feed) for row in rows) + sum(len(prefix) for prefix, _ in prefixes)
        return StepPlan(
            inputs,
            places,
            stages,
            wanted,
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


def _stage(draft: StageDraft, tensors: Iterator[Tensor]) -> Stage:
    """A stage, and its numbers: tokens, slots, ``previous`` and ``store``."""
    tokens, slots, *sources = (next(tensors) for _ in range(6))
    return Stage(
        draft.segment,
        tokens,
        len(draft.slots),
        (sources[0], sources[1]),
        draft.same,
        (sources[2], sources[3]),
        draft.from_prefix,
        slots,
        draft.spans,
        draft.prefixes,
        draft.runs,
        not draft.tokens,
    )


def _together(numbers: SequenceOf[SequenceOf[int]], device: torch.device) -> SequenceOf[Tensor]:
    """Lists as tensors that one copy to the device brings: what each copy costs adds up over segments."""
    lengths = [len(part) for part in numbers]
    flat = np.fromiter(chain.from_iterable(numbers), dtype=np.int64, count=sum(lengths))
    return index(flat, device).split(lengths)


def index(values: SequenceOf[int] | np.ndarray, device: torch.device) -> Tensor:
    """Numbers as a tensor to index with, of their shape."""
    return torch.from_numpy(np.asarray(values, dtype=np.int64)).to(device, non_blocking=True)
