"""Every pair of a table's methods at one score and k: difference, interval, test, correction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sprint_eval.intervals import exact_difference, widen_certain
from sprint_eval.leaderboards import statistics
from sprint_eval.leaderboards.scores import VALUE, Scores

Array = npt.NDArray[np.float64]
_MAX_LEVELS = 64  # a score of more levels is compared pair by pair


@dataclass
class Pairs:
    """Every pair at one score and k, ``[methods, methods]``: row minus column.

    Attributes:
        low, high: of the difference; NaN where it is one value throughout, and the score has no known bounds.
        p: exact McNemar for 0/1 outcomes, a paired permutation test otherwise.
        holm: p after Holm over all pairs of the table; ``holm_reference`` over those with the reference.
        detectable: the smallest true difference that these questions would show.
        only: questions that the row's method solves and the column's does not, ``None`` if not 0/1.
    """

    family: str
    k: int
    difference: Array
    low: Array
    high: Array
    p: Array
    holm: Array
    detectable: Array
    only: npt.NDArray[np.int64] | None
    holm_reference: Array | None = None


def compare(name: str, k: int, values: Scores, boot: npt.NDArray[np.float32], reference: int | None) -> Pairs:
    """All pairs of ``[methods, questions]`` at one k.

    Args:
        boot: each method's mean in each bootstrap draw, ``[methods, draws]``.
        reference: index of the method that gets a correction of its own.
    """
    methods, questions = values.shape
    wide = values.astype(np.float64)
    mean = wide.mean(axis=1)
    spread = _difference_deviation(wide)
    only = None
    present = wide[~np.isnan(wide)]
    binary = bool(np.isin(present, (0.0, 1.0)).all())
    low, high = _difference_intervals(boot, questions if binary else None)
    if binary:
        solved = np.where(np.isnan(wide), 0.0, wide)
        only = np.rint(solved @ (1.0 - solved).T).astype(np.int64)
        p = statistics.mcnemar_exact(only, only.T)
        _widen(low, high, only, questions)
    else:
        p = _permutations(wide)
        _widen_other(low, high, wide, bounded=name != VALUE)
    absent = np.isnan(mean)
    p[absent, :] = np.nan
    p[:, absent] = np.nan
    upper = np.triu_indices(methods, 1)
    pairs = Pairs(
        name,
        k,
        mean[:, None] - mean[None, :],
        low,
        high,
        p,
        holm=_holm_where(p, upper),
        detectable=statistics.detectable_difference(spread, questions, binary=binary),
        only=only,
    )
    if reference is not None:
        others = np.array([index for index in range(methods) if index != reference], dtype=np.int64)
        adjusted = np.full(methods, np.nan)
        known = others[~np.isnan(p[reference, others])]
        adjusted[known] = statistics.holm(p[reference, known])
        pairs.holm_reference = adjusted
    return pairs


def _difference_deviation(values: Array) -> Array:
    """Standard deviation of every paired difference, from the methods' covariance."""
    covariance = np.atleast_2d(np.cov(values)) if values.shape[1] > 1 else np.zeros((len(values),) * 2)
    variance = np.diag(covariance)
    return np.sqrt(np.maximum(variance[:, None] + variance[None, :] - 2 * covariance, 0.0))


def _difference_intervals(boot: npt.NDArray[np.float32], questions: int | None) -> tuple[Array, Array]:
    """Intervals of all differences of ``[methods, draws]``; with ``questions``, of 0/1 outcomes."""
    methods = len(boot)
    absent = np.isnan(boot[:, 0])
    if questions is not None:
        totals = np.rint(np.where(absent[:, None], 0.0, boot) * questions).astype(np.int64)
    low, high = np.zeros((methods, methods)), np.zeros((methods, methods))
    for index in range(methods - 1):
        if questions is not None:
            found = statistics.counted_interval(totals[index] - totals[index + 1 :], questions)
        else:
            found = statistics.percentile_interval(boot[index] - boot[index + 1 :])
        low[index, index + 1 :], high[index, index + 1 :] = found
        low[index + 1 :, index], high[index + 1 :, index] = -found[1], -found[0]
    low[absent, :] = low[:, absent] = high[absent, :] = high[:, absent] = np.nan
    return low, high


def _widen(low: Array, high: Array, only: npt.NDArray[np.int64], questions: int) -> None:
    """Exact intervals for pairs that no draw of questions could tell from certainty."""
    same = ((only == 0) & (only.T == 0)) | (only == questions) | (questions == only.T)
    np.fill_diagonal(same, False)
    for first, second in np.argwhere(same & ~np.isnan(low)):
        low[first, second], high[first, second] = exact_difference(
            int(only[first, second]), int(only[second, first]), questions
        )


def _widen_other(low: Array, high: Array, values: Array, bounded: bool) -> None:
    """The same where not all is 0/1: exact for scores between 0 and 1, none where no bounds are known."""
    for first in range(len(values) - 1):
        rest = slice(first + 1, None)
        differences = values[first] - values[rest]  # [others, questions]
        ends = low[first, rest], high[first, rest]  # views
        if bounded:
            # Thirds and the like are no exact binary fractions: what is equal differs by rounding.
            widen_certain(*ends, differences.round(6), paired=True)
        else:
            for end in ends:
                end[np.ptp(differences, axis=1) == 0] = np.nan
        low[rest, first], high[rest, first] = -ends[1], -ends[0]


def _permutations(values: Array) -> Array:
    methods = len(values)
    whole = None if np.isnan(values).any() else statistics.lattice(values.ravel(), largest=1 << 40)
    if whole is not None and np.ptp(whole) <= _MAX_LEVELS:
        return statistics.lattice_permutations(whole.reshape(values.shape))
    p = np.ones((methods, methods))
    for first in range(methods):
        for second in range(first + 1, methods):
            difference = values[first] - values[second]
            if not np.isnan(difference).any():
                p[first, second] = p[second, first] = statistics.permutation_p(difference)
    return p


def _holm_where(p: Array, upper: tuple[npt.NDArray[np.intp], ...]) -> Array:
    """Holm over the pairs that have a p, as a symmetric matrix."""
    adjusted = np.full_like(p, np.nan)
    np.fill_diagonal(adjusted, 1.0)
    flat = p[upper]
    known = ~np.isnan(flat)
    if known.any():
        values = np.full_like(flat, np.nan)
        values[known] = statistics.holm(flat[known])
        adjusted[upper] = values
        adjusted.T[upper] = values
    return adjusted
