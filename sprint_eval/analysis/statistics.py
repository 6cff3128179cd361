"""Statistics of 0/1 outcomes on the same questions: pure functions of arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sprint_eval.intervals import exact_difference

_SAME = 1e-6  # a spread that is rounding alone


def mcnemar_exact(fixed: np.ndarray, broken: np.ndarray) -> np.ndarray:
    """Exact two-sided McNemar p-values of paired 0/1 outcomes.

    Under the null each question on which the two differ falls to either side with chance 1/2.

    Args:
        fixed: questions that the head set solves and the base does not, ``[J]``.
        broken: the reverse, ``[J]``.
    """
    from scipy.stats import binom

    fixed, broken = np.asarray(fixed), np.asarray(broken)
    tail = binom.cdf(np.minimum(fixed, broken), fixed + broken, 0.5)
    return np.asarray(np.minimum(1.0, 2.0 * tail))


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down adjusted p-values: the chance of any false claim among all stays below alpha."""
    p = np.asarray(p, float)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, stepped)
    return adjusted


def wilson(right: np.ndarray | float, n: np.ndarray | float, z: float = 1.959964) -> np.ndarray:
    """Wilson's 95 % interval of a share, ``[..., 2]``; good also for few questions."""
    right, n = np.asarray(right, float), np.asarray(n, float)
    share = right / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return np.stack([middle - half, middle + half], axis=-1)


@dataclass(frozen=True)
class Gain:
    """What the best of many heads gains over the base, biased and honest.

    Attributes:
        naive: accuracy of the best head minus the base's, on the questions it was chosen on.
        honest: gain of the head chosen on one half of the questions, on the other half.
        low, high: 95 % interval of ``honest``.
        best: column of the head that is best on all questions.
        n: questions.
    """

    naive: float
    honest: float
    low: float
    high: float
    best: int
    n: int


def best_head_gain(
    z: np.ndarray, base: np.ndarray, *, splits: int = 400, replicates: int = 400, seed: int = 0
) -> Gain:
    """Gain of the best head over the base, and its split-half estimate with an interval.

    Taking the best of J noisy accuracies is biased upward even where no head differs from the base.
    Here the head is chosen on a random half and measured on the other, averaged over ``splits``
    random halvings, each used both ways. The interval is the estimate plus and minus 1.96 standard
    deviations over bootstrap samples of questions; all copies of a question stay in one half, so
    that no question chooses and measures at once. Where all samples give the same (no question on which
    a chosen head differs from the base, say) the interval is :func:`exact_difference`'s.

    Args:
        z: outcomes, 0 or 1, ``[n, J]``, n at least 2.
        base: outcomes of the base, ``[n]``.
    """
    rng = np.random.default_rng(seed)
    delta = np.asarray(z, np.float32) - np.asarray(base, np.float32)[:, None]  # [n, J], -1, 0 or 1
    n = len(delta)
    means = delta.mean(axis=0)
    best = int(means.argmax())
    honest = _split_half(delta, np.ones((splits, n), np.float32), rng).mean()
    counts = rng.multinomial(n, np.full(n, 1 / n), size=replicates).astype(np.float32)
    spread = 1.959964 * float(np.nanstd(_split_half(delta, counts, rng, turns=4)))
    low, high = float(honest - spread), float(honest + spread)
    if spread < _SAME:
        low, high = exact_difference(n * (honest > 0.5), n * (honest < -0.5), n)
    return Gain(float(means[best]), float(honest), low, high, best, n)


def _split_half(
    delta: np.ndarray, counts: np.ndarray, rng: np.random.Generator, turns: int = 1
) -> np.ndarray:
    """Cross-fitted gain a row of ``counts`` (how often each question is in the sample), ``[R]``."""
    total = np.zeros(len(counts))
    for _ in range(turns):
        first = counts * _halves(len(counts), delta.shape[0], rng)  # [R, n]
        second = counts - first
        sums_first, sums_second = first @ delta, second @ delta  # [R, J]
        rows = np.arange(len(counts))
        # Each half's choice is measured on the other; together every question is measured once.
        gained = sums_second[rows, sums_first.argmax(axis=1)] + sums_first[rows, sums_second.argmax(axis=1)]
        total += gained / counts.sum(axis=1)
    return np.asarray(total / turns)


def _halves(count: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Random 0/1 rows, each with n // 2 ones."""
    ranks = rng.random((count, n), np.float32).argsort(axis=1)
    return (ranks < n // 2).astype(np.float32)
