"""Each statistic against a naive version of its definition, written out here."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sprint_eval.leaderboards import statistics as s


def naive_mcnemar(b: int, c: int) -> float:
    n = b + c
    tail = sum(math.comb(n, i) for i in range(min(b, c) + 1)) / 2**n
    return min(1.0, 2 * tail)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 0), (5, 0), (6, 0), (3, 9), (9, 3), (40, 41), (10, 90)])
def test_mcnemar_is_the_binomial_sum(b: int, c: int) -> None:
    assert float(s.mcnemar_exact(b, c)) == pytest.approx(naive_mcnemar(b, c), rel=1e-9)


def test_mcnemar_agrees_with_statsmodels() -> None:
    from statsmodels.stats.contingency_tables import mcnemar

    for b, c in [(2, 11), (7, 7), (0, 6)]:
        expected = mcnemar([[5, b], [c, 9]], exact=True).pvalue
        assert float(s.mcnemar_exact(b, c)) == pytest.approx(expected)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_is_the_step_down_rule(p_values: list[float]) -> None:
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    expected = [0.0] * len(p_values)
    worst = 0.0
    for place, index in enumerate(order):
        worst = max(worst, min(1.0, (len(p_values) - place) * p_values[index]))
        expected[index] = worst
    assert s.holm(p_values) == pytest.approx(expected)


def naive_permutation(differences: list[float]) -> float:
    observed = abs(sum(differences))
    hits = [
        abs(sum(sign * value for sign, value in zip(signs, differences, strict=True))) >= observed - 1e-12
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    return sum(hits) / len(hits)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-8, 8), min_size=1, max_size=10))
def test_permutation_enumerates_all_signs(differences: list[int]) -> None:
    values = [value / 8 for value in differences]
    assert s.permutation_p(values) == pytest.approx(naive_permutation(values))


def test_permutation_on_a_lattice_is_exact() -> None:
    rng = np.random.default_rng(3)
    values = rng.integers(-4, 6, size=18) / 4
    values = values[values != 0]
    signs = np.array(list(itertools.product((1, -1), repeat=len(values))))
    expected = np.mean(np.abs(signs @ values) >= abs(values.sum()) - 1e-9)
    steps = s.lattice(values)
    assert steps is not None
    assert s._lattice_p(steps) == pytest.approx(expected, rel=1e-6)


def test_permutations_of_all_pairs_at_once() -> None:
    rng = np.random.default_rng(8)
    values = rng.integers(0, 5, size=(6, 14))
    values[5] = values[4]
    found = s.lattice_permutations(values)
    for first in range(6):
        for second in range(6):
            expected = naive_permutation((values[first] - values[second]).tolist())
            assert found[first, second] == pytest.approx(expected, rel=1e-6)
    assert s.lattice_permutations(np.zeros((2, 5), dtype=np.int64)).tolist() == [[1, 1], [1, 1]]


def test_permutation_by_drawing_comes_close_to_enumeration() -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(0.2, 1, size=18)
    signs = np.array(list(itertools.product((1, -1), repeat=18)))
    expected = np.mean(np.abs(signs @ values) >= abs(values.sum()))
    assert s.lattice(values) is None
    assert s.permutation_p(values) == pytest.approx(expected, abs=0.015)


def test_permutation_of_zero_differences_is_one() -> None:
    assert s.permutation_p(np.zeros(30)) == 1.0
    assert s.permutation_p(np.array([1.0, -1.0] * 20)) == 1.0


def test_bootstrap_is_a_resampling_of_questions() -> None:
    resampling = s.Resampling(7, draws=500)
    weights = np.concatenate(list(resampling.blocks()))
    assert weights.shape == (500, 7)
    assert weights.sum(axis=1).tolist() == [7.0] * 500
    assert np.array_equal(weights, np.rint(weights).clip(0))
    values = np.arange(14, dtype=np.float32).reshape(2, 7)
    naive = [[sum(w * v for w, v in zip(draw, row, strict=True)) / 7 for draw in weights] for row in values]
    assert resampling.means(values) == pytest.approx(np.array(naive), abs=1e-4)


def test_weights_of_many_questions_are_made_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = s.Resampling(60, draws=50)
    values = np.random.default_rng(0).random((3, 60)).astype(np.float32)
    expected = whole.means(values)
    monkeypatch.setattr(s, "_KEPT_WEIGHTS", 0)
    monkeypatch.setattr(s, "_BLOCK_WEIGHTS", 7 * 60)
    blocked = s.Resampling(60, draws=50)
    assert [len(block) for block in blocked.blocks()] == [7] * 7 + [1]
    for _ in range(2):
        assert blocked.means(values) == pytest.approx(expected, abs=1e-6)


def test_equal_scores_are_equal_in_every_draw() -> None:
    values = np.zeros((2, 9), dtype=np.float32)
    values[0, [0, 1, 2]] = values[1, [0, 1, 3]] = 1
    resampling = s.Resampling(9, draws=2000)
    weights = np.concatenate(list(resampling.blocks()))
    means = resampling.means(values)
    assert np.array_equal(means[0] == means[1], weights[:, 2] == weights[:, 3])


def test_interval_is_the_quantile_of_the_draws() -> None:
    draws = np.random.default_rng(1).normal(size=(4, 1001)).astype(np.float32)
    low, high = s.percentile_interval(draws.copy())
    assert low == pytest.approx(np.quantile(draws.astype(float), 0.025, axis=1), abs=1e-6)
    assert high == pytest.approx(np.quantile(draws.astype(float), 0.975, axis=1), abs=1e-6)


@pytest.mark.parametrize("draws", [1, 2, 40, 41, 1001])
def test_interval_of_counts_is_the_quantile_of_the_draws(draws: int) -> None:
    totals = np.random.default_rng(6).integers(-9, 12, size=(5, draws))
    totals[4] = 3
    low, high = s.counted_interval(totals, 30)
    assert low == pytest.approx(np.quantile(totals / 30, 0.025, axis=1))
    assert high == pytest.approx(np.quantile(totals / 30, 0.975, axis=1))


def test_interval_agrees_with_scipy() -> None:
    from scipy.stats import bootstrap

    values = (np.random.default_rng(2).random(60) < 0.3).astype(np.float32)
    low, high = s.percentile_interval(s.Resampling(60).means(values[None]))
    expected = bootstrap(
        (values,), np.mean, method="percentile", n_resamples=10_000, rng=np.random.default_rng(0)
    ).confidence_interval
    assert (low[0], high[0]) == pytest.approx((expected.low, expected.high), abs=0.018)


def test_detectable_difference_has_the_power_it_promises() -> None:
    """At the difference it names, a paired z-test on normal data rejects in about 80 % of studies."""
    rng = np.random.default_rng(4)
    n, deviation = 400, 0.6
    size = float(s.detectable_difference(deviation, n, binary=False))
    assert size == pytest.approx((1.959964 + 0.841621) * deviation / math.sqrt(n), rel=1e-5)
    studies = rng.normal(size, deviation, size=(4000, n))
    z = studies.mean(axis=1) / (studies.std(axis=1, ddof=1) / math.sqrt(n))
    assert np.mean(np.abs(z) > 1.96) == pytest.approx(0.8, abs=0.03)


def test_detectable_difference_is_never_less_than_six_questions() -> None:
    """Five questions in one direction have p = 0.0625; six have 0.031."""
    assert naive_mcnemar(5, 0) > 0.05 > naive_mcnemar(6, 0)
    assert float(s.detectable_difference(0.0, 12, binary=True)) == pytest.approx(0.5)
    assert np.isnan(s.detectable_difference(0.0, 5, binary=True)), "five questions show nothing"
    assert np.isnan(s.detectable_difference(0.0, 12, binary=False)), "no spread, no answer"


@pytest.mark.parametrize("size", [1.0, 1e-3, 3e-5])
def test_small_values_are_not_rounded_away(size: float) -> None:
    """A metric's unit is nobody's business: p is of the values' signs and proportions."""
    values = size * np.random.default_rng(0).uniform(0.5, 1.0, 40)
    assert s.permutation_p(values) == pytest.approx(1e-4)
    mixed = size * np.random.default_rng(1).choice([-1.0, 1.0], 40) / 7
    assert s.permutation_p(mixed) == pytest.approx(s.permutation_p(np.sign(mixed)), abs=0.02)
