"""Pass@k and votes against their definitions."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sprint_eval.errors import ArgumentError
from sprint_eval.passk import best_scored, majority_vote, pass_at_k, pass_at_k_unbiased

outcomes = st.lists(st.booleans(), min_size=1, max_size=8)


@given(outcomes, st.data())
def test_unbiased_is_the_mean_over_all_subsets(correct: list[bool], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(correct)))
    subsets = [any(chosen) for chosen in combinations(correct, k)]
    expected = sum(subsets) / len(subsets)
    assert pass_at_k_unbiased(len(correct), sum(correct), k) == pytest.approx(expected)


@given(outcomes)
def test_pass_at_k_grows_and_ends_at_any(correct: list[bool]) -> None:
    values = [pass_at_k(correct, k) for k in range(1, len(correct) + 1)]
    assert values == sorted(values)
    assert values[0] == float(correct[0])
    assert values[-1] == float(any(correct))


@pytest.mark.parametrize("k", [0, 3])
def test_k_out_of_range_is_refused(k: int) -> None:
    with pytest.raises(ArgumentError, match="k must be 1 to 2"):
        pass_at_k([True, False], k)


def test_votes() -> None:
    assert majority_vote(["7", "8", "8"]) == 1
    assert majority_vote(["7", "8"]) == 0, "the first of equals wins"
    assert majority_vote([None, "8"]) == 1
    assert majority_vote([None, None]) is None
    assert majority_vote(["7", "8", "8"], [0.9, 0.2, 0.3]) == 0
    assert majority_vote(["7", "8"], [0.5, None]) == 1


def test_the_best_scored() -> None:
    assert best_scored([-2.0, -1.0, -3.0]) == 1
    assert best_scored([-1.0, -1.0]) == 0, "the first of equals wins"
    assert best_scored([-1.0, None]) is None
    assert best_scored([]) is None
