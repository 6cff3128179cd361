"""The whole line on the real model, small: 100 questions, one round, 10 % of heads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState

from sprint_eval.cli import main
from sprint_eval.pruning.checkpoint import load_pruned
from sprint_eval.pruning.dense import dense_model
from sprint_eval.pruning.speed import measure

TASK = "rg_math_pass_at_n_fewshot"
METADATA = {"train_size": 600, "test_size": 60}
# Where a processor has no such arithmetic, bfloat16 takes twenty times as long as float32.
PRECISION = "bf16" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "no"

pytestmark = pytest.mark.timeout(900)  # the run is one fixture's work


@pytest.fixture(scope="module")
def run_folder(smollm2: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distill") / "run"
    arguments = ["distill", "--model", smollm2, "--task", TASK, "--num-fewshot", "0", "--limit", "100"]
    arguments += [
        "--metadata",
        json.dumps(METADATA),
        "--teacher-epochs",
        "1",
        "--rounds",
        "1",
        "--ratio",
        "0.1",
    ]
    arguments += ["--calibration", "16", "--mixed-precision", PRECISION, "--no-speed", "--out", str(folder)]
    # accelerate keeps one mixed precision a process, and other tests of this process have another.
    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        assert main(arguments) == 0
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)
    return folder


@pytest.mark.slow
def test_from_a_model_to_an_evaluated_student(run_folder: Path) -> None:
    report = json.loads((run_folder / "report.json").read_text())
    assert report["training_questions"] == 100
    assert report["student"]["heads"] == 243
    assert report["reductions_percent"]["heads"] == pytest.approx(10)
    # 1.48 % are the heads' own; some of their key/value heads go with them.
    assert 1.47 < report["reductions_percent"]["parameters"] < 2.5
    teacher, student = (
        [json.loads(line) for line in (run_folder / f"{name}-training.jsonl").read_text().splitlines()]
        for name in ("teacher", "round-1")
    )
    assert teacher[-1]["loss"] < 0.8 * teacher[0]["loss"]
    assert [line["pruned_heads"] for line in student][-1] == 27
    assert student[-1]["loss"] < max(line["loss"] for line in student)

    import lm_eval

    results = lm_eval.simple_evaluate(
        model="distilled-pruned",
        model_args=f"pretrained={run_folder / 'student'}",
        tasks=[TASK],
        num_fewshot=0,
        limit=12,
        metadata={**METADATA, "n": 2},
        device="cpu",
    )
    assert results["config"]["method"] == "distilled-pruned"
    assert results["config"]["removed_heads_share"] == pytest.approx(0.1)
    scores = results["results"][TASK]
    assert any(name.startswith("pass@1") for name in scores)
    assert len(results["samples"][TASK]) == 12


@pytest.mark.slow
@torch.no_grad()
def test_student_is_the_masked_model_to_float32_rounding(run_folder: Path) -> None:
    student = load_pruned(run_folder / "student")
    whole = dense_model(student)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 49152, (2, 96), generator=generator)
    expected = whole(ids).logits
    difference = (student(ids).logits - expected).abs().max() / expected.abs().max()
    assert difference < 1e-4
    cache = student(ids[:, :64]).past_key_values
    rest = torch.cat([student(ids[:, t : t + 1], past_key_values=cache).logits for t in range(64, 96)], dim=1)
    assert (rest - expected[:, 64:]).abs().max() / expected.abs().max() < 1e-4
    points = measure(whole, student, shapes=((1, 32),), decode_tokens=4, pairs=3)
    assert [point.what for point in points] == ["prefill", "decode"]
    assert all(
        point.ratio > 0.3 for point in points
    )  # speeds are for benchmarks; this one runs beside others
