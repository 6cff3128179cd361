"""Hugging Face's ``.eval_results`` files, read back by Hugging Face's own reader."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import eval_result_entries_to_yaml, parse_eval_result_entries
from synthetic import TASK, FakeRun, foreign, outcomes, write_run

from sprint_eval.leaderboards.board import make_board
from sprint_eval.leaderboards.publish_hub import write_hub_results

RUN = FakeRun(questions=20)


def published(folder: Path, *runs: FakeRun, dataset: str = "openai/gsm8k") -> list[Path]:
    for index, run in enumerate(runs):
        path = write_run(folder / str(index), run)
        record = json.loads(path.read_text(encoding="utf-8"))
        record["configs"][run.task]["dataset_path"] = dataset
        path.write_text(json.dumps(record), encoding="utf-8")
    written, _ = write_hub_results(folder / "out", make_board([folder]))
    files = sorted((folder / "out").rglob("*.yaml"))
    assert len(files) == written
    return files


def entry_of(path: Path) -> Any:
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    (entry,) = parse_eval_result_entries(raw)
    assert eval_result_entries_to_yaml([entry]) == raw, "nothing in it that the hub does not know"
    return entry


def test_the_hub_reads_what_is_written(tmp_path: Path) -> None:
    one, four = (entry_of(path) for path in published(tmp_path, RUN))
    assert (one.dataset_id, one.task_id) == ("openai/gsm8k", "gsm8k"), "the id that its eval.yaml gives"
    correct = outcomes(RUN)
    assert one.value == pytest.approx(100 * correct[:, 0].mean()), "in percent, as benchmarks show it"
    assert four.value == pytest.approx(100 * correct.any(axis=1).mean())
    assert one.date == "2025-10-09T08:53:20+00:00"
    assert one.notes == "pass@1 with hf greedy, 20 questions, few-shot examples: 0"
    assert four.notes.startswith("pass@4 with hf greedy")


def test_each_result_has_a_file_of_its_own_in_its_methods_folder(tmp_path: Path) -> None:
    sampled = replace(RUN, generation={"do_sample": True, "temperature": 0.6})
    files = published(tmp_path, RUN, sampled, replace(sampled, n=8), replace(RUN, questions=10))
    assert len(files) == 8
    assert {path.parent.name for path in files} == {".eval_results"}
    assert len({path.parent.parent.name for path in files}) == 2


def test_what_casts_doubt_on_a_result_goes_out_with_it(tmp_path: Path) -> None:
    run = replace(RUN, model="sprint-router", info={"router_trained_on_test": True})
    for path in published(tmp_path, run):
        assert entry_of(path).notes.endswith("few-shot examples: 0; router trained on test questions")


def test_a_metric_of_unknown_scale_has_no_entry(tmp_path: Path) -> None:
    """With samples 0.75 is seen to be a share of 0/1 answers, which goes out as 75."""
    foreign(tmp_path / "results", "one", [1, 0, 1, 1], ("none",))
    write_hub_results(tmp_path / "with", make_board([tmp_path / "results"]))
    (path,) = (tmp_path / "with").rglob("*.yaml")
    assert entry_of(path).value == 75
    next((tmp_path / "results").glob("samples_*")).unlink()
    assert write_hub_results(tmp_path / "without", make_board([tmp_path / "results"])) == (0, 1)


@pytest.mark.parametrize("dataset", ["json", "reasoning-gym", "../../etc", "/data/mine"])
def test_what_is_no_data_set_of_the_hub_has_no_entry(tmp_path: Path, dataset: str) -> None:
    assert published(tmp_path, RUN, dataset=dataset) == []


def test_another_benchmark_keeps_the_name_of_the_task(tmp_path: Path) -> None:
    assert entry_of(published(tmp_path, RUN, dataset="org/other")[0]).task_id == TASK
