"""Rows of several base models say which is their own, wherever a table is printed."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic import FakeRun, board_of

from sprint_eval.leaderboards.board import Board
from sprint_eval.leaderboards.columns import columns_of
from sprint_eval.leaderboards.latex import latex
from sprint_eval.leaderboards.markdown import markdown, terminal

GREEDY = FakeRun(args="pretrained=org/tiny_a*", questions=6)
ROUTER = FakeRun("sprint-router", "pretrained=org/tiny-b,router=r", questions=6, seed=3)


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return board_of(tmp_path, GREEDY, ROUTER)


def test_rows_of_several_base_models_say_which(board: Board) -> None:
    (standing,) = board.standings
    assert {row.name for row in standing.rows} == {"hf greedy", "sprint-router"}
    (column,) = [column for column in columns_of(standing) if column.title == "Model"]
    shown = {row.name: column.cell(index) for index, row in enumerate(standing.rows)}
    assert shown == {"hf greedy": "tiny_a*", "sprint-router": "tiny-b"}


def test_every_printed_form_has_it_and_escapes_it(board: Board) -> None:
    assert "| Method | Model |" in markdown(board)
    assert r"tiny\_a\*" in markdown(board)
    assert r"tiny\_a*" in latex(board)
    assert "tiny_a*" in terminal(board)


def test_one_base_model_stands_above_the_table(tmp_path: Path) -> None:
    one = board_of(tmp_path, FakeRun(questions=6), FakeRun("vllm", questions=6, seed=3))
    assert "Model" not in [column.title for column in columns_of(one.standings[0])]
    assert "6 questions, 0-shot, tiny-model;" in markdown(one)


def test_a_base_model_that_is_not_known_is_not_taken_for_the_others(tmp_path: Path) -> None:
    board = board_of(tmp_path, FakeRun(questions=6), FakeRun("dummy", "", questions=6, seed=3))
    (standing,) = board.standings
    (column,) = [column for column in columns_of(standing) if column.title == "Model"]
    assert sorted(column.cell(index) for index in (0, 1)) == ["tiny-model", "–"]
    assert "0-shot;" in markdown(board)
