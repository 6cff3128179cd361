"""Which cells a forward computes: each once, whichever requests ask for it.

Segment by segment from below, each request's tokens are looked up in its prompt's tree. A token whose
cell is there, or which another request of the same forward computes, does not run; the others take
their hidden state from the segment below, where they ran just now or in an earlier step.
"""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass
from typing import Any

import numpy as np

from sprint_eval.engine.cache import Cache, Prefix, PrefixCells
from sprint_eval.engine.segments import Key, Segments
from sprint_eval.engine.sequence import Sequence
from sprint_eval.engine.tree import Node


@dataclass
class Span:
    """Neighbouring tokens of a stage that share a prefix and a key."""

    start: int
    end: int
    prefix: Prefix
    key: Key


@dataclass(slots=True)
class Run:
    """A request's tokens in a stage, and the slots of their whole past."""

    start: int
    width: int
    past: np.ndarray  # slots of the run's whole past, its own tokens included


class StageDraft:
    """A stage in the making, as Python lists.

    ``previous`` and ``store`` are pairs of lists: places in this stage, and places or slots of the one below.
    """

    def __init__(self, segment: int) -> None:
        self.segment = segment
        self.tokens: list[int] = []
        self.slots: list[int] = []
        self.previous: tuple[list[int], list[int]] = ([], [])
        self.store: tuple[list[int], list[int]] = ([], [])
        self.from_prefix: list[tuple[int, PrefixCells]] = []
        self.spans: list[Span] = []
        self.prefixes: list[tuple[Span, PrefixCells]] = []
        self.runs: list[Run] = []
        self.where: dict[Key, dict[Node, int]] = {}
        self.where_prefix: dict[tuple[int, Key], int] = {}
        self.same = False


