"""Which cells a forward computes: each once, whichever requests ask for it.

Segment by segment from below, each request's tokens are looked up in its prompt's tree. A token whose
cell is there, or which another request of the same forward computes, does not run; the others take
their hidden state from the segment below, where they ran just now or in an earlier step.
"""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass

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


@dataclass
class Run:
    """A request's tokens in a stage, and the slots of their whole past."""

    start: int
    width: int
    past: np.ndarray  # slots of the run's whole past, its own tokens included


class StageDraft:
    """A stage in the making, as Python lists."""

    def __init__(self, segment: int) -> None:
        self.segment = segment
        self.tokens: list[int] = []
        self.same = False
        self.slots: list[int] = []
        self.previous: list[tuple[int, int]] = []
        self.store: list[tuple[int, int]] = []
        self.from_prefix: list[tuple[int, PrefixCells]] = []
        self.spans: list[Span] = []
        self.prefixes: list[tuple[Span, PrefixCells]] = []
        self.runs: list[Run] = []
        self.where: dict[Key, dict[Node, int]] = {}
        self.where_prefix: dict[tuple[int, Key], int] = {}


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
        self.token_layers += len(stage.tokens) * self._segments.layers(segment)
        if self._below is not None and len(stage.previous) == len(stage.tokens) == len(self._below.tokens):
            stage.same = all(here == there for here, there in stage.previous)
        self._below = stage
        return stage

    def _add_row(self, stage: StageDraft, number: int) -> None:
        row, feed, segment = self._rows[number], self._feeds[number], stage.segment
        key, base = row.keys[segment], len(row.path)
        cells = row.tree.cells(key)
        where = stage.where.setdefault(key, {})
        first = self._first_to_compute(row, feed, cells, where, segment)
        slots, store = row.slots[segment], self._cache.stores[segment]
        for i in range(first):
            slots[base + i] = cells[feed[i]]
        if first == len(feed):
            return
        start = len(stage.tokens)
        for i in range(first, len(feed)):
            node = feed[i]
            slot = cells.get(node)
            if slot is None:
                slot = cells[node] = store.take()
            slots[base + i] = slot
            where[node] = len(stage.tokens)
            self._add_source(stage, row, node, base + i)
            stage.tokens.append(self._offsets[number] + i)
            stage.slots.append(slot)
        end = len(stage.tokens)
        stage.runs.append(Run(start, end - start, slots[: base + len(feed)]))
        last = stage.spans[-1] if stage.spans else None
        if last is not None and last.key is key and last.prefix is row.tree.prefix:
            last.end = end
        else:
            stage.spans.append(Span(start, end, row.tree.prefix, key))

    def _first_to_compute(
        self,
        row: Sequence,
        feed: list[Node],
        cells: dict[Node, int],
        where: dict[Node, int],
        segment: int,
    ) -> int:
        """Cells exist for a leading part of the feed; logits need the last segment to run anew."""
        first = next((i for i, node in enumerate(feed) if node not in cells), len(feed))
        if segment == len(self._segments) - 1:
            decided = range(len(row.pending) - 1, first)
            first = next((i for i in decided if feed[i] not in where), first)
        return first

    def _add_source(self, stage: StageDraft, row: Sequence, node: Node, place: int) -> None:
        """Where the token's hidden state comes from; from the embedding in the first segment."""
        below = self._below
        if below is None:
            return
        here = len(stage.tokens)
        ran = below.where.get(row.keys[below.segment], {}).get(node)
        if ran is not None:
            stage.previous.append((here, ran))
        else:
            stage.store.append((here, int(row.slots[below.segment, place])))

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
                stage.previous += [(start + i, ran + i) for i in range(len(prefix))]
        stage.tokens += range(offset, offset + len(prefix))
        stage.prefixes.append((Span(start, start + len(prefix), prefix, key), cells))
