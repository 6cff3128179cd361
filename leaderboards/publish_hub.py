"""Hugging Face's ``.eval_results/*.yaml``: a folder a method, to be copied into a model's repository."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from sprint_eval.files import write_atomic
from sprint_eval.leaderboards.board import Board, iso, score_name
from sprint_eval.leaderboards.standing import Standing

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def write_hub_results(folder: Path, board: Board) -> tuple[int, int]:
    """Write ``<method id>/.eval_results/<task>.yaml``, the first and the last k of each score.

    A result belongs to a data set of the hub; a run that does not name one has no entry.

    Returns:
        How many files were written, and how many rows had no data set of the hub.
    """
    import yaml

    written = missing = 0
    for standing in board.standings:
        for index, row in enumerate(standing.rows):
            entries = _entries(standing, index)
            if not entries:
                missing += 1
                continue
            name = re.sub(r"[^\w.-]+", "_", standing.table.title)[:120]
            path = folder / row.method.id / ".eval_results" / f"{name}.yaml"
            write_atomic(path, yaml.safe_dump(entries, sort_keys=False, allow_unicode=True))
            written += 1
    return written, missing


def _entries(standing: Standing, index: int) -> list[dict[str, Any]]:
    row, table = standing.rows[index], standing.table
    dataset = row.run.header.dataset
    if dataset is None or not _HUB_ID.fullmatch(dataset):
        return []
    family = standing.families[standing.headline]
    entries = []
    for k in sorted({1, table.k}):
        value = float(family.mean[index, k - 1])
        if math.isnan(value):
            continue
        shots = table.settings["few-shot examples"]
        notes = f"{score_name(standing, standing.headline, k)} with {row.name}, few-shot examples: {shots}"
        entry: dict[str, Any] = {"dataset": {"id": dataset, "task_id": table.task}, "value": round(value, 6)}
        date = iso(row.run.header.date)
        if date:
            entry["date"] = date
        entries.append(entry | {"notes": notes})
    return entries
