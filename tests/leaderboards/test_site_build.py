"""What the page is told of each question."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic import FakeRun, board_of, foreign, outcomes

from sprint_eval.leaderboards.board import make_board
from sprint_eval.leaderboards.site_build import _outcomes, table_record


@pytest.mark.parametrize(
    ("values", "lower", "solved"),
    [
        ([1, 0, 1], False, [1, 0, 1]),
        ([1, 0, 1], True, [0, 1, 0]),
        ([0.02, 0, 1], False, None),
        ([3, 0, 1], True, None),
    ],
)
def test_a_value_is_right_or_wrong_only_where_all_are(
    tmp_path: Path, values: list[float], lower: bool, solved: list[int] | None
) -> None:
    foreign(tmp_path, "one", values, ("none",), lower=lower)
    (standing,) = make_board([tmp_path]).standings
    found = _outcomes(standing)
    assert found["right"] is None
    if solved is None:
        assert found["first"] is None
        return
    assert standing.table.keys is not None
    sampled = standing.rows[0].run.sampled
    assert sampled is not None
    told = dict(zip(standing.table.keys, found["first"][0], strict=True))
    assert [told[key] for key in sampled.keys] == solved


def test_pairs_count_who_solves_where_the_lowest_is_best(tmp_path: Path) -> None:
    foreign(tmp_path / "a", "one", [1, 1, 1, 0], ("none",), lower=True)
    foreign(tmp_path / "b", "two", [0, 0, 1, 1], ("none",), lower=True)
    (standing,) = make_board([tmp_path]).standings
    assert [row.name for row in standing.rows] == ["hf greedy (two)", "hf greedy (one)"]
    pairs = standing.pairs[("value", 1)]
    assert pairs.only is not None
    assert (pairs.only[0, 1], pairs.only[1, 0]) == (2, 1)


def test_outcomes_of_candidates_are_the_first_right_and_how_many(tmp_path: Path) -> None:
    run = FakeRun(questions=20)
    (standing,) = board_of(tmp_path, run).standings
    found = _outcomes(standing)
    correct = outcomes(run)
    assert sum(found["right"][0]) == correct.sum()
    assert sum(first == 1 for first in found["first"][0]) == correct[:, 0].sum()


def test_the_page_knows_whether_samples_were_logged(tmp_path: Path) -> None:
    foreign(tmp_path, "one", [1, 0], ("none",))
    assert table_record(make_board([tmp_path]).standings[0], {})["logged"] is True
    next(tmp_path.glob("samples_*")).unlink()
    assert table_record(make_board([tmp_path]).standings[0], {})["logged"] is False
