"""Whose prompts are not those of most rows."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from sprint_eval.leaderboards.prompts import unlike_most


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[1, 2, 3], [1, 2, 3]], [0, 0]),
        ([[1, 2, 3], [1, 9, 9]], [2, 2]),  # of two that differ, neither is the table's
        ([[1, 2, 3], [1, 9, 3], [1, 2, 3]], [0, 1, 0]),
        ([[1], [2], [1], [2]], [1, 1, 1, 1]),
        ([[1, 2], None, [1, 2]], [0, 0, 0]),
        ([[1, 2], None], [0, 0]),
        ([None, None], [0, 0]),
    ],
)
def test_by_hand(rows: list[list[int] | None], expected: list[int]) -> None:
    assert unlike_most([row if row is None else np.array(row, dtype=np.uint64) for row in rows]) == expected


def test_it_is_the_majority_of_each_question() -> None:
    rng = np.random.default_rng(3)
    for count in range(2, 9):
        rows = rng.integers(0, 3, size=(count, 60)).astype(np.uint64)
        most = [Counter(column).most_common(1)[0] for column in rows.T.tolist()]
        common = [value if 2 * votes > count else None for value, votes in most]
        naive = [sum(x != y for x, y in zip(row, common, strict=True)) for row in rows.tolist()]
        assert unlike_most(list(rows)) == naive
        assert any(value is not None for value in common)
