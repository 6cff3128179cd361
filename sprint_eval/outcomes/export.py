"""An outcome matrix as a long table, for other programs."""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sprint_eval.errors import ArgumentError, StoreError
from sprint_eval.heads import HeadSet
from sprint_eval.outcomes.cells import BASE_COLUMN, Cell
from sprint_eval.outcomes.merge import each_cell
from sprint_eval.outcomes.reader import Outcomes

# Columns of the table; layer and head are empty but for a single head.
FIELDS: Mapping[str, type] = {
    "question_index": int,
    "doc_hash": str,
    "question_key": str,
    "subject": str,
    "question": str,
    "heads": str,
    "layer": int,
    "head": int,
    "correct": bool,
    "extracted": str,
    "how": str,
    "status": str,
    "tokens": int,
    "finish": str,
    "text": str,
}
FORMATS = (".parquet", ".csv")
_BATCH = 50_000


def export_outcomes(outcomes: Outcomes, path: str | Path) -> int:
    """Write one row a decoded cell; the suffix decides the format. Returns the number of rows.

    Raises:
        ArgumentError: another suffix than ``.parquet`` or ``.csv``.
        StoreError: the file cannot be written.
    """
    target = Path(path)
    if target.suffix not in FORMATS:
        raise ArgumentError(f"cannot export to {target.name}: expected a name that ends in .parquet or .csv")
    write = _write_parquet if target.suffix == ".parquet" else _write_csv
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        os.close(handle)
        try:
            rows = write(outcomes, Path(name))
            Path(name).chmod(0o644)
            Path(name).replace(target)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write {target}: {error.strerror or error}") from error
    return rows


def export_rows(outcomes: Outcomes) -> Iterator[dict[str, Any]]:
    """The table's rows: question by question, the base first."""
    sets = list(outcomes.manifest.head_pool)
    for cell in each_cell(outcomes):
        heads = HeadSet() if cell.column == BASE_COLUMN else sets[cell.column]
        yield _row(outcomes, cell, heads)


def _row(outcomes: Outcomes, cell: Cell, heads: HeadSet) -> dict[str, Any]:
    question = outcomes.questions[cell.question]
    single = heads.heads[0] if len(heads) == 1 else None
    row = {
        "question_index": cell.question,
        "doc_hash": question.doc_hash,
        "question_key": question.key,
        "subject": question.subject,
        "question": question.question,
        "heads": str(heads),
        "layer": single.layer if single else None,
        "head": single.head if single else None,
        "correct": cell.correct,
        "extracted": cell.extracted,
        "how": cell.how,
        "status": cell.status,
        "tokens": cell.tokens,
        "finish": cell.finish,
        "text": cell.text,
    }
    return {name: _clean(value) if isinstance(value, str) else value for name, value in row.items()}


def _clean(text: str) -> str:
    """Text that UTF-8 can hold: a lone surrogate becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _write_csv(outcomes: Outcomes, path: Path) -> int:
    rows = 0
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(FIELDS))
        writer.writeheader()
        for row in export_rows(outcomes):
            writer.writerow(row)
            rows += 1
    return rows


def _write_parquet(outcomes: Outcomes, path: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {int: pa.int32(), str: pa.string(), bool: pa.bool_()}
    schema = pa.schema([(name, types[kind]) for name, kind in FIELDS.items()])
    rows, batch = 0, []
    with pq.ParquetWriter(path, schema) as writer:
        for row in export_rows(outcomes):
            batch.append(row)
            rows += 1
            if len(batch) == _BATCH:
                writer.write_table(pa.Table.from_pylist(batch, schema))
                batch = []
        writer.write_table(pa.Table.from_pylist(batch, schema))
    return rows