class CellChooser:
    """Walks the segments from below and decides, cell by cell, what is computed."""

    def __init__(
        self,
        segments: Segments,
        cache: Cache,
        rows: SequenceOf[Sequence],
        prefixes: list[tuple[Prefix, tuple[Key, ...]]],
    ) -> None:
        self._segments = segments
        self._cache = cache
        self._rows = rows
        self._prefixes = prefixes
        self._feeds = [row.feed for row in rows]
        self._slots: list[list[list[int]]] = [[] for _ in rows]  # of each row's feed, segment by segment
        self._last = len(segments) - 1
        self._offsets = np.cumsum([0, *(len(feed) for feed in self._feeds)]).tolist()
        self._below: StageDraft | None = None
        self.token_layers = 0
        for row, feed in zip(rows, self._feeds, strict=True):
            row.reserve(len(row.path) + len(feed))

    def inputs(self) -> tuple[list[int], list[int]]:
        """Token ids and positions of all the step's tokens."""
        ids: list[int] = []
        positions: list[int] = []
        for row, feed in zip(self._rows, self._feeds, strict=True):
            first = len(row.tree.prefix) + len(row.path)
            ids += [node.token for node in feed]
            positions += range(first, first + len(feed))
        for prefix, _ in self._prefixes:
            ids += prefix.tokens
            positions += range(len(prefix))
        return ids, positions

    def decisions(self) -> tuple[list[int], list[tuple[Sequence, list[int]]]]:
        """Tokens of the last stage whose logits are wanted, and each row's places among them."""
        last = self._below
        wanted: dict[int, int] = {}
        decisions: list[tuple[Sequence, list[int]]] = []
        for row, feed in zip(self._rows, self._feeds, strict=True):
            where = last.where.get(row.keys[-1], {}) if last is not None else {}
            tokens = [where[node] for node in feed[len(row.pending) - 1 :]]
            decisions.append((row, [wanted.setdefault(token, len(wanted)) for token in tokens]))
        return list(wanted), decisions

    def stage(self, segment: int) -> StageDraft:
        """The next stage; stages are asked for in order."""
        stage = StageDraft(segment)
        for number in range(len(self._rows)):
            self._add_row(stage, number)
        offset = self._offsets[-1]
        for prefix, keys in self._prefixes:
            self._add_prefix(stage, prefix, keys, offset)
            offset += len(prefix)
        if segment == self._last:
            self._write_slots()
        self.token_layers += len(stage.tokens) * self._segments.layers(segment)
        here, there = stage.previous
        if self._below is not None and len(here) == len(stage.tokens) == len(self._below.tokens):
            stage.same = here == there
        self._below = stage
        return stage

    def _write_slots(self) -> None:
        """Into the rows' own arrays, which the runs' pasts are views of: once a row, not once a segment."""
        for row, feed, slots in zip(self._rows, self._feeds, self._slots, strict=True):
            base = len(row.path)
            row.slots[:, base : base + len(feed)] = slots

    def _add_row(self, stage: StageDraft, number: int) -> None:
        row, feed, segment = self._rows[number], self._feeds[number], stage.segment
        key, base = row.keys[segment], len(row.path)
        cells = row.tree.cells(key)
        where = stage.where.setdefault(key, {})
        # Whole lists at a time: with many segments a loop over tokens here takes longer than a GPU's work.
        slots: list[Any] = list(map(cells.get, feed))
        first = slots.index(None) if None in slots else len(feed)  # cells are there for a leading part
        if first < len(feed):
            slots[first:] = self._cache.stores[segment].take(len(feed) - first)
            cells.update(zip(feed[first:], slots[first:], strict=True))
        self._slots[number].append(slots)
        if segment == self._last:
            first = self._first_to_decide(row, feed, first, where)
        if first == len(feed):
            return
        nodes, start = feed[first:], len(stage.tokens)
        end, offset = start + len(nodes), self._offsets[number]
        where.update(zip(nodes, range(start, end), strict=True))
        self._add_sources(stage, number, nodes, first)
        stage.tokens += range(offset + first, offset + len(feed))
        stage.slots += slots[first:]
        stage.runs.append(Run(start, end - start, row.slots[segment, : base + len(feed)]))
        last = stage.spans[-1] if stage.spans else None
        if last is not None and last.key is key and last.prefix is row.tree.prefix:
            last.end = end
        else:
            stage.spans.append(Span(start, end, row.tree.prefix, key))

    def _first_to_decide(self, row: Sequence, feed: list[Node], first: int, where: dict[Node, int]) -> int:
        """Logits need the last segment to run anew, also where its cells are there."""
        decided = range(len(row.pending) - 1, first)
        return next((i for i in decided if feed[i] not in where), first)

    def _add_sources(self, stage: StageDraft, number: int, nodes: list[Node], first: int) -> None:
        """Where the tokens' hidden states come from; from the embedding in the first segment."""
        below = self._below
        if below is None:
            return
        start = len(stage.tokens)
        where = below.where.get(self._rows[number].keys[below.segment], {})
        ran = [where[node] for node in nodes if node in where]
        if len(ran) == len(nodes):
            stage.previous[0].extend(range(start, start + len(ran)))
            stage.previous[1].extend(ran)
            return
        slots = self._slots[number][below.segment][first:]
        for here, (node, slot) in enumerate(zip(nodes, slots, strict=True), start):
            into, source = (stage.previous, where[node]) if node in where else (stage.store, slot)
            into[0].append(here)
            into[1].append(source)

    def _add_prefix(self, stage: StageDraft, prefix: Prefix, keys: tuple[Key, ...], offset: int) -> None:
        key = keys[stage.segment]
        if key in prefix.cells:
            return
        cells = prefix.cells[key] = PrefixCells()
        start = len(stage.tokens)
        stage.where_prefix[id(prefix), key] = start
        below = self._below
        if below is not None:
            key_below = keys[below.segment]
            ran = below.where_prefix.get((id(prefix), key_below))
            if ran is None:
                stage.from_prefix.append((start, prefix.cells[key_below]))
            else:
                stage.previous[0].extend(range(start, start + len(prefix)))
                stage.previous[1].extend(range(ran, ran + len(prefix)))
        stage.tokens += range(offset, offset + len(prefix))
        stage.prefixes.append((Span(start, start + len(prefix), prefix, key), cells))
