"""The tree of a prompt's answers: one node a token, one path an answer, variants side by side.

What a token computes depends on the tokens before it and on the heads pruned, so a node and a
:class:`~sprint_eval.engine.segments.Key` name a *cell*: keys, values and hidden state of one token
in one segment. A cell is computed once, whichever requests pass through it. Keys of neighbouring
segments with the same heads pruned so far belong to one *track*, where a node has one column of slots.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from sprint_eval.engine.cache import Cache, Prefix
from sprint_eval.engine.nodes import Node, SuffixIndex
from sprint_eval.engine.segments import Key
from sprint_eval.heads import Head


class Track:
    """A prompt's cells under some heads pruned so far, in all segments.

    Attributes:
        columns: of each node computed in some segment, its column of slots.
        users: ``[segments]``, requests that pass through.
    """

    __slots__ = ("columns", "users")

    def __init__(self, segments: int) -> None:
        self.columns: dict[Node, int] = {}
        self.users = np.zeros(segments, dtype=np.int64)

    def find(self, nodes: Sequence[Node], cache: Cache) -> list[int]:
        """The nodes' columns; one without slots where there was none."""
        columns = self.columns
        for node in nodes:
            if node not in columns:
                columns[node] = cache.columns.take()
        return [columns[node] for node in nodes]

    def release(self, segments: np.ndarray, cache: Cache) -> None:
        """Free all cells in some segments."""
        if not self.columns or not len(segments):
            return
        asked = np.zeros((len(self.users), len(self.columns)), dtype=bool)
        asked[segments] = True
        columns = np.fromiter(self.columns.values(), dtype=np.int64, count=len(self.columns))
        empty = cache.release(columns, asked)
        gone = set(empty)
        self.columns = {node: column for node, column in self.columns.items() if column not in gone}
        cache.columns.drop(empty)


@dataclass(frozen=True, slots=True)
class Stretch:
    """The segments of a request, from ``start`` to before ``end``, with the same heads pruned so far."""

    track: Track
    start: int
    end: int

    def segments(self, most_users: int | None = None) -> np.ndarray:
        """Its segments, or those with so many users at most."""
        segments = np.arange(self.start, self.end)
        return segments if most_users is None else segments[self.track.users[segments] <= most_users]


class AnswerTree:
    """One prompt, the answers to it, and the cells computed for them.

    Attributes:
        prefix: the tokens shared with other prompts.
        prompt: nodes of the prompt's tokens behind the prefix, at least one.
        live: requests being decoded now.
        answers: answers finished.
        suffixes: where the last tokens of an answer stand in these answers.
    """

    def __init__(self, prefix: Prefix, rest: Sequence[int]) -> None:
        self.prefix = prefix
        self.prompt = [Node(rest[0], None)]
        for token in rest[1:]:
            self.prompt.append(self.prompt[-1].child(token))
        self.live = 0
        self.answers = 0
        self.suffixes = SuffixIndex()
        self._tracks: dict[tuple[Head, ...], Track] = {}

    # Cells.

    def join(self, keys: Sequence[Key]) -> tuple[Stretch, ...]:
        """Announce a request, by its key in each segment; its cells are kept until it leaves."""
        stretches: list[Stretch] = []
        for heads, group in groupby(keys, key=lambda key: key.heads):
            segments = [key.segment for key in group]
            track = self._tracks.setdefault(heads, Track(len(keys)))
            stretches.append(Stretch(track, segments[0], segments[-1] + 1))
            track.users[segments] += 1
        return tuple(stretches)

    def leave(self, keys: Sequence[Key], stretches: Iterable[Stretch], cache: Cache) -> None:
        """A request is finished: free the cells that nobody else can use."""
        for stretch in stretches:
            track = stretch.track
            track.users[stretch.start : stretch.end] -= 1
            unused = stretch.segments(most_users=0)
            track.release(unused, cache)
            if not self.prefix.kept:
                for segment in unused:
                    self.prefix.cells.pop(keys[segment], None)

    def clear(self, cache: Cache, stretches: Iterable[Stretch] | None = None) -> None:
        """Free all cells, or those of ``stretches`` that one request alone uses; tokens stay, as drafts."""
        if stretches is None:
            for track in self._tracks.values():
                track.release(np.arange(len(track.users)), cache)
        else:
            for stretch in stretches:
                stretch.track.release(stretch.segments(most_users=1), cache)

    def reset(self) -> None:
        """Forget all cells, the prefix's too, without giving slots back: their cache is gone."""
        for track in self._tracks.values():
            track.columns.clear()
        self.prefix.cells.clear()

    # Tokens.

    def discard(self, node: Node) -> None:
        """Remove a drafted node that no answer holds; its cells are released apart."""
        siblings = node.parent.children if node.parent is not None else {}
        if siblings.get(node.token) is node:
            del siblings[node.token]

    def visit(self, node: Node) -> None:
        """Count an answer's token."""
        node.visits += 1
        if node.visits == 1:
            self.suffixes.add(node)


def release_guesses(guesses: Iterable[tuple[Stretch, Sequence[Node]]], cache: Cache) -> None:
    """Free the cells of drafted nodes that did not stand, each on a stretch of who drafted it.

    A node that some answer holds keeps those that another request may use.
    """
    found = [
        (stretch, [node for node in nodes if node in stretch.track.columns]) for stretch, nodes in guesses
    ]
    whose = [(stretch.track, node) for stretch, nodes in found for node in nodes]
    if not whose:
        return
    columns = [track.columns[node] for track, node in whose]
    users = np.stack([stretch.track.users for stretch, _ in found], axis=1)  # [segments, stretches]
    bounds = np.array([(stretch.start, stretch.end) for stretch, _ in found])
    segments = np.arange(len(users))[:, None]
    inside = (segments >= bounds[:, 0]) & (segments < bounds[:, 1])
    counts = [len(nodes) for _, nodes in found]
    held = np.array([node.visits > 0 for _, node in whose])
    asked = np.repeat(inside, counts, axis=1) & (np.repeat(users <= 1, counts, axis=1) | ~held)
    empty = cache.release(np.array(columns), asked)
    owners = dict(zip(columns, whose, strict=True))
    for column in empty:
        track, node = owners[column]
        del track.columns[node]
    cache.columns.drop(empty)
