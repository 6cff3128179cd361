"""Which memory is whose: free slots of every segment, and each cell's slot.

Many segments times many requests are looked up, taken and given back in every forward, while a GPU
waits: all of it is done for all segments at once, in arrays.
"""

from __future__ import annotations

import numpy as np

NONE = -1  # no slot: the cell is not computed


class Slots:
    """The free slots of each segment, as many in each.

    Those freed last are taken first, so that memory that was never written stays so while it can.
    """

    def __init__(self, segments: int, capacity: int) -> None:
        self._free = np.empty((segments, capacity), dtype=np.int64)
        self._free[:] = np.arange(capacity - 1, -1, -1)
        self._top = np.full(segments, capacity)  # free slots of a segment are those before it
        self._segments = np.arange(segments)

    @property
    def free(self) -> int:
        """Slots free in every segment."""
        return int(self._top.min())

    def take(self, counts: np.ndarray) -> np.ndarray:
        """So many slots of each segment ``[segments]``, segment by segment.

        The scheduler has seen to it that there are so many.
        """
        segments = np.repeat(self._segments, counts)
        taken = self._free[segments, self._top[segments] - 1 - _ranks(counts)]
        self._top -= counts
        return taken

    def release(self, counts: np.ndarray, slots: np.ndarray) -> None:
        """Give slots back: so many of each segment ``[segments]``, segment by segment."""
        segments = np.repeat(self._segments, counts)
        self._free[segments, self._top[segments] + _ranks(counts)] = slots
        self._top += counts


def _ranks(counts: np.ndarray) -> np.ndarray:
    """0, 1, 2, … within each group of so many."""
    starts = np.cumsum(counts) - counts
    return np.arange(int(counts.sum())) - np.repeat(starts, counts)


class Columns:
    """Slots of cells: a column for a token under some heads pruned so far, with one slot a segment.

    Attributes:
        table: ``[segments, columns]``, :data:`NONE` where nothing is computed.
    """

    def __init__(self, segments: int, room: int = 1024) -> None:
        self.table = np.full((segments, room), NONE, dtype=np.int64)
        self._free = list(range(room - 1, -1, -1))

    def take(self) -> int:
        """A column without slots."""
        if not self._free:
            room = self.table.shape[1]
            self.table = np.concatenate((self.table, np.full_like(self.table, NONE)), axis=1)
            self._free = list(range(2 * room - 1, room - 1, -1))
        return self._free.pop()

    def drop(self, columns: list[int]) -> None:
        """Give back columns whose slots are gone."""
        self._free += columns
