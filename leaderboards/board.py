"""The whole leaderboard as one value, and its rows as flat records for files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from sprint_eval.errors import ArgumentError, DataError, did_you_mean
from sprint_eval.leaderboards import scores as families
from sprint_eval.leaderboards import statistics
from sprint_eval.leaderboards.cost import COSTS, costs_of, pareto
from sprint_eval.leaderboards.reader import Cache, read_runs
from sprint_eval.leaderboards.records import Reading
from sprint_eval.leaderboards.standing import Standing, stand
from sprint_eval.leaderboards.tables import build_tables


@dataclass
class Board:
    """Tables with their figures, and what was read to make them."""

    standings: list[Standing]
    reading: Reading
    reference: str | None = None
    draws: int = statistics.DRAWS

    @property
    def newest(self) -> str | None:
        """When the newest run began, ISO 8601 in UTC: a board's date does not depend on when it was made."""
        dates = [row.run.header.date for standing in self.standings for row in standing.rows]
        newest = max(dates, default=0.0)
        return iso(newest)


def make_board(
    paths: Sequence[Path],
    reference: str | None = None,
    draws: int = statistics.DRAWS,
    cache: Cache | None = None,
) -> Board:
    """Read result folders and compute everything that the outputs show.

    Args:
        paths: folders and files of lm-eval.
        reference: name or id of the method that all others are compared with.
        cache: samples read by an earlier call, used again where their files have not changed.

    Raises:
        DataError: a path does not exist, or no run in them can be used.
        ArgumentError: no method is called like the reference.
    """
    reading = read_runs(paths, cache)
    if not reading.runs:
        raise DataError(_nothing(paths, reading))
    board = Board(
        [stand(table, reference, draws) for table in build_tables(reading.runs)], reading, reference, draws
    )
    _check_reference(board)
    return board


def _nothing(paths: Sequence[Path], reading: Reading) -> str:
    where = ", ".join(map(str, paths))
    if not reading.problems:
        return f"no results of lm-eval in {where}: expected results_<time>.json, as --output_path writes it"
    first = reading.problems[0]
    return f"no usable results in {where}: {len(reading.problems)} left out, the first is {first}"


def _check_reference(board: Board) -> None:
    if board.reference is None:
        return
    rows = [row for standing in board.standings for row in standing.rows]
    names = {name for row in rows for name in (row.name, row.full_name)}
    ids = {identity for row in rows for identity in (row.key, row.method.id)}
    if board.reference not in names | ids:
        hint = did_you_mean(board.reference, names) or f" (there are: {', '.join(sorted(names)[:12])})"
        raise ArgumentError(f"no method is called '{board.reference}'{hint}")


def iso(seconds: float) -> str | None:
    """Unix seconds as ISO 8601 in UTC; ``None`` where unknown or beyond the calendar."""
    if seconds <= 0:
        return None
    try:
        return datetime.fromtimestamp(seconds, tz=timezone.utc).isoformat(timespec="seconds")
    except (OverflowError, OSError, ValueError):
        return None


def score_name(standing: Standing, family: str, k: int) -> str:
    """``pass@4``, ``maj@4``, or the metric's own name."""
    if family == families.VALUE:
        return standing.table.score
    return families.NAMES[family].format(k)


def rounded(value: float | None, digits: int = 6) -> float | None:
    """A finite figure rounded for a file, else ``None``."""
    if value is None or not math.isfinite(value):
        return None
    return round(float(value), digits)


def row_records(standing: Standing) -> list[dict[str, Any]]:
    """A flat record a row: identity, ranks, every score with its interval, costs, notes."""
    table = standing.table
    records: list[dict[str, Any]] = []
    headline = standing.families[standing.headline].mean[:, table.k - 1]
    costs = [costs_of(row) for row in standing.rows]
    fronts = {
        cost.key: pareto(
            [(found[cost.key], rounded(value)) for found, value in zip(costs, headline, strict=True)],
            table.lower_is_better,
        )
        for cost in COSTS
    }
    for index, row in enumerate(standing.rows):
        header = row.run.header
        record: dict[str, Any] = {
            "table": table.id,
            "task": table.task,
            "title": table.title,
            "method": row.name,
            "method_id": row.key,
            "kind": row.method.kind,
            "model": row.method.model,
            "rank_best": standing.rank_low[index],
            "rank_worst": standing.rank_high[index],
            "group": standing.letters[index] or None,
            "reference": standing.reference == index,
            "questions": table.questions,
            "candidates": row.candidates,
            "deterministic": row.deterministic,
        }
        for name, family in standing.families.items():
            for k in range(1, family.mean.shape[1] + 1):
                label = score_name(standing, name, k)
                record[label] = rounded(family.mean[index, k - 1])
                record[f"{label} low"] = rounded(family.low[index, k - 1])
                record[f"{label} high"] = rounded(family.high[index, k - 1])
        for cost in COSTS:
            record[cost.key] = costs[index][cost.key]
            record[f"pareto {cost.key}"] = fronts[cost.key][index]
        record |= {
            f"candidates {name}": row.counts.get(name, 0) for name in ("truncated", "no_answer", "repeated")
        }
        record["grader time-outs"] = row.counts.get("timed_out", 0)
        record["notes"] = "; ".join(row.notes)
        record["date"] = iso(header.date)
        records.append(record)
    return records
