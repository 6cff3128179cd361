"""Each exact interval against a naive version of its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sprint_eval.intervals import exact_difference, exact_interval, exact_mean, widen_certain


@pytest.mark.parametrize(("successes", "n"), [(0, 20), (20, 20), (7, 20)])
def test_exact_interval_is_clopper_pearson(successes: int, n: int) -> None:
    low, high = exact_interval(successes, n)

    def at_least(p: float) -> float:
        return sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(successes, n + 1))

    def at_most(p: float) -> float:
        return sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(successes + 1))

    assert low == 0 if successes == 0 else at_least(low) == pytest.approx(0.025)
    assert high == 1 if successes == n else at_most(high) == pytest.approx(0.025)


@pytest.mark.parametrize("n", [1, 5, 30])
def test_exact_difference_covers_what_could_have_been(n: int) -> None:
    """At the interval's end the outcome seen would still come up in 2.5 % of studies, or more."""
    low, high = exact_difference(0, 0, n)
    assert low == -high
    assert (1 - high) ** n == pytest.approx(0.025)
    low, high = exact_difference(n, 0, n)
    share = (1 + low) / 2  # of the first alone, the rest being the second's
    assert high == 1
    assert share**n == pytest.approx(0.025)
    assert exact_difference(0, n, n) == (-1.0, -low)


@pytest.mark.parametrize("n", [1, 5, 30])
def test_exact_mean_covers_what_could_have_been(n: int) -> None:
    """Its ends are the means of worlds in which the outcome seen comes up in 2.5 % of studies."""
    others = 1 - 0.025 ** (1 / n)
    low, high = exact_mean(1 / 3, n, -1.0)
    assert low == pytest.approx((1 - others) / 3 - others)
    assert high == pytest.approx((1 - others) / 3 + others)
    for value, ends in ((0.0, exact_difference(0, 0, n)), (1.0, exact_difference(n, 0, n))):
        assert exact_mean(value, n, -1.0) == pytest.approx(ends)
    for value, ends in ((0.0, exact_interval(0, n)), (1.0, exact_interval(n, n))):
        assert exact_mean(value, n, 0.0) == pytest.approx(ends)


@pytest.mark.parametrize(("paired", "least"), [(False, 0.0), (True, -1.0)])
def test_only_rows_without_spread_are_widened(paired: bool, least: float) -> None:
    values = np.array([[0, 0, 0], [1, 1, 1], [0, 1, 1], [0.5, 0.5, 0.5], [least, least, least]])
    low, high = np.full(5, 9.0), np.full(5, 9.0)
    widen_certain(low, high, values, paired=paired)
    zero, one = exact_interval(0, 3), exact_interval(3, 3)
    ends = [zero, one, (9, 9), exact_mean(0.5, 3, least), zero]
    if paired:
        ends[:2] = [exact_difference(0, 0, 3), exact_difference(3, 0, 3)]
        ends[4] = exact_difference(0, 3, 3)
    assert list(zip(low, high, strict=True)) == ends
