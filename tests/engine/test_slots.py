"""Slots are anyone's once they are given back, and nobody else's before."""

from __future__ import annotations

from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sprint_eval.engine.slots import NONE, Columns, Slots

STEPS = st.lists(
    st.tuples(st.lists(st.integers(0, 5), min_size=3, max_size=3), st.floats(0, 1)), min_size=1, max_size=20
)


def test_slots_are_taken_last_freed_first() -> None:
    slots = Slots(2, 5)
    assert slots.take(np.array([2, 1])).tolist() == [0, 1, 0]
    slots.release(np.array([1, 1]), np.array([0, 0]))
    assert slots.take(np.array([3, 0])).tolist() == [0, 2, 3]
    assert slots.take(np.array([0, 0])).tolist() == []
    assert slots.free == 1


@given(STEPS, st.randoms(use_true_random=False))
def test_no_slot_is_two_cells(steps: list[tuple[list[int], float]], chance: Random) -> None:
    """However slots are taken and given back, of several segments at a time and in any order."""
    slots = Slots(3, 12)
    held: set[tuple[int, int]] = set()
    for wanted, share in steps:
        room = [12 - sum(segment == s for segment, _ in held) for s in range(3)]
        assert slots.free == min(room)
        counts = np.minimum(wanted, room)
        taken = slots.take(counts).tolist()
        fresh = list(zip(np.repeat(np.arange(3), counts).tolist(), taken, strict=True))
        assert len(set(fresh)) == len(fresh)
        assert held.isdisjoint(fresh)
        assert all(0 <= slot < 12 for slot in taken)
        held.update(fresh)
        back = sorted(chance.sample(sorted(held), int(share * len(held))), key=lambda cell: cell[0])
        counts = np.array([sum(segment == s for segment, _ in back) for s in range(3)])
        slots.release(counts, np.array([slot for _, slot in back], dtype=int))
        held.difference_update(back)


def test_columns_grow_and_come_back_empty() -> None:
    columns = Columns(3, room=2)
    taken = [columns.take() for _ in range(5)]
    assert sorted(taken) == list(range(5))
    columns.table[:, taken[0]] = 7
    assert (columns.table[:, taken[1:]] == NONE).all()
    columns.drop([taken[3]])
    assert columns.take() == taken[3]
