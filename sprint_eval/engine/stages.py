"""A forward segment by segment: which tokens run there, and where their hidden states come from."""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sprint_eval.engine.cache import Prefix, PrefixCells
from sprint_eval.engine.cells import Cells, Runs
from sprint_eval.engine.segments import Key
from sprint_eval.engine.sequence import Sequence
from sprint_eval.engine.slots import NONE

if TYPE_CHECKING:
    from torch import Tensor

_NOWHERE = np.zeros(0, dtype=np.int64)


@dataclass
class Span:
    """Neighbouring tokens of a stage that share a prefix and a key."""

    start: int
    end: int
    prefix: Prefix
    key: Key


@dataclass
class Stage:
    """The tokens that run through one segment.

    Attributes:
        layer: the segment's first, where it prunes heads.
        tokens: ``[tokens]``, indices into the step's tokens; requests' tokens first, then prefixes.
        rows: number of requests' tokens.
        from_previous: places in this stage and in the one before, for tokens that ran there.
        same: the tokens are those of the stage before, in the same order.
        from_store: places in this stage and slots of the segment before, for tokens that did not.
        from_prefix: place of the first token, and the cells that hold the hidden states.
        slots: ``[rows]``, where the requests' tokens are stored.
        pruned: places of tokens, prefixes included, and for each the head that it loses.
        spans: requests' tokens by prefix and key.
        prefixes: prefixes computed in this stage, with the cells to fill.
        runs: requests' tokens by request, in the order of the rows, with their past.
        empty: no token runs here; token 0 stands in, and its result is dropped.
        memo: what attention derives from the stage once for all of its layers.
    """

    segment: int
    layer: int
    tokens: Tensor
    rows: int
    from_previous: tuple[Tensor, Tensor]
    same: bool
    from_store: tuple[Tensor, Tensor]
    from_prefix: list[tuple[int, PrefixCells]]
    slots: Tensor
    pruned: tuple[Tensor, Tensor]
    spans: list[Span]
    prefixes: list[tuple[Span, PrefixCells]]
    runs: Runs
    empty: bool
    memo: dict[object, Any] = field(default_factory=dict)


@dataclass
class StageDraft:
    """A stage before its numbers are tensors; attributes as there."""

    segment: int
    layer: int
    tokens: np.ndarray
    slots: np.ndarray
    previous: tuple[np.ndarray, np.ndarray]
    store: tuple[np.ndarray, np.ndarray]
    from_prefix: list[tuple[int, PrefixCells]]
    spans: list[Span]
    prefixes: list[tuple[Span, PrefixCells]]
    runs: Runs
    same: bool

    @property
    def numbers(self) -> list[np.ndarray]:
        tokens = self.tokens if len(self.tokens) else np.zeros(1, dtype=np.int64)
        return [tokens, self.slots, *self.previous, *self.store, *self._pruned()]

    def stage(self, numbers: SequenceOf[Tensor]) -> Stage:
        """The stage, given :attr:`numbers` as tensors."""
        tokens, slots, here, there, apart, stored, places, heads = numbers
        return Stage(
            self.segment,
            self.layer,
            tokens,
            len(self.slots),
            (here, there),
            self.same,
            (apart, stored),
            self.from_prefix,
            slots,
            (places, heads),
            self.spans,
            self.prefixes,
            self.runs,
            not len(self.tokens),
        )

    def _pruned(self) -> tuple[np.ndarray, np.ndarray]:
        spans = [*self.spans, *(span for span, _ in self.prefixes)]
        lost = [(span, head) for span in spans for head in span.key.pruned_in(self.layer)]
        if not lost:
            return _NOWHERE, _NOWHERE
        places = [np.arange(span.start, span.end) for span, _ in lost]
        heads = np.repeat([head for _, head in lost], [len(part) for part in places])
        return np.concatenate(places), heads


