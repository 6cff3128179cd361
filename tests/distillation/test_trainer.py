"""The trainer: what it minimises, that it resumes to the same losses, and how it stops."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from sprint_eval.distillation.config import PruneSettings, TrainSettings
from sprint_eval.distillation.data import collate, step_rows
from sprint_eval.distillation.losses import attention_distillation, logit_distillation, task_loss
from sprint_eval.distillation.pruner import Pruned, Pruner
from sprint_eval.distillation.scoring import Scorer
from sprint_eval.distillation.state import truncate_log
from sprint_eval.distillation.trainer import PhaseTrainer, Teacher, phase_steps
from sprint_eval.errors import ArgumentError, TrainingError
from sprint_eval.heads import HeadSet

SETTINGS = TrainSettings(epochs=2, batch_size=6, lr=3e-3, save_every=3)
PRUNE = PruneSettings(ratio=0.5, rounds=1, power=1.0, refresh_every=2, calibration=8)


def log_of(folder: Path, name: str = "phase") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in log_of(folder)]


def distillation(tiny_model, accelerator, texts, folder, settings=SETTINGS, prune=PRUNE, seed=0):
    teacher = tiny_model("llama", seed=3)
    student = copy.deepcopy(teacher)
    steps = phase_steps(len(texts), settings)
    pruner = Pruner(prune, Scorer(prune, texts[: prune.calibration]), student, Pruned(), 1, steps)
    trainer = PhaseTrainer(accelerator, student, texts, settings, folder, "phase", Teacher(teacher), pruner)
    return trainer, student, teacher


def test_fine_tuning_learns(tiny_model, accelerator, texts, tmp_path):
    model = tiny_model("llama")
    result = PhaseTrainer(accelerator, model, texts, SETTINGS, tmp_path, "phase").run()
    values = losses(tmp_path)
    assert result.steps == len(values) == 8
    assert values[-1] < 0.7 * values[0]
    assert result.loss == values[-1]
    assert result.tokens == 2 * sum(len(text.tokens) for text in texts)
    assert not model.training


def test_first_loss_is_the_sum_of_the_pure_terms(tiny_model, accelerator, texts, tmp_path):
    heads = HeadSet.parse("L0H1+L2H3")
    teacher, student = tiny_model("llama", seed=3), tiny_model("llama", seed=4)
    settings = TrainSettings(
        epochs=1, batch_size=6, distill_weight=0.7, task_weight=0.2, attention_weight=3.0
    )
    batch = collate([texts[row] for row in step_rows(len(texts), 6, 0, 0)])
    outs = []
    for model, masked in ((student, heads), (teacher, HeadSet())):
        model.set_attn_implementation("eager")
        with torch.no_grad(), Pruned(masked).masking(model):
            outs.append(model(batch.input_ids, output_attentions=True, logits_to_keep=batch.positions))
        model.set_attn_implementation("sdpa")
    keep = [torch.tensor(kept) for kept in ([1, 0, 1, 1], [1] * 4, [1, 1, 1, 0])]
    keep = [kept.bool() for kept in keep]
    task = task_loss(outs[0].logits, batch.labels).mean
    kl = logit_distillation(outs[0].logits, outs[1].logits, batch.labels, 2.0).mean
    maps = attention_distillation(outs[0].attentions, outs[1].attentions, keep, batch.lengths).mean
    PhaseTrainer(
        accelerator, student, texts, settings, tmp_path, "phase", Teacher(teacher), pruned=Pruned(heads)
    ).run()
    first = log_of(tmp_path)[0]
    assert first["task"] == pytest.approx(float(task), rel=1e-5)
    assert first["kl"] == pytest.approx(float(kl), rel=1e-5)
    assert first["attention"] == pytest.approx(float(maps), rel=1e-5)
    assert first["loss"] == pytest.approx(0.7 * float(kl + 3.0 * maps) + 0.2 * float(task), rel=1e-5)


def test_heads_leave_by_the_schedule_and_stay_away(tiny_model, accelerator, texts, tmp_path):
    trainer, student, teacher = distillation(tiny_model, accelerator, texts, tmp_path)
    before = copy.deepcopy(teacher.state_dict())
    trainer.run()
    gone = [line["pruned_heads"] for line in log_of(tmp_path)]
    assert gone == [1, 3, 4, 6, 6, 6, 6, 6]  # 12 heads, half of them over the first half of 8 steps
    assert len(trainer.pruned.heads) == 6
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())
    assert student.config._attn_implementation == "sdpa"


def test_micro_batches_do_not_change_the_losses(tiny_model, accelerator, texts, tmp_path):
    for name, accumulate in (("whole", 1), ("parts", 3)):
        settings = TrainSettings(epochs=1, batch_size=6, lr=1e-3, accumulate=accumulate)
        (tmp_path / name).mkdir()
        distillation(tiny_model, accelerator, texts, tmp_path / name, settings)[0].run()
    assert losses(tmp_path / "parts") == pytest.approx(losses(tmp_path / "whole"), rel=1e-4)


def test_a_phase_has_an_order_of_its_own(tiny_model, accelerator, texts, tmp_path):
    for phase in range(2):
        (tmp_path / str(phase)).mkdir()
        model = tiny_model("llama")
        settings = TrainSettings(epochs=1, batch_size=6)
        PhaseTrainer(accelerator, model, texts, settings, tmp_path / str(phase), "phase", phase=phase).run()
    assert losses(tmp_path / "0")[0] != losses(tmp_path / "1")[0]


def test_a_log_is_cut_short_whole_or_not_at_all(tmp_path):
    log = tmp_path / "phase.jsonl"
    log.write_text('{"step": 1}\n{"step": 2}\n{"step": 3')
    with log.open() as reader:  # has the old file as it was, whatever happens to the name
        truncate_log(log, 1)
        assert reader.read().count("step") == 3
    assert log.read_text() == '{"step": 1}\n'


class _StopError(Exception):
    pass


@pytest.mark.parametrize("stop_at", [2, 4, 7])
def test_a_stopped_run_resumes_to_the_same_losses(
    tiny_model, accelerator, texts, tmp_path, monkeypatch, stop_at
):
    folders = [tmp_path / "whole", tmp_path / "resumed"]
    for folder in folders:
        folder.mkdir()
    whole, student, _ = distillation(tiny_model, accelerator, texts, folders[0])
    whole.run()

    interrupted, _, _ = distillation(tiny_model, accelerator, texts, folders[1])
    step = interrupted._step

    def stopping(model, optimizer, number):
        if number == stop_at:
            raise _StopError
        return step(model, optimizer, number)

    monkeypatch.setattr(interrupted, "_step", stopping)
    with pytest.raises(_StopError):
        interrupted.run()
    with (folders[1] / "phase.jsonl").open("a") as log:
        log.write('{"step": 9')  # a line torn by the kill
    resumed, again, _ = distillation(tiny_model, accelerator, texts, folders[1])
    resumed.run()
    assert losses(folders[1]) == losses(folders[0])
    assert [line["pruned_heads"] for line in log_of(folders[1])] == [
        line["pruned_heads"] for line in log_of(folders[0])
    ]
    assert all(torch.equal(a, b) for a, b in zip(student.parameters(), again.parameters(), strict=True))


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(
    tiny_model, accelerator, texts, tmp_path
):
    trainer, student, _ = distillation(tiny_model, accelerator, texts, tmp_path)
    step = trainer._step

    def poisoned(model, optimizer, number):
        if number == 4:
            with torch.no_grad():
                student.model.layers[0].self_attn.o_proj.weight.fill_(float("nan"))
        return step(model, optimizer, number)

    trainer._step = poisoned  # type: ignore[method-assign]
    with pytest.raises(
        TrainingError, match=r"became nan at step 5 of 8; the last good checkpoint is in .*phase.state"
    ):
        trainer.run()
    assert [path.name for path in (tmp_path / "phase.state").iterdir() if path.is_dir()] == ["step-3"]


def test_mixed_precision_keeps_weights_in_float32(tiny_model, texts, tmp_path):
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=False)
    try:
        accelerator = Accelerator(cpu=True, mixed_precision="bf16")
        settings = TrainSettings(epochs=1, batch_size=6, mixed_precision="bf16")
        trainer, student, _ = distillation(tiny_model, accelerator, texts, tmp_path, settings)
        trainer.run()
    finally:
        AcceleratorState._reset_state(reset_partial_state=False)
    assert {parameter.dtype for parameter in student.parameters()} == {torch.float32}
    assert student(torch.tensor([[3, 4]])).logits.dtype == torch.float32
    assert all(line["loss"] > 0 for line in log_of(tmp_path))


def test_bad_settings_are_refused(tiny_model, texts, tmp_path):
    for wrong in ({"lr": float("nan")}, {"epochs": 0}, {"mixed_precision": "int8"}, {"temperature": 0}):
        with pytest.raises(ArgumentError, match=next(iter(wrong))):
            TrainSettings(**wrong)  # type: ignore[arg-type]
    TrainSettings(seed=2**32 - 1)
    with pytest.raises(ArgumentError, match="seed = 20000000000000: expected 4294967295 or less"):
        TrainSettings(seed=20_000_000_000_000)
    with pytest.raises(ArgumentError, match="both 0"):
        TrainSettings(distill_weight=0, task_weight=0)
    for wrong in ({"stages": (0.1, 0.3)}, {"rounds": 2, "stages": (0.4, 0.3)}):
        with pytest.raises(ArgumentError, match="stages"):
            PruneSettings(**wrong)  # type: ignore[arg-type]
    staged = PruneSettings(ratio=0.3, rounds=2, stages=(0.1, 0.3))
    assert [staged.bounds(number) for number in (1, 2)] == [(0.0, 0.1), (0.1, 0.3)]
    assert PruneSettings(ratio=0.5, rounds=2).bounds(2) == (0.25, 0.5)
    for wrong in ({"ratio": 1.0}, {"score": "luck"}, {"direction": "up"}, {"alpha": 2}, {"ramp": 0}):
        with pytest.raises(ArgumentError, match=next(iter(wrong))):
            PruneSettings(**wrong)  # type: ignore[arg-type]
    two = type("Two", (), {"num_processes": 2})()
    with pytest.raises(ArgumentError, match="1 texts a step for 2 processes"):
        PhaseTrainer(two, tiny_model("llama"), texts[:1], TrainSettings(), tmp_path, "phase")


def test_learning_rate_rises_and_falls():
    settings = TrainSettings(lr=1.0, warmup=0.2)
    rates = [settings.lr_at(step, 10) for step in range(10)]
    assert rates[:4] == pytest.approx([1 / 3, 2 / 3, 1.0, 1.0])
    assert rates[3:] == sorted(rates[3:], reverse=True)
    assert 0 < rates[-1] < 0.1
    for steps, peak in ((1, 0), (40, 9), (100, 19)):
        assert [settings.lr_at(step, steps) for step in range(steps)].index(1.0) == peak
