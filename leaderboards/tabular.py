"""The board as CSV and Parquet: a row a method and table, a row a pair."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from sprint_eval.files import write_atomic
from sprint_eval.leaderboards.board import Board, row_records


def board_records(board: Board) -> list[dict[str, Any]]:
    """All rows of all tables; a column that a row lacks is ``None``."""
    return aligned([record for standing in board.standings for record in row_records(standing)])


def aligned(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every record with every column, in order of first appearance."""
    names = list(dict.fromkeys(name for record in records for name in record))
    return [{name: record.get(name) for name in names} for record in records]


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
