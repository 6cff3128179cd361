"""Which of a step's tokens run where: each cell once, and what is decided always."""

from __future__ import annotations

import numpy as np
import pytest
from toy import CharTokenizer

from sprint_eval.engine.cache import Cache, Prefix
from sprint_eval.engine.cells import Cells
from sprint_eval.engine.request import Request
from sprint_eval.engine.segments import Segments
from sprint_eval.engine.sequence import Sequence
from sprint_eval.engine.settings import DecodingSettings
from sprint_eval.engine.slots import NONE
from sprint_eval.engine.text import StopChecker
from sprint_eval.engine.tree import AnswerTree
from sprint_eval.heads import HeadSet

PROMPT = (5, 6)


def requests_of(*texts: str) -> tuple[Cache, AnswerTree, list[Sequence]]:
    """Requests for one prompt, in this order, on a model of three layers."""
    pool = [HeadSet.parse(text) for text in texts]
    segments = Segments(pool, 3)
    tree = AnswerTree(Prefix(()), PROMPT)
    checker = StopChecker(CharTokenizer(), (), DecodingSettings((2,)))
    rows = [
        Sequence(number, Request(PROMPT, heads, 4), tree, segments.keys(heads), (), checker)
        for number, heads in enumerate(pool)
    ]
    return Cache(segments, 16), tree, rows


def settle(rows: list[Sequence]) -> None:
    """Their feeds are computed, and each has chosen the same token."""
    for row in rows:
        row.path += row.feed
        row.pending, row.draft = [row.path[-1].child(9)], []


def test_a_cell_of_two_requests_runs_once() -> None:
    """Below its head a request waits for the first that asks for the cell, and starts from it above."""
    cache, _, rows = requests_of("base", "L1H0", "L2H1")
    cells = Cells(cache, rows)
    assert cells.first.tolist() == [0, 2, 4, 6]
    assert cells.runs.tolist() == [[True] * 2 + [False] * 4, [True] * 4 + [False] * 2, [True] * 6]
    assert cells.owner.tolist() == [[0, 1, 0, 1, 0, 1], [0, 1, 2, 3, 0, 1], [0, 1, 2, 3, 4, 5]]
    assert (cells.slots[0] == np.tile(cells.slots[0, :2], 3)).all()
    tokens, members, runs = cells.of_segment(1)
    assert (tokens.tolist(), members.tolist()) == ([0, 1, 2, 3], [0, 1])
    assert (runs.starts.tolist(), runs.widths.tolist(), runs.lengths.tolist()) == ([0, 2], [2, 2], [2, 2])
    assert runs.past.tolist() == cells.slots[1, :4].tolist()


def test_what_was_computed_is_found_again() -> None:
    cache, _, rows = requests_of("base", "L1H0")
    first = Cells(cache, rows[:1])
    later = Cells(cache, rows[1:])
    assert later.runs.tolist() == [[False, False], [True, True]]
    assert later.owner.tolist() == [[NONE, NONE], [0, 1]]
    assert later.slots[0].tolist() == first.slots[0].tolist()
    settle(rows)
    step = Cells(cache, rows)
    assert step.of_segment(1)[2].past.tolist() == [
        *first.slots[1],
        step.slots[1, 0],
        *later.slots[1],
        step.slots[1, 1],
    ]


def test_decisions_run_though_their_cells_are_there() -> None:
    """A repeated request takes all from the first but the logits; of two at once one runs for both."""
    cache, _, rows = requests_of("L1H0", "L1H0", "L1H0")
    Cells(cache, rows[:1])
    again = Cells(cache, rows[1:])
    assert again.runs.tolist() == [[False] * 4, [False, True, False, False]]
    assert again.owner[-1].tolist() == [NONE, 1, NONE, 1]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_finished_request_leaves_nothing_to_nobody(order: tuple[int, int]) -> None:
    """What both use stays until the second has left, of whichever heads the first was."""
    cache, tree, rows = requests_of("base", "L2H1")
    Cells(cache, rows)
    settle(rows)
    first, second = (rows[place] for place in order)
    tree.leave(first.keys, first.stretches, cache)
    first.drop_slots()
    assert not first.slots.size
    assert (cache.columns.table != NONE).sum(1).tolist() == [2, 2]
    assert cache.free == 16 - 2
    again = Cells(cache, [second])
    assert again.runs.tolist() == [[True], [True]]
    assert again.past[:, :2].tolist() == second.slots[:, :2].tolist()
    tree.leave(second.keys, second.stretches, cache)
    assert cache.free == 16
    assert not any(stretch.track.columns for row in rows for stretch in row.stretches)
    assert (cache.columns.table == NONE).all()
