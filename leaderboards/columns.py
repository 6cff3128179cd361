"""The columns that a printed table shows, declared once for the terminal, Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sprint_eval.leaderboards import scores as families
from sprint_eval.leaderboards.board import score_name
from sprint_eval.leaderboards.cost import COSTS, Cost, costs_of, human
from sprint_eval.leaderboards.standing import Family, Standing
from sprint_eval.leaderboards.words import figure

MAX_SCORES = 8


@dataclass(frozen=True)
class Column:
    """A heading, how its cells are aligned, and a cell's text for a row's index."""

    title: str
    cell: Callable[[int], str]
    numeric: bool = True


def columns_of(standing: Standing, intervals: bool = True) -> list[Column]:
    """Rank, method, base models if several, scores with intervals, costs and notes that any row has."""
    rows = standing.rows
    columns = [
        Column("Rank", lambda index: rank_text(standing, index)),
        Column("Method", lambda index: rows[index].name, numeric=False),
    ]
    if names_models(standing):
        columns.append(Column("Model", lambda index: rows[index].method.model or "–", numeric=False))
    if len({letters for letters in standing.letters if letters}) > 0 and len(rows) > 1:
        columns.append(Column("Group", lambda index: standing.letters[index], numeric=False))
    for name in (standing.headline, *families.CHOSEN):
        family = standing.families.get(name)
        if family is None:
            continue
        for k in _shown_ks(name, family, standing.table.k):
            columns.append(Column(score_name(standing, name, k), _score_cell(family, k, intervals)))
    costs = [costs_of(row) for row in rows]
    for cost in COSTS[:3]:
        if any(found[cost.key] is not None for found in costs):
            columns.append(Column(cost.title, _cost_cell(cost, [found[cost.key] for found in costs])))
    if any(row.notes for row in rows):
        columns.append(Column("Notes", lambda index: "; ".join(rows[index].notes), numeric=False))
    return columns


def names_models(standing: Standing) -> bool:
    """Whether rows are of several base models, or of some that are not known, so that each must say which."""
    return len({row.method.model for row in standing.rows}) > 1


def _cost_cell(cost: Cost, values: list[float | None]) -> Callable[[int], str]:
    return lambda index: human(values[index], cost.unit)


def rank_text(standing: Standing, index: int) -> str:
    """``1`` or ``1–3``: the ranks that the questions leave open."""
    low, high = standing.rank_low[index], standing.rank_high[index]
    if low is None or high is None:
        return "–"
    return str(low) if low == high else f"{low}–{high}"


def _shown_ks(name: str, family: Family, k: int) -> list[int]:
    """Every k up to the table's, or 1, 2, 4, 8, … and the last where they are many; votes at the last."""
    if name in families.CHOSEN:
        return [k] if k > 2 and not np.isnan(family.mean[:, k - 1]).all() else []
    if k <= MAX_SCORES:
        return list(range(1, k + 1))
    return sorted({1 << power for power in range(k.bit_length()) if 1 << power <= k} | {k})


def _score_cell(family: Family, k: int, intervals: bool) -> Callable[[int], str]:
    def cell(index: int) -> str:
        value, low, high = (float(part[index, k - 1]) for part in (family.mean, family.low, family.high))
        if np.isnan(low) or not intervals:
            return figure(value)
        return f"{figure(value)} [{figure(low)}, {figure(high)}]"

    return cell
