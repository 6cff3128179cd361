"""Statistics against naive definitions, and the honest gain against what is known to be true."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sprint_eval.analysis.statistics import best_head_gain, holm, mcnemar_exact, wilson
from sprint_eval.intervals import exact_difference


def naive_mcnemar(fixed: int, broken: int) -> float:
    """Twice the chance of a split at least as lopsided, of fair coins."""
    n = fixed + broken
    tail = sum(math.comb(n, k) for k in range(min(fixed, broken) + 1)) / 2**n
    return min(1.0, 2 * tail)


def test_mcnemar():
    pairs = [(0, 0), (1, 0), (0, 5), (10, 2), (7, 7), (30, 12)]
    found = mcnemar_exact(np.array([a for a, _ in pairs]), np.array([b for _, b in pairs]))
    assert found == pytest.approx([naive_mcnemar(*pair) for pair in pairs])


def naive_holm(p: list[float]) -> list[float]:
    return [min(1.0, max((len(p) - sorted(p).index(q)) * q for q in p if q <= mine)) for mine in p]


@pytest.mark.parametrize("p", [[0.01, 0.04, 0.03, 0.005], [0.5], [0.9, 0.8, 0.001], [1.0, 1.0]])
def test_holm(p):
    assert holm(np.array(p)) == pytest.approx(naive_holm(p))


def test_wilson():
    low, high = wilson(8, 10)
    assert (low, high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert wilson(0, 20)[0] == pytest.approx(0)
    assert 0.1 < wilson(0, 20)[1] < 0.2


def draw(n: int, heads: int, gain: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes of heads that do as well as the base, but for the first, which does better by ``gain``."""
    skill = rng.beta(1, 1, size=n)
    base = rng.random(n) < skill
    z = rng.random((n, heads)) < skill[:, None]
    z[:, 0] = rng.random(n) < np.clip(skill + gain, 0, 1)
    return z.astype(np.int8), base.astype(np.int8)


def test_where_no_head_is_better_the_honest_gain_is_none():
    rng = np.random.default_rng(1)
    gains = [best_head_gain(*draw(120, 40, 0.0, rng), splits=60, replicates=100) for _ in range(40)]
    naive = np.mean([gain.naive for gain in gains])
    honest = np.mean([gain.honest for gain in gains])
    assert naive > 0.05  # the bias of taking the best
    assert abs(honest) < 0.02
    covered = np.mean([gain.low <= 0 <= gain.high for gain in gains])
    assert covered >= 0.85


def test_a_head_that_is_better_is_found_honestly():
    rng = np.random.default_rng(2)
    gains = [best_head_gain(*draw(400, 20, 0.25, rng), splits=60, replicates=60) for _ in range(10)]
    assert np.mean([gain.honest for gain in gains]) == pytest.approx(0.22, abs=0.05)
    assert all(gain.low > 0 for gain in gains)
    assert {gain.best for gain in gains} == {0}


def test_the_gain_is_the_same_again():
    z, base = draw(50, 5, 0.1, np.random.default_rng(3))
    assert best_head_gain(z, base) == best_head_gain(z, base)


def test_two_questions_are_enough():
    gain = best_head_gain(np.array([[1, 0], [0, 1]]), np.array([0, 0]))
    assert gain.naive == 0.5
    assert gain.low <= gain.honest <= gain.high


@pytest.mark.parametrize(("heads", "base"), [(0, 0), (1, 1), (1, 0), (0, 1)])
def test_outcomes_that_are_all_the_same_are_not_certain(heads: int, base: int) -> None:
    n = 40
    gain = best_head_gain(np.full((n, 5), heads), np.full(n, base))
    assert gain.honest == heads - base
    assert (gain.low, gain.high) == exact_difference(n * (heads > base), n * (heads < base), n)


def test_one_question_that_one_head_wins_leaves_no_certainty_either() -> None:
    """Whoever is chosen by that question does not meet it again: all samples give no gain."""
    z = np.zeros((40, 5))
    z[7, 2] = 1
    gain = best_head_gain(z, np.zeros(40))
    assert (gain.naive, gain.honest) == (pytest.approx(1 / 40), 0)
    assert (gain.low, gain.high) == exact_difference(0, 0, 40)
