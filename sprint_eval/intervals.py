"""Intervals where every question came out the same: a bootstrap would claim certainty there."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

_TAIL = 0.025  # intervals are 95 % intervals


@lru_cache(maxsize=1024)
def exact_interval(successes: int, questions: int) -> tuple[float, float]:
    """Clopper and Pearson's 95 % interval of a proportion.

    A bootstrap of outcomes that are all the same has nothing to draw from.
    """
    from scipy.stats import beta

    low = 0.0 if successes == 0 else float(beta.ppf(_TAIL, successes, questions - successes + 1))
    high = 1.0 if successes == questions else float(beta.ppf(1 - _TAIL, successes + 1, questions - successes))
    return low, high


def exact_difference(first_only: int, second_only: int, questions: int) -> tuple[float, float]:
    """A conservative 95 % interval of a paired difference where every question came out the same.

    All tied, or all won by one side: again a bootstrap has nothing to draw from. How often either
    side wins alone is bounded by :func:`exact_interval`.
    """
    if first_only == second_only == 0:
        most = exact_interval(0, questions)[1]
        return -most, most
    least = 2 * exact_interval(questions, questions)[0] - 1
    return (least, 1.0) if first_only else (-1.0, -least)


def exact_mean(value: float, questions: int, least: float) -> tuple[float, float]:
    """A conservative 95 % interval of a mean where every question came out as ``value``.

    The questions that would have come out otherwise are no more than :func:`exact_interval` says, and
    may have come out as anything between ``least`` and 1.
    """
    most = exact_interval(0, questions)[1]
    return (1 - most) * value + most * least, (1 - most) * value + most


def widen_certain(low: np.ndarray, high: np.ndarray, values: np.ndarray, *, paired: bool = False) -> None:
    """Put exact intervals where a bootstrap has none: rows whose questions all came out the same.

    Args:
        low, high: ``[rows]``, changed in place.
        values: outcomes between 0 and 1, ``[rows, questions]``; with ``paired`` differences of two.
    """
    questions = values.shape[1]
    for row in np.flatnonzero(np.ptp(values, axis=1) == 0):
        value = float(values[row, 0])
        if paired and value in (-1.0, 0.0, 1.0):
            low[row], high[row] = exact_difference(
                questions * (value > 0), questions * (value < 0), questions
            )
        elif not paired and value in (0.0, 1.0):
            low[row], high[row] = exact_interval(questions * int(value), questions)
        else:  # means over several runs
            low[row], high[row] = exact_mean(value, questions, -1.0 if paired else 0.0)
