"""Which shared prefixes are kept computed, and for which head sets: those used last, within a budget.

A prefix is computed once a head set. Of many head sets and long worked examples that is more than the
requests themselves hold, so that it has a budget of its own, counted like theirs in tokens: the cells of
one token in all layers are 1.
"""

from __future__ import annotations

from collections.abc import Iterable

from sprint_eval.engine.cache import Prefix
from sprint_eval.engine.segments import Key, Segments
from sprint_eval.engine.sequence import Sequence


class PrefixMemory:
    """The cells of all prefixes of a run.

    Args:
        prefixes: of the run; some may be computed already.
        budget: tokens. What one request needs may exceed it, what several need at a time may not.
    """

    def __init__(self, prefixes: Iterable[Prefix], segments: Segments, budget: int) -> None:
        self._prefixes = list({id(prefix): prefix for prefix in prefixes}.values())
        self._segments = segments
        self.budget = budget
        # The longest unused first: what an earlier call left, and no request of this one has used.
        self._used: dict[tuple[int, Key], tuple[Prefix, tuple[Key, ...]]] = {
            (id(prefix), key): (prefix, segments.below(key))
            for prefix in self._prefixes
            for key in prefix.cells
            if key.segment == len(segments) - 1
        }
        self._coming: dict[tuple[int, Key], float] = {}  # begun with the next forward
        self._held = self._measure()

    def begin_step(self) -> None:
        """What was begun with the last forward is there."""
        self._coming.clear()

    def missing(self, sequence: Sequence) -> int:
        """Tokens that the next forward has to compute before the request can run."""
        prefix, key = sequence.tree.prefix, sequence.keys[-1]
        return 0 if key in prefix.cells or (id(prefix), key) in self._coming else len(prefix)

    def fits(self, sequence: Sequence, live: Iterable[Sequence]) -> bool:
        """Whether the request's prefix has room beside those of ``live``; others give way to it."""
        wanted = self._cost(sequence)
        if not wanted or self._held + wanted <= self.budget:
            return True
        self._held = self._measure()
        if self._held + wanted > self.budget:
            self._evict([*live, sequence], self.budget - wanted)
        return self._held + wanted <= self.budget

    def use(self, sequence: Sequence) -> None:
        """The request runs in the next forward."""
        prefix, keys = sequence.tree.prefix, sequence.keys
        if not len(prefix):
            return
        place = (id(prefix), keys[-1])
        self._used.pop(place, None)
        self._used[place] = (prefix, keys)
        for key in keys:
            if key not in prefix.cells and (id(prefix), key) not in self._coming:
                self._coming[id(prefix), key] = cost = self._cells(prefix, key)
                self._held += cost

    def _evict(self, users: Iterable[Sequence], target: float) -> None:
        """Drop what ``users`` do not need, the longest unused first, down to ``target`` tokens.

        Always all that one head set alone needs: what stays of its cells is a leading part that others
        share, from which it can be computed anew.
        """
        in_use = {(id(s.tree.prefix), key) for s in users for key in s.keys}
        for place, (prefix, keys) in list(self._used.items()):
            if self._held <= target:
                return
            if (id(prefix), keys[-1]) in in_use:
                continue
            del self._used[place]
            kept = in_use.union((id(other), key) for other, theirs in self._used.values() for key in theirs)
            for key in keys:
                if (id(prefix), key) not in kept and prefix.cells.pop(key, None) is not None:
                    self._held -= self._cells(prefix, key)

    def _cost(self, sequence: Sequence) -> float:
        prefix = sequence.tree.prefix
        return sum(
            self._cells(prefix, key)
            for key in sequence.keys
            if key not in prefix.cells and (id(prefix), key) not in self._coming
        )

    def _measure(self) -> float:
        there = sum(self._cells(prefix, key) for prefix in self._prefixes for key in prefix.cells)
        return there + sum(self._coming.values())

    def _cells(self, prefix: Prefix, key: Key) -> float:
        return len(prefix) * self._segments.layers(key.segment) / self._segments.num_layers
