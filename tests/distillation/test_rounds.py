"""Whole runs on tiny models: teach, prune and distil, cut, report, resume, refuse."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from sprint_eval.architectures import attention_layout
from sprint_eval.distillation import rounds as rounds_module
from sprint_eval.distillation.config import DistillConfig, PruneSettings, TrainSettings
from sprint_eval.distillation.data import TaskSource
from sprint_eval.distillation.folder import RunFolder
from sprint_eval.distillation.report import write_report
from sprint_eval.distillation.rounds import Run, check_same_kind, perplexity
from sprint_eval.distillation.run import DistillRequest, _card
from sprint_eval.errors import ArgumentError, DataError, MismatchError, UnsupportedModelError
from sprint_eval.heads import HeadPool
from sprint_eval.pruning import speed
from sprint_eval.pruning.checkpoint import load_pruned

TRAIN = TrainSettings(epochs=1, batch_size=6, lr=1e-3)
PRUNE = PruneSettings(ratio=0.5, rounds=2, calibration=8, refresh_every=2)


class NoTokenizer:
    def save_pretrained(self, folder: Any) -> None:
        (Path(folder) / "tokenizer.json").write_text("{}")


def make_run(tiny_model, accelerator, texts, folder, model_type="llama", **changes) -> Run:
    config = DistillConfig(**{"teach": TRAIN, "distill": TRAIN, "prune": PRUNE, **changes})
    store = RunFolder(folder, config.prune.rounds)
    return Run(accelerator, store, config, tiny_model(model_type), NoTokenizer(), texts, texts[:4])


def go(run: Run) -> list[dict[str, Any]]:
    run.check()
    run.folder.claim({"schema_version": 1})
    run.teach()
    return run.rounds()


def logs(folder: Path) -> dict[str, list[float]]:
    return {
        path.name: [json.loads(line)["loss"] for line in path.read_text().splitlines()]
        for path in sorted(folder.glob("*.jsonl"))
    }


@pytest.mark.parametrize("model_type", ["llama", "qwen3"])
def test_a_run_from_teacher_to_student(tiny_model, accelerator, texts, tmp_path, model_type):
    run = make_run(tiny_model, accelerator, texts, tmp_path / "run", model_type)
    facts = go(run)
    assert [
        attention_layout(load_pruned(tmp_path / "run" / name)).heads.num_heads
        for name in ("round-1", "student")
    ] == [9, 6]
    assert [fact["cost"]["heads"] for fact in facts] == [9, 6]
    first, second = (set(fact["removed_heads"].split("+")) for fact in facts)
    assert first < second
    assert all(fact["flops"] > 0 and fact["tokens"] > 0 for fact in facts)
    # The student that was trained under masks is the one that was written.
    student = load_pruned(tmp_path / "run" / "student")
    assert perplexity(student, run.held_out) == pytest.approx(facts[1]["held_out_perplexity"], rel=1e-4)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "round-1", "round-1-training.jsonl", "round-1.json", "round-2-training.jsonl", "round-2.json",
        "run.json", "student", "teacher", "teacher-training.jsonl", "teacher.json",
    ]  # fmt: skip
    assert (tmp_path / "run" / "student" / "tokenizer.json").exists()
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "run" / "student").iterdir()}
    assert modes == {(tmp_path / "run" / "run.json").stat().st_mode & 0o777}


@pytest.mark.parametrize("dies_after", ["teacher", "round-1", "round-2"])
def test_a_run_killed_between_phases_goes_on_to_the_same_end(
    tiny_model, accelerator, texts, tmp_path, monkeypatch, dies_after
):
    go(make_run(tiny_model, accelerator, texts, tmp_path / "whole"))
    write_facts = RunFolder.write_facts

    def dying(self: RunFolder, name: str, values: Any) -> None:
        if name == dies_after:
            raise KeyboardInterrupt
        write_facts(self, name, values)

    monkeypatch.setattr(RunFolder, "write_facts", dying)
    with pytest.raises(KeyboardInterrupt):
        go(make_run(tiny_model, accelerator, texts, tmp_path / "killed"))
    monkeypatch.undo()
    go(make_run(tiny_model, accelerator, texts, tmp_path / "killed"))
    assert logs(tmp_path / "killed") == logs(tmp_path / "whole")
    ends = [load_pruned(tmp_path / name / "student") for name in ("whole", "killed")]
    assert all(torch.equal(a, b) for a, b in zip(ends[0].parameters(), ends[1].parameters(), strict=True))


def test_stages_say_how_much_goes_in_which_round(tiny_model, accelerator, texts, tmp_path):
    prune = PruneSettings(ratio=0.5, rounds=3, stages=(0.25, 0.34, 0.5), calibration=8)
    facts = go(make_run(tiny_model, accelerator, texts, tmp_path / "run", prune=prune, teach=None))
    assert [fact["cost"]["heads"] for fact in facts] == [9, 8, 6]
    assert [fact["ratio"] for fact in facts] == [0.25, 0.34, 0.5]


@pytest.mark.parametrize("score", ["dpkd", "taylor"])
def test_neurons_leave_round_by_round(tiny_model, accelerator, texts, tmp_path, score):
    prune = PruneSettings(ratio=0.5, rounds=2, calibration=8, ffn_ratio=0.25, score=score)
    run = make_run(tiny_model, accelerator, texts, tmp_path / "run", prune=prune)
    facts = go(run)
    widths = [
        [layer.mlp.up_proj.out_features for layer in load_pruned(tmp_path / "run" / name).model.layers]
        for name in ("round-1", "student")
    ]
    assert widths == [[42] * 3, [36] * 3]
    student = load_pruned(tmp_path / "run" / "student")
    assert perplexity(student, run.held_out) == pytest.approx(facts[1]["held_out_perplexity"], rel=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"score": "taylor"},
        {"score": "dpkd", "alpha": 1.0},
        {"score": "dpkd", "alpha": 0.0, "direction": "diffuse"},
        {"floor": 0},
    ],
)
def test_every_score_prunes(tiny_model, accelerator, texts, tmp_path, changes):
    prune = PruneSettings(ratio=0.5, rounds=1, calibration=8, **changes)
    run = make_run(tiny_model, accelerator, texts, tmp_path / "run", prune=prune, teach=None, train=False)
    facts = go(run)
    assert facts[0]["cost"]["heads"] == 6
    assert "steps" not in facts[0]
    assert not list((tmp_path / "run").glob("*.jsonl"))


def test_causal_scores_prune_what_answers_can_spare(tiny_model, accelerator, texts, tmp_path, caplog):
    layout = attention_layout(tiny_model("llama")).heads
    pool = HeadPool.single_heads(layout)
    z = np.ones((4, 12), dtype=np.int8)
    z[:, [1, 5, 9]] = 0  # heads without which nothing is solved
    manifest = SimpleNamespace(split="train", model_fingerprint="another")
    base = np.ones(4, dtype=np.int8)
    outcomes = SimpleNamespace(z=z, base=base, pool=pool, manifest=manifest, has_texts=False)
    prune = PruneSettings(ratio=0.75, rounds=1, score="causal")
    run = make_run(tiny_model, accelerator, texts, tmp_path / "run", prune=prune, teach=None, train=False)
    run.outcomes = outcomes
    facts = go(run)
    assert not {"L0H1", "L1H1", "L2H1"} & set(facts[0]["removed_heads"].split("+"))
    assert "the outcomes are of another model" in caplog.text
    request = DistillRequest("tiny", TaskSource("t", {}), str(tmp_path / "run"), run.config)
    before = _card(request, run.model, run)["outcomes_hash"]
    outcomes.base = np.zeros(4, dtype=np.int8)  # other scores from the same z
    assert _card(request, run.model, run)["outcomes_hash"] != before
    manifest.split = "test"
    with pytest.raises(MismatchError, match="of the test split: heads would be chosen by answers to it"):
        run.check()


def test_without_distillation_no_teacher_runs(tiny_model, accelerator, texts, tmp_path):
    distill = TrainSettings(epochs=1, batch_size=6, distill_weight=0.0)
    prune = PruneSettings(ratio=0.25, rounds=1, calibration=8)
    run = make_run(tiny_model, accelerator, texts, tmp_path / "run", prune=prune, teach=None, distill=distill)
    go(run)
    first = json.loads((tmp_path / "run" / "round-1-training.jsonl").read_text().splitlines()[0])
    assert "kl" not in first
    assert first["loss"] == first["task"]


def test_what_could_not_be_cut_in_the_end_is_refused_before_training(
    tiny_model, accelerator, texts, tmp_path
):
    with pytest.raises(UnsupportedModelError, match="olmo2"):
        make_run(tiny_model, accelerator, texts, tmp_path / "a", "olmo2").check()
    prune = PruneSettings(ratio=0.9, rounds=1)
    with pytest.raises(ArgumentError, match="takes 10 of 12 heads and 9 can go"):
        make_run(tiny_model, accelerator, texts, tmp_path / "b", prune=prune).check()
    assert not (tmp_path / "b").exists()
    for ratio, rounds in ((0.2, 3), (0.05, 1)):
        prune = PruneSettings(ratio=ratio, rounds=rounds)
        with pytest.raises(ArgumentError, match=rf"round 1 of {rounds} would take no head of 12 away"):
            make_run(tiny_model, accelerator, texts, tmp_path / "b", prune=prune).check()
    prune = PruneSettings(ratio=0.2, rounds=3, ffn_ratio=0.01)
    with pytest.raises(ArgumentError, match="round 1 of 3 would take no head of 12 and no neuron away"):
        make_run(tiny_model, accelerator, texts, tmp_path / "b", prune=prune).check()
    make_run(
        tiny_model, accelerator, texts, tmp_path / "b", prune=replace(prune, ffn_ratio=0.1)
    ).check()  # neurons alone are enough
    prune = PruneSettings(ratio=0.25, score="causal", rounds=1)
    with pytest.raises(ArgumentError, match="--outcomes"):
        go(make_run(tiny_model, accelerator, texts, tmp_path / "c", prune=prune, teach=None))
    assert not (tmp_path / "a").exists()


def test_a_folder_of_another_run_is_refused(tmp_path):
    folder = RunFolder(tmp_path / "run", 1)
    assert not folder.claim({"task": "asdiv", "seed": 1})
    assert folder.claim({"task": "asdiv", "seed": 1})
    with pytest.raises(MismatchError, match="its seed is 1, asked for is 2"):
        folder.claim({"task": "asdiv", "seed": 2})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("years of work")
    with pytest.raises(DataError, match="is not empty and holds no run"):
        RunFolder(tmp_path / "other", 1).claim({})
    assert (tmp_path / "other" / "thesis.tex").read_text() == "years of work"
    with pytest.raises(DataError, match="cannot be the run's folder"):
        RunFolder(tmp_path / "other" / "thesis.tex", 1).claim({})


def test_what_kills_left_goes_when_the_run_is_taken_up(tmp_path):
    folder = RunFolder(tmp_path / "run", 2)
    folder.claim({})
    for name in (".teacher.abc", ".student.abc", "teacher-training.state", "round-1-training.state", "mine"):
        (tmp_path / "run" / name).mkdir()
        (tmp_path / "run" / name / "model.safetensors").write_text("")
    folder.write_facts("teacher", {})
    with folder.working():
        left = sorted(path.name for path in (tmp_path / "run").iterdir() if path.is_dir())
        assert left == ["mine", "round-1-training.state"]
        with (
            pytest.raises(DataError, match="another process works in"),
            RunFolder(tmp_path / "run", 2).working(),
        ):
            pass
    with folder.working():
        pass


def test_the_report_outlives_a_failed_measurement_and_says_what_is_left_out(
    tiny_model, accelerator, texts, tmp_path, monkeypatch
):
    run = make_run(tiny_model, accelerator, texts, tmp_path / "run", teach=None, train=False)
    facts, source = go(run), TaskSource("t", {})
    request = DistillRequest("tiny", source, str(tmp_path / "run"), run.config)

    def failing(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(speed, "measure", failing)
    with pytest.raises(RuntimeError):
        write_report(request, run, facts)
    assert "## Cost" in (tmp_path / "run" / "report.md").read_text()
    monkeypatch.undo()
    report = write_report(request, run, facts)  # of 256 positions: no context leaves room for an answer
    assert report["speed"] == []
    text = (tmp_path / "run" / "report.md").read_text()
    assert "Not measured: contexts of 256 and 1,024 tokens, for which the model has no positions." in text


def test_a_teacher_whose_folder_is_broken_is_refused(tiny_model, accelerator, texts, tmp_path):
    run = make_run(tiny_model, accelerator, texts, tmp_path / "run")
    run.check()
    run.folder.claim({})
    run.teach()
    (tmp_path / "run" / "teacher" / "model.safetensors").write_bytes(b"half")
    with pytest.raises(DataError, match="teacher' cannot be loaded"):
        run.teach()


def test_a_teacher_of_another_kind_is_refused(tiny_model):
    class Words:
        def __init__(self, *words: str) -> None:
            self.words = words

        def get_vocab(self) -> dict[str, int]:
            return {word: i for i, word in enumerate(self.words)}

    llama = tiny_model("llama")
    check_same_kind(llama, tiny_model("llama", seed=1), Words("a"), Words("a"))
    with pytest.raises(MismatchError, match="teacher's model_type is qwen3"):
        check_same_kind(llama, tiny_model("qwen3"), Words("a"), Words("a"))
    with pytest.raises(MismatchError, match="num_hidden_layers is 2, the model's is 3"):
        check_same_kind(llama, tiny_model("llama", num_hidden_layers=2), Words("a"), Words("a"))
    with pytest.raises(MismatchError, match="num_key_value_heads is 4, the model's is 2"):
        check_same_kind(llama, tiny_model("llama", num_key_value_heads=4), Words("a"), Words("a"))
    with pytest.raises(MismatchError, match="tokenizers of model and teacher differ"):
        check_same_kind(llama, tiny_model("llama"), Words("a"), Words("b"))


def test_perplexity_of_nothing_is_nothing(tiny_model):
    assert perplexity(tiny_model("llama"), []) is None
    assert rounds_module.perplexity is perplexity
