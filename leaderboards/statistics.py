"""The statistics: bootstrap, exact intervals and tests, Holm, detectable differences.

All of it works on questions, never on pooled draws: questions are what is sampled from the world,
a question's N candidates are not independent. Methods of one table answer the same questions, so
every comparison is paired (Miller 2024, arXiv 2411.00640).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]

DRAWS = 10_000
LEVEL = 0.05  # two-sided: intervals are 95 % intervals
POWER = 0.8
SEED = 20_250_603
_KEPT_WEIGHTS = 1 << 26  # of 4 bytes each
_BLOCK_WEIGHTS = 1 << 22


class Resampling:
    """The bootstrap's one matrix ``[draws, questions]``: how often each draw holds each question.

    One matrix serves every method, score and pair of a table, so that differences are paired. It is
    handed out in blocks of draws and kept only while it is small: for tens of thousands of questions
    it would take gigabytes, and making it again costs less than that. Counts are whole numbers, so
    that the sums of 0/1 outcomes are exact and equal scores are equal in every draw.
    """

    def __init__(self, questions: int, draws: int = DRAWS, seed: int = SEED) -> None:
        self.questions, self.draws, self.seed = questions, draws, seed
        self._kept = list(self._made()) if questions * draws <= _KEPT_WEIGHTS else None

    def blocks(self) -> Iterator[Floats]:
        """The matrix, some rows at a time; every call gives the same rows."""
        return self._made() if self._kept is None else iter(self._kept)

    def _made(self) -> Iterator[Floats]:
        generator = np.random.default_rng(self.seed)
        fair = np.full(self.questions, 1.0 / self.questions)
        size = max(1, _BLOCK_WEIGHTS // self.questions)
        for start in range(0, self.draws, size):
            rows = min(size, self.draws - start)
            yield generator.multinomial(self.questions, fair, size=rows).astype(np.float32)

    def means(self, values: Floats) -> Floats:
        """``[columns, questions] -> [columns, draws]``: each column's mean in each draw."""
        columns = np.ascontiguousarray(values)
        means = np.empty((len(columns), self.draws), dtype=np.float32)
        start = 0
        for block in self.blocks():
            means[:, start : start + len(block)] = columns @ block.T
            start += len(block)
        means /= self.questions
        return means


def percentile_interval(draws: Floats) -> tuple[Array, Array]:
    """The central 95 % of each row of ``[columns, draws]``; the draws are reordered in place."""
    columns = draws
    low, high = LEVEL / 2 * (columns.shape[1] - 1), (1 - LEVEL / 2) * (columns.shape[1] - 1)
    places = sorted({math.floor(low), math.ceil(low), math.floor(high), math.ceil(high)})
    columns.partition(places, axis=1)
    return _between(columns, low), _between(columns, high)


def _between(ordered: Floats, place: float) -> Array:
    """Linear interpolation between order statistics, as ``numpy.quantile`` does by default."""
    below = math.floor(place)
    lower = ordered[:, below].astype(np.float64)
    upper = ordered[:, math.ceil(place)].astype(np.float64)
    return lower + (upper - lower) * (place - below)


def counted_interval(totals: npt.NDArray[np.int64], questions: int) -> tuple[Array, Array]:
    """:func:`percentile_interval` of ``totals / questions`` for whole-numbered ``[columns, draws]``.

    Counting how often each total occurs takes a third of the time that partitioning the draws does.
    """
    columns, draws = totals.shape
    least = int(totals.min())
    span = int(totals.max()) - least + 1
    places = totals - least + span * np.arange(columns)[:, None]
    counts = np.bincount(places.ravel(), minlength=columns * span).reshape(columns, span)
    reached = counts.cumsum(axis=1)

    def at(place: float) -> Array:
        below = math.floor(place)
        lower, upper = ((reached <= rank).sum(axis=1) for rank in (below, math.ceil(place)))
        return np.asarray(least + lower + (upper - lower) * (place - below), dtype=np.float64) / questions

    return at(LEVEL / 2 * (draws - 1)), at((1 - LEVEL / 2) * (draws - 1))


def mcnemar_exact(only_first: npt.ArrayLike, only_second: npt.ArrayLike) -> Array:
    """Two-sided exact McNemar p: ``min(1, 2 P[Binomial(b + c, 1/2) <= min(b, c)])``, elementwise.

    Args:
        only_first: b, how many questions only the first method solves.
        only_second: c, how many only the second solves.
    """
    from scipy.special import bdtr

    first, second = np.asarray(only_first, dtype=np.int64), np.asarray(only_second, dtype=np.int64)
    tail = bdtr(np.minimum(first, second).astype(np.float64), first + second, 0.5)
    return np.minimum(1.0, 2.0 * np.asarray(tail, dtype=np.float64))


