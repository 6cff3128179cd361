"""The statistics: bootstrap, exact tests, Holm, detectable differences, ranks and tied groups.

All of it works on questions, never on pooled draws: questions are what is sampled from the world,
a question's N candidates are not independent. Methods of one table answer the same questions, so
every comparison is paired (Miller 2024, arXiv 2411.00640).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]

DRAWS = 10_000
LEVEL = 0.05  # two-sided: intervals are 95 % intervals
POWER = 0.8
SEED = 20_250_603


def bootstrap_weights(questions: int, draws: int = DRAWS, seed: int = SEED) -> Floats:
    """``[draws, questions]``: how often each question is drawn, over n; each row sums to 1.

    One matrix serves every method, score and pair of a table, so that differences are paired.
    """
    generator = np.random.default_rng(seed)
    counts = generator.multinomial(questions, np.full(questions, 1.0 / questions), size=draws)
    return (counts / questions).astype(np.float32)


def bootstrap_means(weights: Floats, values: Floats) -> Floats:
    """``[draws, questions] × [columns, questions] -> [columns, draws]``: each draw's means."""
    return np.ascontiguousarray(values) @ weights.T


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


def exact_interval(successes: int, questions: int) -> tuple[float, float]:
    """Clopper and Pearson's 95 % interval of a proportion.

    Used where every question came out the same: a bootstrap has nothing to draw from there and
    would claim certainty.
    """
    from scipy.stats import beta

    low = 0.0 if successes == 0 else float(beta.ppf(LEVEL / 2, successes, questions - successes + 1))
    high = (
        1.0
        if successes == questions
        else float(beta.ppf(1 - LEVEL / 2, successes + 1, questions - successes))
    )
    return low, high


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
    observed = abs(values.sum()) * (1 - 1e-9)
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
        if np.allclose(steps, whole, rtol=0, atol=1e-4):
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


def detectable_difference(deviation: npt.ArrayLike, questions: int) -> Array:
    """The smallest true difference that this many questions show at 5 % with 80 % power.

    ``(z_0.975 + z_0.8) · s / √n`` with s the standard deviation of the paired differences, and no
    less than what six questions all in one direction make: fewer can't reach p < 0.05 in an exact
    test.
    """
    from scipy.stats import norm

    reach = float(norm.ppf(1 - LEVEL / 2) + norm.ppf(POWER))
    return np.maximum(reach * np.asarray(deviation, dtype=np.float64) / math.sqrt(questions), 6 / questions)


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


def rank_intervals(draws: Floats) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The central 95 % of each method's rank over ``[methods, draws]``, 1 the best.

    Equal means share every rank they span: the low end counts only the strictly better, the high
    end all that are not strictly worse.
    """
    from scipy.stats import rankdata

    best = rankdata(-draws, method="min", axis=0)
    worst = rankdata(-draws, method="max", axis=0)
    low = np.quantile(best, LEVEL / 2, axis=1, method="lower")
    high = np.quantile(worst, 1 - LEVEL / 2, axis=1, method="higher")
    return np.asarray(low, dtype=np.int64), np.asarray(high, dtype=np.int64)


def tied_groups(different: npt.NDArray[np.bool_]) -> list[str]:
    """A letter display: methods that share a letter are not shown to differ.

    The insert-and-absorb algorithm of Piepho (2004) over a symmetric matrix of "differs"; ``a`` goes
    to the group of the first method.
    """
    size = different.shape[0]
    groups: list[set[int]] = [set(range(size))]
    for first in range(size):
        for second in range(first + 1, size):
            if different[first, second]:
                groups = _split(groups, first, second)
    groups.sort(key=lambda group: sorted(group))
    letters = [""] * size
    for index, group in enumerate(groups):
        for member in group:
            letters[member] += _letter(index)
    return letters


def _split(groups: list[set[int]], first: int, second: int) -> list[set[int]]:
    """No group may hold both; a group inside another says nothing new."""
    halves: list[set[int]] = []
    for group in groups:
        if first in group and second in group:
            halves += [group - {first}, group - {second}]
        else:
            halves.append(group)
    return [
        group
        for index, group in enumerate(halves)
        if not any(
            group < other or (group == other and index > place)
            for place, other in enumerate(halves)
            if place != index
        )
    ]


def _letter(index: int) -> str:
    """a…z, then A…Z, then numbered."""
    alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return alphabet[index] if index < len(alphabet) else f"({index + 1})"
