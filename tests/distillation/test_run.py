"""``sprint-eval distill`` on a tiny checkpoint: the report, going on, and what is refused."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from sprint_eval.cli import main
from sprint_eval.distillation.config import DistillConfig, PruneSettings
from sprint_eval.distillation.data import TaskSource
from sprint_eval.distillation.run import DistillRequest, _with_ffn_ratio
from sprint_eval.errors import CommandExit
from sprint_eval.pruning.checkpoint import load_pruned

TASK = "rg_math_pass_at_n_fewshot"


def distill(checkpoint: str, out: Path, **options: Any) -> int:
    arguments: dict[str, Any] = {
        "model": checkpoint,
        "task": TASK,
        "out": out,
        "num-fewshot": 0,
        "metadata": '{"train_size": 60, "test_size": 12}',
        "limit": 24,
        "teacher-epochs": 1,
        "rounds": 2,
        "ratio": 0.5,
        "calibration": 8,
        "batch-size": 8,
        "lr": 1e-3,
        "teacher-lr": 2e-3,
    }
    arguments |= options
    line = ["distill", "--no-speed"]
    for name, value in arguments.items():
        line += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return main(line)


def broken_copy(checkpoint: str, folder: Path) -> Path:
    """The checkpoint, of whose weights only the first bytes were copied."""
    shutil.copytree(checkpoint, folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    return folder


@pytest.fixture(scope="module")
def finished(tiny_checkpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "run"
    assert distill(tiny_checkpoint, folder, dense=True) == 0
    return folder


def test_the_report_says_what_every_phase_cost(finished: Path) -> None:
    report = json.loads((finished / "report.json").read_text())
    assert report["training_questions"] == 24
    assert report["held_out_questions"] == 6
    assert [fact["cost"]["heads"] for fact in report["rounds"]] == [9, 6]
    assert report["reductions_percent"]["heads"] == 50
    assert all(report["reductions_percent"][name] > 0 for name in ("parameters", "decode_flops@1024"))
    assert all(fact["held_out_perplexity"] > 1 for fact in [report["teacher"], *report["rounds"]])
    text = (finished / "report.md").read_text()
    assert "Every percentage is of the base model's figure in the same line." in text
    assert "| round-2 | 6 |" in text
    assert "| round-1 | 25.00 |" in text
    assert "| round-2 | 50.00 |" in text
    assert "times the operations of the fine-tuning alone" in text


def test_student_and_dense_copy_answer_alike(finished: Path) -> None:
    ids = torch.tensor([[5, 6, 7, 8]])
    dense = AutoModelForCausalLM.from_pretrained(finished / "dense")
    assert torch.allclose(load_pruned(finished / "student")(ids).logits, dense(ids).logits, atol=1e-4)


def test_a_finished_run_does_nothing_again(finished: Path, tiny_checkpoint: str) -> None:
    files = [finished / "student" / "model.safetensors", finished / "report.json"]
    before = [path.stat().st_mtime_ns for path in files]
    assert distill(tiny_checkpoint, finished, dense=True) == 0
    assert [path.stat().st_mtime_ns for path in files] == before


def test_a_taught_model_can_be_the_teacher(finished: Path, tiny_checkpoint: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert distill(tiny_checkpoint, out, teacher=finished / "teacher", rounds=1, also="ffn", ratio=0.25) == 0
    report = json.loads((out / "report.json").read_text())
    assert report["teacher"] is None
    # A model of this shape is nearly all embeddings: as many neurons go as may.
    assert report["settings"]["prune"]["ffn_ratio"] == 0.95
    assert load_pruned(out / "student").model.layers[0].mlp.up_proj.out_features == 48 - 45


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ratio": 0.9}, "takes 10 of 12 heads and 9 can go"),
        ({"ratio": 1.5}, "ratio = 1.5"),
        ({"power": 0}, "power = 0"),
        ({"alpha": 0.3}, "--alpha shapes the dpkd score alone; add --score dpkd"),
        ({"score": "dpkd", "alpha": 3}, "alpha = 3"),
        ({"teacher-lr": 0}, "lr = 0"),
        ({"ratio": 0.1}, "round 1 of 2 would take no head of 12 away"),
        ({"stages": "0.1/0.3"}, "leave out --ratio and --rounds"),
        ({"score": "causal"}, "needs an outcome matrix"),
        ({"ffn-ratio": 0.2}, "ask for them with also_ffn (--also ffn)"),
        ({"max-tokens": 3}, "has no question to train on"),
        ({"model": "/nowhere"}, "model '/nowhere' cannot be loaded"),
        ({"model": "BROKEN"}, "BROKEN' cannot be loaded"),
        ({"outcomes": "/nowhere", "score": "causal"}, "/nowhere"),
        ({"outcomes": "/nowhere"}, "read for the causal score alone, not for taylor: add --score causal"),
        ({"alpha": 0.3, "score": "causal"}, "add --score dpkd or --also ffn"),
        ({"num-fewshot": -1}, "num_fewshot = -1"),
        ({"seed": 20_000_000_000_000}, "seed = 20000000000000: expected 4294967295 or less"),
    ],
)
def test_refusals_are_one_line_and_leave_nothing(
    options: dict[str, Any],
    message: str,
    tiny_checkpoint: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if options.get("model") == "BROKEN":
        options = {"model": broken_copy(tiny_checkpoint, tmp_path / "BROKEN")}
    with pytest.raises(CommandExit) as refusal:
        distill(tiny_checkpoint, tmp_path / "run", **options)
    assert refusal.value.code == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_heads_that_hold_the_papers_share_leave_the_neurons_and_say_so(
    tiny_model: Any, caplog: pytest.LogCaptureFixture
) -> None:
    model = tiny_model("llama", vocab_size=4, head_dim=64, intermediate_size=2)
    config = DistillConfig(prune=PruneSettings(ratio=0.5))
    request = DistillRequest("tiny", TaskSource("t", {}), "out", config, also_ffn=True)
    with caplog.at_level(logging.WARNING):
        assert _with_ffn_ratio(request, model).config.prune.ffn_ratio == 0
    assert "no neuron goes: a share of 0.5 of the heads holds" in caplog.text


def test_a_cut_model_is_no_place_to_start_from(
    finished: Path, tiny_checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for options in ({"model": finished / "student"}, {"teacher": finished / "round-1"}):
        with pytest.raises(CommandExit):
            distill(tiny_checkpoint, tmp_path / "run", **options)
        assert "already; start from a whole model" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_another_run_in_the_folder_is_refused(
    finished: Path, tiny_checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CommandExit):
        distill(tiny_checkpoint, finished, limit=20)
    assert "holds another run: its limit is 24, asked for is 20" in capsys.readouterr().err
    with pytest.raises(CommandExit):
        distill(tiny_checkpoint, finished, **{"teacher-lr": 1e-3})
    assert "its config.teach.lr is 0.002, asked for is 0.001; choose" in capsys.readouterr().err
    card = json.loads((finished / "run.json").read_text())
    (finished / "run.json").write_text(json.dumps(card | {"texts_hash": "of other texts"}))
    with pytest.raises(CommandExit):
        distill(tiny_checkpoint, finished, dense=True)
    assert "its texts_hash is 'of other texts'" in capsys.readouterr().err
    (finished / "run.json").write_text(json.dumps(card))
    with pytest.raises(CommandExit):
        distill(tiny_checkpoint, finished, teacher=tiny_checkpoint)
    assert "holds another run" in capsys.readouterr().err
