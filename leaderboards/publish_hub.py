"""Hugging Face's ``.eval_results/*.yaml``: a folder a method, to be copied into a model's repository.

The format is that of the hub's documentation (hub-docs, ``docs/hub/eval-results.md``). A file holds
one result, since those of one benchmark under other settings belong into files of their own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sprint_eval.files import write_atomic
from sprint_eval.leaderboards.board import Board, iso, score_name
from sprint_eval.leaderboards.scores import VALUE
from sprint_eval.leaderboards.standing import Standing

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
# A benchmark's eval.yaml gives its tasks ids of their own; of others the name in lm-eval is written.
_TASK_IDS = {"openai/gsm8k": "gsm8k"}


def write_hub_results(folder: Path, board: Board) -> tuple[int, int]:
    """Write ``<method id>/.eval_results/<table>_<score>.yaml``, the first and the last k of each table.

    A result belongs to a data set of the hub; a run that does not name one has no entry. Neither has a
    task's own metric without samples: nothing says whether it is a share, which goes out in percent.

    Returns:
        How many files were written, and how many rows have none.
    """
    import yaml

    written = missing = 0
    for standing in board.standings:
        for index, row in enumerate(standing.rows):
            entries = dict(_entries(standing, index))
            missing += not entries
            for name, entry in entries.items():
                path = folder / row.method.id / ".eval_results" / f"{name}.yaml"
                write_atomic(path, yaml.safe_dump([entry], sort_keys=False, allow_unicode=True))
                written += 1
    return written, missing


def _entries(standing: Standing, index: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """A file's name and its one result."""
    row, table = standing.rows[index], standing.table
    dataset = row.run.header.dataset
    if dataset is None or not _HUB_ID.fullmatch(dataset):
        return
    if standing.headline == VALUE and standing.headline_pairs() is None:
        return
    family = standing.families[standing.headline]
    for k in sorted({1, min(table.k, row.candidates)}):
        value = float(family.mean[index, k - 1])
        if math.isnan(value):
            continue
        score = score_name(standing, standing.headline, k)
        shots = table.settings["few-shot examples"]
        notes = f"{score} with {row.name}, {table.questions} questions, few-shot examples: {shots}"
        notes = "; ".join([notes, *row.serious])
        entry: dict[str, Any] = {
            "dataset": {"id": dataset, "task_id": _TASK_IDS.get(dataset, table.task)},
            "value": round(_percent(standing, value), 4),
        }
        date = iso(row.run.header.date)
        if date:
            entry["date"] = date
        # The table's id keeps tables of one task apart, N the runs of one method in a table.
        name = f"{table.task[:60]}_{score[:40]}_{table.id}_N{row.candidates}"
        name = re.sub(r"[^A-Za-z0-9@.-]+", "_", name)
        yield name, entry | {"notes": notes}


def _percent(standing: Standing, value: float) -> float:
    """Shares of questions go out in percent, as the hub's benchmarks show them; other figures as they are."""
    pairs = standing.headline_pairs()
    share = standing.headline != VALUE or (pairs is not None and pairs.only is not None)
    return 100 * value if share else value
