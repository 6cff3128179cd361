"""Which cells a forward computes: each once, whichever requests ask for it.

A token whose cell is there, or which another request of the same forward computes, does not run; the
others take their hidden state from the segment below, where they ran just now or in an earlier step.
All requests' tokens are looked up in all segments at once.
"""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass

import numpy as np

from sprint_eval.engine.cache import Cache
from sprint_eval.engine.sequence import Sequence
from sprint_eval.engine.slots import NONE

_CLAIMED = NONE - 1  # and below: the cell is computed in this forward, for the token so far below


@dataclass(slots=True)
class Runs:
    """Requests' tokens in a stage, request by request, and the slots of their whole pasts.

    Attributes:
        starts, widths: ``[runs]``, the first of a request's tokens in the stage, and how many they are.
        lengths: ``[runs]``, tokens of the past, the request's own included.
        past: ``[sum of lengths]``, slots, one past behind the other.
    """

    starts: np.ndarray
    widths: np.ndarray
    lengths: np.ndarray
    past: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def offsets(self) -> np.ndarray:
        """``[runs]``, where each past begins."""
        return np.cumsum(self.lengths) - self.lengths


class Cells:
    """The cells of a step's tokens in every segment, and which of them run.

    Takes the slots of the cells that are computed.

    Attributes:
        first: ``[rows + 1]``, where each request's tokens begin among the step's, and where the last's end.
        row: ``[tokens]``, each token's request.
        runs: ``[segments, tokens]``, whether a token runs there.
        slots: ``[segments, tokens]``, the cells' slots.
        owner: ``[segments, tokens]``, the token that computes the cell in this forward, or ``NONE``.
        decisions: each request's tokens that decide something: the last that is known, and its draft.
        past: ``[segments, pasts]``, slots of the requests' whole pasts, one behind the other.
        lengths: ``[rows]``, tokens of each past.
    """

    def __init__(self, cache: Cache, rows: SequenceOf[Sequence]) -> None:
        self._rows = rows
        self._feeds = [row.feed for row in rows]
        widths = [len(feed) for feed in self._feeds]
        self.first = np.cumsum([0, *widths])
        self.row = np.repeat(np.arange(len(rows)), widths)
        self.lengths: np.ndarray = np.array([len(row.path) for row in rows]) + widths
        ends = self.first[1:].tolist()
        self.decisions = [range(end - 1 - len(row.draft), end) for end, row in zip(ends, rows, strict=True)]
        self._columns = self._find_columns(cache)
        self._compute(cache)
        self._run_decisions()
        self.past = self._write_pasts()

    def of_segment(self, segment: int) -> tuple[np.ndarray, np.ndarray, Runs]:
        """Tokens that run in a segment, the requests they are of, and their runs."""
        tokens = np.flatnonzero(self.runs[segment])
        of = self.row[tokens]
        starts = np.flatnonzero(np.diff(of, prepend=NONE))
        rows, widths = of[starts], np.diff(starts, append=len(of))
        past = self.past[segment]
        if len(rows) < len(self._rows):
            taking_part = np.zeros(len(self._rows), dtype=bool)
            taking_part[rows] = True
            past = past[np.repeat(taking_part, self.lengths)]
        return tokens, rows, Runs(starts, widths, self.lengths[rows], past)

    def _find_columns(self, cache: Cache) -> np.ndarray:
        """``[segments, tokens]``: each cell's column."""
        parts = []
        for row, feed in zip(self._rows, self._feeds, strict=True):
            found = [stretch.track.find(feed, cache) for stretch in row.stretches]
            widths = [stretch.end - stretch.start for stretch in row.stretches]
            parts.append(np.repeat(np.array(found, dtype=np.int64), widths, axis=0))
        return np.concatenate(parts, axis=1)

    def _compute(self, cache: Cache) -> None:
        """What is not there is computed by the first token that asks for it, into slots of its own."""
        columns, table = self._columns, cache.columns.table
        self.slots = table[np.arange(len(columns))[:, None], columns]
        self.owner = np.full(columns.shape, NONE)
        self.runs = np.zeros(columns.shape, dtype=bool)
        segments, tokens = np.nonzero(self.slots == NONE)
        wanted = columns[segments, tokens]
        # Of several claims on one cell the last that is written stays: the first token's.
        table[segments[::-1], wanted[::-1]] = _CLAIMED - tokens[::-1]
        owners = _CLAIMED - table[segments, wanted]
        own = owners == tokens
        taken = cache.slots.take(np.bincount(segments[own], minlength=len(columns)))
        table[segments[own], wanted[own]] = taken
        self.owner[segments, tokens] = owners
        self.runs[segments[own], tokens[own]] = True
        self.slots[segments, tokens] = table[segments, wanted]

    def _run_decisions(self) -> None:
        """Logits need the last segment to run anew, also where its cells are there."""
        owner, runs, columns = self.owner[-1], self.runs[-1], self._columns[-1]
        deciding = np.concatenate([np.arange(span.start, span.stop) for span in self.decisions])
        if (owner[deciding] != NONE).all():
            return
        again: dict[int, int] = {}
        for span in self.decisions:
            there = (t for t in span if owner[t] == NONE and int(columns[t]) not in again)
            first = next(there, span.stop)
            # From the first on all of the request's run, so that they stand together.
            rest = range(first, span.stop)
            runs[first : span.stop], owner[first : span.stop] = True, rest
            again.update(zip(columns[first : span.stop].tolist(), rest, strict=True))
        found = zip(columns[deciding].tolist(), owner[deciding].tolist(), strict=True)
        owner[deciding] = [again.get(column, token) for column, token in found]

    def _write_pasts(self) -> np.ndarray:
        """Each request's own slots go on; those of all, one behind the other."""
        pasts = []
        bounds, lengths = self.first.tolist(), self.lengths.tolist()
        for row, start, end, length in zip(self._rows, bounds, bounds[1:], lengths, strict=False):
            row.reserve(length)
            row.slots[:, length - (end - start) : length] = self.slots[:, start:end]
            pasts.append(row.slots[:, :length])
        return np.concatenate(pasts, axis=1)
