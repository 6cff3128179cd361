"""Rank intervals and letters against their definitions."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sprint_eval.leaderboards.ranks import rank_intervals, tied_groups


def test_rank_intervals_count_better_and_worse() -> None:
    draws = np.array([[0.9, 0.5, 0.5], [0.4, 0.5, 0.6], [0.9, 0.2, 0.1]], dtype=np.float32)
    best = [[1 + sum(other > mine for other in row) for mine in row] for row in draws]
    worst = [[sum(other >= mine for other in row) for mine in row] for row in draws]
    low, high = rank_intervals(draws.T)
    assert low.tolist() == np.min(best, axis=0).tolist()
    assert high.tolist() == np.max(worst, axis=0).tolist()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 7), st.randoms(use_true_random=False))
def test_letters_say_exactly_which_pairs_differ(size: int, random: object) -> None:
    different = np.zeros((size, size), dtype=bool)
    for first, second in itertools.combinations(range(size), 2):
        different[first, second] = different[second, first] = random.random() < 0.4  # type: ignore[attr-defined]
    letters = tied_groups(different)
    assert all(letters)
    for first, second in itertools.combinations(range(size), 2):
        assert bool(set(letters[first]) & set(letters[second])) != bool(different[first, second])
