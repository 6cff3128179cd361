"""Ranks that the questions leave open, and groups of methods that they do not tell apart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sprint_eval.leaderboards.statistics import LEVEL, Floats


def rank_intervals(draws: Floats) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The central 95 % of each method's rank over ``[methods, draws]``, 1 the best.

    Equal means share every rank they span: the low end counts only the strictly better, the high
    end all that are not strictly worse. Means that differ by rounding alone are equal.
    """
    from scipy.stats import rankdata

    falling = -np.round(draws / (np.abs(draws).max() or 1.0), 6)
    best = rankdata(falling, method="min", axis=0)
    worst = rankdata(falling, method="max", axis=0)
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