class Stages:
    """A step's stages, from below."""

    def __init__(
        self,
        cells: Cells,
        layers: SequenceOf[int],
        rows: SequenceOf[Sequence],
        prefix_numbers: list[int],
        prefixes: list[tuple[Prefix, tuple[Key, ...]]],
    ) -> None:
        self._cells = cells
        self._layers = layers  # each segment's first
        self._rows = rows
        # Equal where two requests' tokens belong to one span: [rows, segments].
        self._alike = np.stack([row.key_numbers for row in rows])
        self._alike += (self._alike.max() + 1) * np.array(prefix_numbers)[:, None]
        self._prefixes = prefixes
        self._prefix_places: dict[tuple[int, Key], int] = {}  # in the stage of the key's segment
        self._places = np.zeros(0, dtype=np.int64)  # of the step's tokens, in the stage below
        self._below = 0  # its tokens, prefixes included

    def draft(self, segment: int) -> StageDraft:
        """The next stage; stages are asked for in order."""
        tokens, rows, runs = self._cells.of_segment(segment)
        slots = self._cells.slots[segment, tokens]
        previous, store = self._sources(segment, tokens)
        spans = self._spans(segment, rows, runs)
        layer = self._layers[segment]
        found = StageDraft(segment, layer, tokens, slots, previous, store, [], spans, [], runs, False)
        offset = int(self._cells.first[-1])
        for prefix, keys in self._prefixes:
            if keys[segment] not in prefix.cells:
                self._add_prefix(found, prefix, keys, offset)
            offset += len(prefix)
        here, there = found.previous
        found.same = (
            segment > 0 and len(here) == len(found.tokens) == self._below and bool((here == there).all())
        )
        self._places = np.full(len(self._cells.row), NONE)
        self._places[tokens] = np.arange(len(tokens))
        self._below = len(found.tokens)
        return found

    def decisions(self) -> tuple[np.ndarray, list[tuple[Sequence, list[int]]]]:
        """Tokens of the last stage whose logits are wanted, and each request's places among them."""
        places = self._places[self._cells.owner[-1]].tolist()
        wanted: dict[int, int] = {}
        decisions = [
            (row, [wanted.setdefault(places[token], len(wanted)) for token in span])
            for row, span in zip(self._rows, self._cells.decisions, strict=True)
        ]
        return np.fromiter(wanted, dtype=np.int64, count=len(wanted)), decisions

    def _sources(
        self, segment: int, tokens: np.ndarray
    ) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """Where the tokens' hidden states come from; from the embedding in the first segment."""
        if segment == 0:
            return (_NOWHERE, _NOWHERE), (_NOWHERE, _NOWHERE)
        owners = self._cells.owner[segment - 1, tokens]
        ran = owners != NONE
        here = np.flatnonzero(ran)
        apart = np.flatnonzero(~ran)
        slots = self._cells.slots[segment - 1, tokens[apart]]
        return (here, self._places[owners[here]]), (apart, slots)

    def _spans(self, segment: int, rows: np.ndarray, runs: Runs) -> list[Span]:
        if not len(rows):
            return []
        alike = self._alike[rows, segment]
        firsts = np.flatnonzero(np.diff(alike, prepend=NONE))
        starts = runs.starts[firsts].tolist()
        ends = [*starts[1:], int(runs.widths.sum())]
        members = [self._rows[row] for row in rows[firsts].tolist()]
        return [
            Span(start, end, row.tree.prefix, row.keys[segment])
            for start, end, row in zip(starts, ends, members, strict=True)
        ]

    def _add_prefix(self, draft: StageDraft, prefix: Prefix, keys: tuple[Key, ...], offset: int) -> None:
        key, start = keys[draft.segment], len(draft.tokens)
        cells = prefix.cells[key] = PrefixCells()
        places = np.arange(len(prefix))
        self._prefix_places[id(prefix), key] = start
        if draft.segment:
            below = keys[draft.segment - 1]
            ran = self._prefix_places.get((id(prefix), below))
            if ran is None:
                draft.from_prefix.append((start, prefix.cells[below]))
            else:
                here, there = draft.previous
                draft.previous = np.append(here, start + places), np.append(there, ran + places)
        draft.tokens = np.append(draft.tokens, offset + places)
        draft.prefixes.append((Span(start, start + len(prefix), prefix, key), cells))


def together(numbers: SequenceOf[np.ndarray], device: torch.device) -> SequenceOf[Tensor]:
    """Arrays as tensors that one copy to the device brings: what each copy costs adds up over segments."""
    return index(np.concatenate(numbers), device).split([len(part) for part in numbers])


def index(values: SequenceOf[int] | np.ndarray, device: torch.device) -> Tensor:
    """Numbers as a tensor to index with, of their shape."""
    return torch.from_numpy(np.asarray(values, dtype=np.int64)).to(device, non_blocking=True)
