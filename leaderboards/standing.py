"""Who stands where in a table: means, intervals, ranks, and every pair compared."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sprint_eval.intervals import widen_certain
from sprint_eval.leaderboards import ranks, statistics
from sprint_eval.leaderboards import scores as families
from sprint_eval.leaderboards.pairs import Pairs, compare
from sprint_eval.leaderboards.scores import Scores
from sprint_eval.leaderboards.tables import Row, Table

Array = npt.NDArray[np.float64]


@dataclass
class Family:
    """One score over all rows: ``[methods, k]`` each; NaN where a row has no such k."""

    mean: Array
    low: Array
    high: Array


@dataclass
class Standing:
    """A table with its figures; rows are sorted, the best first.

    Attributes:
        headline: the family ranked by, at the table's k.
        rank_low: the best rank that the questions leave open, ``rank_high`` the worst.
        letters: rows that share a letter are not shown to differ.
        reference: index of the reference row.
    """

    table: Table
    headline: str
    families: dict[str, Family]
    scores: dict[str, Scores] = field(default_factory=dict)
    pairs: dict[tuple[str, int], Pairs] = field(default_factory=dict)
    rank_low: list[int | None] = field(default_factory=list)
    rank_high: list[int | None] = field(default_factory=list)
    letters: list[str] = field(default_factory=list)
    reference: int | None = None

    @property
    def rows(self) -> list[Row]:
        """The table's rows, best first."""
        return self.table.rows

    def headline_pairs(self) -> Pairs | None:
        """The pairs at the score that the table ranks by."""
        return self.pairs.get((self.headline, self.table.k))


def stand(table: Table, reference: str | None = None, draws: int = statistics.DRAWS) -> Standing:
    """Sort a table's rows and compute its figures.

    Args:
        reference: name or id of the method to compare all others with; ignored where absent.
    """
    if table.keys is None:
        return _stated(table)
    scores = families.score_table(table)
    headline = families.FIRST if families.FIRST in scores else families.VALUE
    order = _order(table, scores[headline])
    table.rows[:] = [table.rows[index] for index in order]
    scores = {name: values[order] for name, values in scores.items()}
    standing = Standing(table, headline, {}, scores)
    standing.reference = find_reference(table, reference)
    resampling = statistics.Resampling(len(table.keys), draws)
    for name, values in scores.items():
        family, boot = _family(name, values, resampling)
        standing.families[name] = family
        _compare(standing, name, values, boot)
        if name == headline:
            _rank(standing, boot[:, table.k - 1])
    return standing


def find_reference(table: Table, reference: str | None) -> int | None:
    """The row whose method's name, in the table or the board, or whose id this is."""
    if reference is None:
        return None
    for index, row in enumerate(table.rows):
        if reference in (row.name, row.full_name, row.key, row.method.id):
            return index
    return None


def _order(table: Table, values: Scores) -> list[int]:
    """Best first by the table's k, then by smaller k, then by name; rows without that k come last."""
    means = values.mean(axis=1)  # [methods, k]
    sign = 1 if table.lower_is_better else -1

    def key(index: int) -> tuple[object, ...]:
        ranked = means[index, table.k - 1 :: -1]
        found = [sign * float(value) for value in ranked if not np.isnan(value)]
        return (bool(np.isnan(ranked[0])), found, table.rows[index].name)

    return sorted(range(len(table.rows)), key=key)


def _family(
    name: str, values: Scores, resampling: statistics.Resampling
) -> tuple[Family, npt.NDArray[np.float32]]:
    """Means and intervals of ``[methods, questions, k]``, and each draw's means ``[methods, k, draws]``."""
    methods, questions, depth = values.shape
    flat = values.transpose(0, 2, 1).reshape(methods * depth, questions)
    means = flat.mean(axis=1, dtype=np.float64)
    boot = resampling.means(flat)
    low, high = statistics.percentile_interval(boot.copy())
    if name != families.VALUE or np.isin(flat, (0.0, 1.0)).all():
        widen_certain(low, high, flat)
    else:  # one value throughout says nothing of its spread, nor of how far others may lie
        low[np.ptp(flat, axis=1) == 0] = high[np.ptp(flat, axis=1) == 0] = np.nan
    shape = (methods, depth)
    family = Family(means.reshape(shape), low.reshape(shape), high.reshape(shape))
    return family, boot.reshape(methods, depth, -1)


def _compare(standing: Standing, name: str, values: Scores, boot: npt.NDArray[np.float32]) -> None:
    """All pairs at each k; numpy lets go of the interpreter, so threads share the work."""

    def at(k: int) -> Pairs:
        pairs = compare(name, k, values[:, :, k - 1], boot[:, k - 1], standing.reference)
        if standing.table.lower_is_better and pairs.only is not None:
            pairs.only = pairs.only.T  # a question is solved where the score is 0
        return pairs

    ks = _pair_ks(name, values)
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        standing.pairs.update({(name, k): pairs for k, pairs in zip(ks, pool.map(at, ks), strict=True)})


def _pair_ks(name: str, values: Scores) -> range:
    """The k at which pairs are compared; the unbiased estimate at 1 only, where it is mean accuracy."""
    return range(1, 2 if name == families.UNBIASED else values.shape[2] + 1)


def _rank(standing: Standing, boot: npt.NDArray[np.float32]) -> None:
    """Rank intervals and letters at the headline score, among the rows that have it."""
    rows = len(standing.rows)
    ranked = np.flatnonzero(~np.isnan(boot[:, 0]))
    signed = boot[ranked] * (-1 if standing.table.lower_is_better else 1)
    low, high = ranks.rank_intervals(signed)
    standing.rank_low, standing.rank_high, standing.letters = [None] * rows, [None] * rows, [""] * rows
    pairs = standing.headline_pairs()
    assert pairs is not None  # the headline is always compared at the table's k
    different = pairs.holm[np.ix_(ranked, ranked)] < statistics.LEVEL
    for place, letters in enumerate(ranks.tied_groups(different)):
        row = int(ranked[place])
        standing.rank_low[row], standing.rank_high[row] = int(low[place]), int(high[place])
        standing.letters[row] = letters


def _stated(table: Table) -> Standing:
    """A table without samples: the figures that the results files state, and no statistics."""
    depth = max(row.candidates for row in table.rows)
    shape = (len(table.rows), depth)
    found: dict[str, Array] = {}
    names = (
        [families.FIRST, families.UNBIASED, *families.CHOSEN] if table.score == "pass@k" else [families.VALUE]
    )
    patterns = families.NAMES | {families.UNBIASED: "pass@{}_unbiased"}
    for name in names:
        found[name] = np.full(shape, np.nan)
        for index, row in enumerate(table.rows):
            for k in range(1, depth + 1):
                metric = table.score if name == families.VALUE else patterns[name].format(k)
                value = row.run.header.metrics.get((metric, table.filter))
                found[name][index, k - 1] = np.nan if value is None else value
    headline = names[0]
    order = _order(table, found[headline][:, None, :].astype(np.float32))
    table.rows[:] = [table.rows[index] for index in order]
    blank = np.full(shape, np.nan)
    return Standing(
        table,
        headline,
        {
            name: Family(values[order], blank, blank)
            for name, values in found.items()
            if families.stands(name, values)
        },
        rank_low=[None] * len(order),
        rank_high=[None] * len(order),
        letters=[""] * len(order),
    )
