"""A run of stock lm-eval, with its own gsm8k task and a model that knows nothing of us."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

from sprint_eval.leaderboards.board import make_board
from sprint_eval.leaderboards.cost import costs_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """lm-eval's own YAML on a file in place of the hub's data set; two runs of its ``dummy`` model."""
    folder = tmp_path_factory.mktemp("foreign")
    lines = [json.dumps({"question": f"What is {n} + 1?", "answer": f"So.\n#### {n + 1}"}) for n in range(12)]
    (folder / "data.jsonl").write_text("\n".join(lines), encoding="utf-8")
    text = (resources.files("lm_eval") / "tasks" / "gsm8k" / "gsm8k.yaml").read_text(encoding="utf-8")
    kept = [
        line for line in text.splitlines() if not line.startswith(("dataset_path", "dataset_name", "task:"))
    ]
    data = "task: gsm8k_on_file\ndataset_path: json\ndataset_kwargs:\n  data_files:\n"
    data += f"    train: {folder}/data.jsonl\n"
    (folder / "tasks").mkdir()
    yaml = data + f"    test: {folder}/data.jsonl\n" + "\n".join(kept) + "\n"
    (folder / "tasks" / "gsm8k_on_file.yaml").write_text(yaml, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "lm_eval",
        "--model",
        "dummy",
        "--tasks",
        "gsm8k_on_file",
        "--log_samples",
    ]
    command += [
        "--include_path",
        str(folder / "tasks"),
        "--output_path",
        str(folder / "results"),
        "--limit",
        "7",
    ]
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(folder / "home"),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder / "results"


def test_each_filter_is_a_table_with_blanks_for_what_is_not_said(results: Path) -> None:
    board = make_board([results])
    assert board.reading.problems == []
    titles = [standing.table.title for standing in board.standings]
    assert titles == [
        "gsm8k_on_file · exact_match, flexible-extract",
        "gsm8k_on_file · exact_match, strict-match",
    ]
    for standing in board.standings:
        (row,) = standing.rows
        assert row.name == "dummy"
        assert standing.table.questions == 7
        assert standing.table.settings["few-shot examples"] == "5"
        assert standing.families["value"].mean[0, 0] == 0.0
        costs = costs_of(row)
        assert costs.pop("total_seconds") is not None
        assert set(costs.values()) == {None}