def permutation_p(differences: npt.ArrayLike, draws: int = 9_999, seed: int = SEED) -> float:
    """Two-sided paired permutation p: how often random signs give a mean as far from 0.

    Exact by enumeration up to 16 differing questions. Exact, too, where the differences are whole
    multiples of one step (means over a few candidates are): the distribution of the signed sum is
    the inverse transform of a product of cosines. Otherwise Monte Carlo with ``(hits + 1) / (draws + 1)``.
    """
    values = np.asarray(differences, dtype=np.float64)
    values = values[values != 0]
    if values.size == 0:
        return 1.0
    # Means over three candidates are no exact binary fractions: sums that are equal differ by rounding.
    observed = abs(values.sum()) - 1e-9 * np.abs(values).sum()
    if values.size <= 16:
        return float(np.mean(np.abs(_all_signed_sums(values)) >= observed))
    steps = lattice(values)
    if steps is not None:
        return _lattice_p(steps)
    generator = np.random.default_rng(seed)
    hits = 0
    for start in range(0, draws, 1_000):
        size = min(1_000, draws - start)
        signs = generator.integers(0, 2, size=(size, values.size), dtype=np.int8) * 2 - 1
        hits += int(np.count_nonzero(np.abs(signs @ values) >= observed))
    return (hits + 1) / (draws + 1)


def _all_signed_sums(values: Array) -> Array:
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def lattice(values: Array, largest: int = 1 << 16) -> npt.NDArray[np.int64] | None:
    """The values as whole multiples of their common step, where there is a coarse one."""
    for scale in (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 20, 24, 28, 32, 56, 64, 70, 100):
        steps = values * scale
        whole = np.rint(steps)
        # A value that this step would round away has a finer one.
        if np.allclose(steps, whole, rtol=0, atol=1e-4) and ((whole != 0) | (values == 0)).all():
            return whole.astype(np.int64) if np.abs(whole).sum() < largest else None
    return None


def _lattice_p(steps: npt.NDArray[np.int64]) -> float:
    """``P[|Σ ±d| >= |Σ d|]`` over independent fair signs, for whole-numbered d."""
    sizes, counts = np.unique(np.abs(steps), return_counts=True)
    observed = np.array([abs(int(steps.sum()))])
    return float(_lattice_tails(sizes, counts[None].astype(np.float64), observed)[0])


def holm(p_values: npt.ArrayLike) -> Array:
    """Holm's step-down adjusted p, in the order given."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    factors = p.size - np.arange(p.size)
    adjusted = np.minimum(1.0, np.maximum.accumulate(p[order] * factors))
    result = np.empty_like(adjusted)
    result[order] = adjusted
    return result


def detectable_difference(
    deviation: npt.ArrayLike, questions: int, binary: bool, level: float = LEVEL
) -> Array:
    """The smallest true difference that this many questions show at ``level`` with 80 % power.

    ``(z_{1 - level/2} + z_0.8) · s / √n`` with s the standard deviation of the paired differences. Of 0/1
    outcomes no less than what six questions all in one direction make: fewer cannot reach p < 0.05
    in an exact test. NaN where no difference, however large, would show, or where s says nothing.
    """
    from scipy.stats import norm

    reach = float(norm.ppf(1 - level / 2) + norm.ppf(POWER))
    found = reach * np.asarray(deviation, dtype=np.float64) / math.sqrt(questions)
    if binary:
        found = np.maximum(found, 6 / questions)
        return np.where(found >= 1, np.nan, found)
    return np.where(found < 1e-9, np.nan, found)


def lattice_permutations(values: npt.NDArray[np.int64]) -> Array:
    """:func:`permutation_p` of all pairs at once, for whole-numbered values ``[methods, questions]``.

    A pair's distribution depends only on how often each absolute difference occurs, which is
    counted for all pairs by products of indicator matrices.
    """
    methods = len(values)
    if methods < 2:
        return np.ones((methods, methods))
    levels = np.unique(values)
    indicators = {int(level): (values == level).astype(np.float64) for level in levels}
    counts = np.zeros((int(levels[-1] - levels[0]) + 1, methods, methods))
    for one, left in indicators.items():
        for two, right in indicators.items():
            counts[abs(one - two)] += left @ right.T
    first, second = np.triu_indices(methods, 1)
    steps = np.arange(1, len(counts))
    pairs = counts[1:, first, second].T  # [pairs, steps]
    totals = values.sum(axis=1)
    observed = np.abs(totals[first] - totals[second])
    p = np.ones((methods, methods))
    p[first, second] = p[second, first] = _lattice_tails(steps, pairs, observed)
    return p


def _lattice_tails(steps: npt.NDArray[np.int64], counts: Array, observed: npt.NDArray[np.int64]) -> Array:
    """``P[|Σ ±d| >= observed]`` a row, where step s occurs ``counts[row, s]`` times."""
    p = np.ones(len(counts))
    if not steps.size:
        return p
    reach = counts @ steps
    length = 1 << int(2 * reach.max() + 1).bit_length()
    cosines = np.cos(np.outer(steps, 2 * np.pi * np.arange(length // 2 + 1) / length))
    logs = np.log(np.maximum(np.abs(cosines), 1e-300))
    negative = (cosines < 0).astype(np.float64)
    size = max(1, (1 << 22) // length)
    for start in range(0, len(counts), size):
        part = counts[start : start + size]
        signs = 1.0 - 2.0 * (np.rint(part @ negative) % 2)
        chances = np.fft.irfft(signs * np.exp(part @ logs), n=length, axis=1)
        upper = np.cumsum(chances[:, length // 2 :: -1], axis=1)  # from the farthest sum inwards
        tails = upper[np.arange(len(part)), length // 2 - observed[start : start + size]]
        floor = 2.0 ** np.maximum(1.0 - part.sum(axis=1), -1000.0)
        p[start : start + size] = np.minimum(1.0, np.maximum(2.0 * tails, floor))
    p[observed == 0] = 1.0
    return p
