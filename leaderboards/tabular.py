"""The board as CSV and Parquet: a row a method and table, a row a pair, a row a question and method."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np

from sprint_eval.files import write_atomic
from sprint_eval.leaderboards.board import Board, rounded, row_records, score_name
from sprint_eval.leaderboards.pairs import Pairs
from sprint_eval.leaderboards.standing import Standing


def board_records(board: Board) -> list[dict[str, Any]]:
    """All rows of all tables; a column that a row lacks is ``None``."""
    records = [record for standing in board.standings for record in row_records(standing)]
    names = list(dict.fromkeys(name for record in records for name in record))
    return [{name: record.get(name) for name in names} for record in records]


def pair_records(board: Board, every: bool = False) -> list[dict[str, Any]]:
    """A row a pair of methods: at the score that its table ranks by, or at every score and k."""
    records = []
    for standing in board.standings:
        headline = standing.headline_pairs()
        for pairs in standing.pairs.values() if every else [headline] if headline else []:
            records.extend(_pairs(standing, pairs))
    return records


def _pairs(standing: Standing, pairs: Pairs) -> list[dict[str, Any]]:
    name = score_name(standing, pairs.family, pairs.k)
    records = []
    for first, second in zip(*np.triu_indices(len(standing.rows), 1), strict=True):
        involved = standing.reference in (first, second)
        other = second if standing.reference == first else first
        records.append(
            {
                "table": standing.table.id,
                "task": standing.table.task,
                "score": name,
                "method": standing.rows[first].name,
                "other": standing.rows[second].name,
                "method_id": standing.rows[first].key,
                "other_id": standing.rows[second].key,
                "difference": rounded(pairs.difference[first, second]),
                "low": rounded(pairs.low[first, second]),
                "high": rounded(pairs.high[first, second]),
                "p": _p(pairs.p[first, second]),
                "p holm": _p(pairs.holm[first, second]),
                "p holm vs reference": _p(pairs.holm_reference[other])
                if involved and pairs.holm_reference is not None
                else None,
                "smallest detectable difference": rounded(pairs.detectable[first, second]),
                "only method solves": None if pairs.only is None else int(pairs.only[first, second]),
                "only other solves": None if pairs.only is None else int(pairs.only[second, first]),
            }
        )
    return records


def _p(value: float) -> float | None:
    """Significant digits: a p-value may lie far below any fixed number of places."""
    return float(f"{value:.6g}") if np.isfinite(value) else None


def write_csv(path: Path, records: list[dict[str, Any]]) -> None:
    """UTF-8 CSV; unknown is an empty cell."""
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, list(records[0]) if records else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in record.items()} for record in records)
    write_atomic(path, buffer.getvalue())


def _cell(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula gets a quote in front."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return "'" + value
    return value


def write_parquet(path: Path, records: list[dict[str, Any]]) -> None:
    """The records as Parquet; unknown is null. Nothing is written where there are none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not records:
        path.unlink(missing_ok=True)
        return
    columns = {name: [_typed(record[name]) for record in records] for name in records[0]}
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    write_atomic(path, sink.getvalue().to_pybytes())


def _typed(value: Any) -> Any:
    """Numbers of one column must be of one type: whole ones that may be fractions are fractions."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def write_outcomes(path: Path, board: Board) -> None:
    """Every question's outcome for every method: the first right candidate (0: none), how many are right."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = []
    for standing in board.standings:
        keys = standing.table.keys
        for row in standing.rows:
            sampled = row.run.sampled
            if keys is None or sampled is None or row.order is None:
                continue
            columns: dict[str, Any] = {
                "table": pa.array([standing.table.id] * len(keys)).dictionary_encode(),
                "method_id": pa.array([row.key] * len(keys)).dictionary_encode(),
                "question": keys,
            }
            if sampled.values is None:
                correct = sampled.correct[row.order]
                columns["first_right"] = np.where(correct.any(axis=1), correct.argmax(axis=1) + 1, 0)
                columns["right"] = correct.sum(axis=1, dtype=np.int64)
                columns["value"] = pa.nulls(len(keys), pa.float64())
            else:
                columns["first_right"] = pa.nulls(len(keys), pa.int64())
                columns["right"] = pa.nulls(len(keys), pa.int64())
                columns["value"] = sampled.values[row.order]
            tables.append(pa.table(columns))
    if not tables:
        path.unlink(missing_ok=True)
        return
    sink = pa.BufferOutputStream()
    pq.write_table(pa.concat_tables([table.unify_dictionaries() for table in tables]), sink)
    write_atomic(path, sink.getvalue().to_pybytes())
