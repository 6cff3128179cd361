"""What the task class refuses, cuts off or passes on, through lm-eval's own evaluator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from lm_eval.tasks import TaskManager
from scripted import Scripted, evaluate

from sprint_eval.errors import ArgumentError, CommandExit, DataError
from sprint_eval.tasks import load_task, task_files

REPOSITORY = Path(__file__).parents[2]


def with_responses(data_dir: Path, counts: list[int], world_size: int = 1) -> Any:
    task = load_task("gsm8k_pass_at_n", {"data_dir": str(data_dir), "n": 2})
    task.build_all_requests(limit=len(counts), rank=0, world_size=1)
    task._world_size = world_size
    for instance, count in zip(task.instances, counts, strict=True):
        instance.resps = [f"answer {k}" for k in range(count)]
    return task


def test_padding_clones_of_the_last_question_are_cut_off(data_dir: Path) -> None:
    task = with_responses(data_dir, [2, 2, 6], world_size=2)
    task.apply_filters()
    assert [len(instance.filtered_resps["none"]) for instance in task.instances] == [2, 2, 2]


@pytest.mark.parametrize(
    ("counts", "world_size"), [([2, 2, 4], 1), ([2, 4, 2], 2), ([2, 1, 2], 2), ([2, 2, 1], 2)]
)
def test_any_other_number_of_responses_is_refused(
    data_dir: Path, counts: list[int], world_size: int, capsys: pytest.CaptureFixture[str]
) -> None:
    task = with_responses(data_dir, counts, world_size)
    with pytest.raises(CommandExit):
        task.apply_filters()
    assert "candidates, expected n=2" in capsys.readouterr().err


@pytest.mark.parametrize("settings", ["temperature=0.7", "top_p=0.9", "temperature=0.7,do_sample=False"])
def test_sampling_that_would_stay_greedy_is_refused(
    data_dir: Path, settings: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CommandExit) as caught:
        evaluate(Scripted(lambda doc, k: "1"), "gsm8k_pass_at_n", data_dir, gen_kwargs=settings)
    assert caught.value.code == 2
    assert "without do_sample=True stays greedy" in capsys.readouterr().err


def test_sampling_settings_reach_the_model(data_dir: Path) -> None:
    model = Scripted(lambda doc, k: "1")
    evaluate(
        model, "gsm8k_pass_at_n", data_dir, gen_kwargs="do_sample=True,temperature=0.6,top_k=40,top_p=0.95"
    )
    settings = model.requests[0].args[1]
    assert (settings["do_sample"], settings["temperature"], settings["top_k"], settings["top_p"]) == (
        True,
        0.6,
        40,
        0.95,
    )
    assert len(model.requests) == 6 * 8


def test_predict_only_computes_no_metric(data_dir: Path) -> None:
    found = evaluate(Scripted(lambda doc, k: "1"), "gsm8k_pass_at_n", data_dir, predict_only=True)
    assert len(found["samples"]["gsm8k_pass_at_n"]) == 6


def test_cached_requests_are_those_of_the_same_questions(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lm_eval.caching.cache.PATH", str(tmp_path / "cache"))
    seen = []
    for metadata in ({"n": 1}, {"n": 2}, {"n": 1, "split": "train"}, {"n": 1}):
        model = Scripted(lambda doc, k: doc["answer"])
        found = evaluate(model, "gsm8k_pass_at_n", data_dir, metadata=metadata, cache_requests=True)
        assert found["results"]["gsm8k_pass_at_n"]["pass@1,none"] == 1.0
        seen.append([request.doc["question"] for request in model.requests])
    assert seen[1][::2] == seen[0] == seen[3]
    assert not set(seen[2]) & set(seen[0])


def test_too_many_worked_examples_are_refused(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CommandExit):
        evaluate(Scripted(lambda doc, k: "1"), "asdiv_pass_at_n_fewshot", data_dir, num_fewshot=40)
    assert "worked examples, num_fewshot=40 asked for" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"data_dir": "/no/such/folder"}, "data folder not found: /no/such/folder"),
        ({"n": "many"}, "metadata n='many'"),
        ({"datadir": "x"}, "did you mean 'data_dir'"),
        ({"split": "dev"}, "expected one of test, validation, train"),
    ],
)
def test_bad_metadata_is_one_line_and_exit_2(
    metadata: dict, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(task_files()["gsm8k_pass_at_n"])
    with pytest.raises(CommandExit) as caught:
        TaskManager(include_defaults=False, metadata=metadata).load([path])
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    with pytest.raises((DataError, ArgumentError), match=message.split(":")[0]):
        load_task("gsm8k_pass_at_n", metadata, split=metadata.get("split", "test"))
    assert capsys.readouterr().err == ""


def test_load_task_finds_included_and_refuses_unknown_tasks(tmp_path: Path) -> None:
    rows = [{"q": f"{i}?", "a": str(i)} for i in range(4)]
    for split in ("train", "test"):
        lines = "\n".join(json.dumps({**row, "s": split}) for row in rows)
        (tmp_path / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    config = {
        **{
            "task": "toy_for_load_task",
            "dataset_path": "json",
            "training_split": "train",
            "test_split": "test",
        },
        **{"output_type": "generate_until", "doc_to_text": "q", "doc_to_target": "a"},
        "dataset_kwargs": {"data_files": {split: f"{tmp_path}/{split}.jsonl" for split in ("train", "test")}},
        "generation_kwargs": {"until": ["x"]},
    }
    (tmp_path / "toy.yaml").write_text(json.dumps(config), encoding="utf-8")
    task = load_task("toy_for_load_task", split="train", include_path=tmp_path)
    assert {doc["s"] for doc in task.eval_docs} == {"train"}
    with pytest.raises(ArgumentError, match="has no validation split"):
        load_task("toy_for_load_task", split="validation", include_path=tmp_path)
    with pytest.raises(ArgumentError, match=r"unknown task 'asdiv_pass_at'.*did you mean 'asdiv_pass_at_n'"):
        load_task("asdiv_pass_at")


@pytest.mark.slow
def test_a_missing_data_folder_out_of_stock_lm_eval_is_one_line_and_exit_2(tmp_path: Path) -> None:
    arguments = ["--model", "dummy", "--tasks", "asdiv_pass_at_n", "--metadata", f"data_dir={tmp_path}/no"]
    command = [sys.executable, "-m", "lm_eval", *arguments, "--include_path", str(REPOSITORY / "tasks")]
    run = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    assert run.returncode == 2
    assert "Traceback" not in run.stderr
    assert f"data folder not found: {tmp_path}/no" in run.stderr
