"""Per-question scores of a table's rows, as arrays over methods, questions and k."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from sprint_eval.leaderboards.records import PASS
from sprint_eval.leaderboards.tables import Table

Scores = npt.NDArray[np.float32]  # [methods, questions, k]; NaN where a method says nothing

FIRST = "pass"  # any of the first k
UNBIASED = "unbiased"  # Chen et al. 2021, for exchangeable candidates
MAJORITY = "maj"
WEIGHTED = "wmaj"  # each vote by its candidate's weight
BEST = "best"  # the first of a scorer that sees no gold
VALUE = "value"  # a metric of another task, one value a question
NAMES = {
    FIRST: "pass@{}",
    UNBIASED: "pass@{} (unbiased)",
    MAJORITY: "maj@{}",
    WEIGHTED: "wmaj@{}",
    BEST: "best@{}",
    VALUE: "{}",
}
CHOSEN = (MAJORITY, WEIGHTED, BEST)  # one answer of k is chosen, without the oracle
OPTIONAL = (WEIGHTED, BEST)  # families of a table where any of its methods has them


def score_table(table: Table) -> dict[str, Scores]:
    """Every family of scores of a table, rows in the table's order; empty without samples."""
    if table.keys is None:
        return {}
    if table.score != PASS:
        sampled_rows = [(row.run.sampled, row.order) for row in table.rows]
        values = [
            sampled.values[order]
            for sampled, order in sampled_rows
            if sampled is not None and sampled.values is not None and order is not None
        ]
        return {VALUE: np.stack(values)[:, :, None].astype(np.float32)}
    depth = max(table.k, max(row.candidates for row in table.rows))
    shape = (len(table.rows), len(table.keys), depth)
    wanted = (FIRST, UNBIASED, *CHOSEN)
    families = {name: np.full(shape, np.nan, dtype=np.float32) for name in wanted}
    for index, row in enumerate(table.rows):
        sampled = row.run.sampled
        if sampled is None or row.order is None:
            continue  # a table with keys has samples in every row
        correct = sampled.correct[row.order]
        _fill(families[FIRST][index], np.maximum.accumulate(correct, axis=1), row.deterministic)
        _fill(families[UNBIASED][index], unbiased(correct), row.deterministic)
        if sampled.majority is not None:
            _fill(families[MAJORITY][index], sampled.majority[row.order], row.deterministic)
        for name, chosen in sampled.choices.items():
            _fill(families[name][index], chosen[row.order], row.deterministic)
    return {name: values for name, values in families.items() if stands(name, values)}


def stands(name: str, values: npt.NDArray[np.floating[Any]]) -> bool:
    """Whether a table has a family: optional ones where any of its methods says something."""
    return name not in OPTIONAL or not bool(np.isnan(values).all())


def unbiased(correct: npt.NDArray[np.int8]) -> npt.NDArray[np.float64]:
    """``1 - C(n-c, k) / C(n, k)`` for k = 1..n (Chen et al. 2021): ``[questions, n] -> [questions, n]``."""
    _, n = correct.shape
    table = np.array(
        [[1.0 - math.comb(n - c, k) / math.comb(n, k) for k in range(1, n + 1)] for c in range(n + 1)]
    )
    return table[correct.sum(axis=1, dtype=np.int64)]


def _fill(target: Scores, values: npt.NDArray[np.generic], deterministic: bool) -> None:
    """Write ``[questions, N]`` into ``[questions, K]``; a deterministic row is the same at every k."""
    width = values.shape[1]
    target[:, :width] = values
    if deterministic:
        target[:, width:] = values[:, -1:]
