"""One phase of training on ``accelerate``: a teacher's fine-tuning, or a round's distillation.

A step's loss is a mean over the whole step, however its texts are split into micro-batches and
processes. A phase that is stopped at any moment resumes from its newest checkpoint to the same
losses: the order of texts, the learning rate and any dropout follow from the seed and the step alone.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sprint_eval.architectures import attention_layout
from sprint_eval.distillation.config import TrainSettings
from sprint_eval.distillation.data import PackedBatch, TrainingText, pack, share_rows, step_rows
from sprint_eval.distillation.losses import (
    attention_distillation,
    logit_distillation,
    task_loss,
    total_loss,
)
from sprint_eval.distillation.packing import Packing, packed_attention
from sprint_eval.distillation.pruner import Pruned, Pruner
from sprint_eval.distillation.state import PhaseState, load_state, save_state, truncate_log
from sprint_eval.errors import ArgumentError, TrainingError
from sprint_eval.pruning.entropy import few_logits

if TYPE_CHECKING:
    from torch import Tensor


_MOST_BETWEEN_CHECKPOINTS = 100  # steps, where the user names no number


@dataclass(frozen=True)
class Teacher:
    """A model to learn from, and what of it is masked."""

    model: Any
    pruned: Pruned = field(default_factory=Pruned)


@dataclass(frozen=True)
class PhaseResult:
    """What a phase cost and reached.

    Attributes:
        steps: optimizer steps.
        tokens: tokens trained on, prompts included, over all processes.
        seconds: wall-clock seconds, checkpoints and scores included, interruptions not.
        loss: the last step's loss.
    """

    steps: int
    tokens: int
    seconds: float
    loss: float


class PhaseTrainer:
    """Trains a student in place."""

    def __init__(
        self,
        accelerator: Any,
        student: Any,
        texts: Sequence[TrainingText],
        settings: TrainSettings,
        folder: Path,
        name: str,
        teacher: Teacher | None = None,
        pruner: Pruner | None = None,
        pruned: Pruned | None = None,
        phase: int = 0,
    ) -> None:
        """
        Args:
            folder: where ``<name>.jsonl`` (metrics) and ``<name>.state/`` (checkpoints) go.
            pruner: takes heads away while training; or
            pruned: what is masked all along.
            phase: which phase of a run this is, from 0: each has an order of texts of its own.

        Raises:
            ArgumentError: more processes than texts a step, or more texts a step than there are.
        """
        self._accelerator, self._settings, self._phase = accelerator, settings, phase
        self._texts, self._teacher, self._pruner = texts, teacher, pruner
        self._fixed = pruned or Pruned()
        self._name, self._log, self._states = name, folder / f"{name}.jsonl", folder / f"{name}.state"
        size = min(settings.batch_size, len(texts))
        if size < accelerator.num_processes:
            raise ArgumentError(
                f"{size} texts a step for {accelerator.num_processes} processes: raise batch_size"
            )
        self._per_epoch = len(texts) // size
        self.steps = phase_steps(len(texts), settings)
        self._bare = student
        self._maps = teacher is not None and settings.distill_weight > 0 and settings.attention_weight > 0
        self._layout = attention_layout(student).heads
        self._started = 0.0

    def run(self) -> PhaseResult:
        """Train to the last step.

        Raises:
            TrainingError: the loss is not finite; the last good checkpoint stays.
        """
        self._started = time.perf_counter()
        self._bare.to(self._accelerator.device)  # before the optimizer, whose state follows its parameters
        if self._teacher is not None:
            self._teacher.model.to(self._accelerator.device).eval()
        groups = _decay_groups(self._bare, self._settings.weight_decay)
        # Fused: one pass over weights and moments; a loop of operations takes as long as a forward.
        fused = self._accelerator.device.type in ("cpu", "cuda")
        optimizer = torch.optim.AdamW(groups, lr=self._settings.lr, fused=fused)
        models = [self._bare, *([self._teacher.model] if self._teacher is not None else [])]
        with packed_attention(models, self._maps):
            state = load_state(self._states, self._bare, optimizer)
            model, optimizer = self._accelerator.prepare(self._bare, optimizer)
            self._bare.train()
            done, loss = self._take_up(state)
            loss = self._loop(model, optimizer, done, loss)
            self._accelerator.unwrap_model(model, keep_fp32_wrapper=False).eval()
            self._accelerator.free_memory()
        tokens = sum(self._step_tokens(step) for step in range(self.steps))
        return PhaseResult(self.steps, tokens, time.perf_counter() - self._started, loss)

    @property
    def pruned(self) -> Pruned:
        """What is masked now."""
        return self._pruner.pruned if self._pruner is not None else self._fixed

    def _loop(self, model: Any, optimizer: Any, done: int, loss: float) -> float:
        from tqdm import tqdm

        every = self._settings.save_every or min(self._per_epoch, _MOST_BETWEEN_CHECKPOINTS)
        main = self._accelerator.is_main_process
        bar = tqdm(total=self.steps, initial=done, desc=self._name, disable=not main, unit="step")
        with bar, self._log.open("a", encoding="utf-8") if main else contextlib.nullcontext() as log:
            for step in range(done, self.steps):
                if self._pruner is not None:
                    self._pruner.advance(step + 1, self._bare, self._accelerator)
                facts = self._step(model, optimizer, step)
                loss = facts["loss"]
                if log is not None:
                    log.write(json.dumps(facts) + "\n")
                    log.flush()
                bar.set_postfix(loss=f"{loss:.3f}", pruned=len(self.pruned.heads))
                bar.update()
                if (step + 1) % every == 0 or step + 1 == self.steps:
                    self._save(step + 1, optimizer, loss)
        return loss

    def _step(self, model: Any, optimizer: Any, step: int) -> dict[str, Any]:
        """One optimizer step; its facts for the log."""
        started = time.perf_counter()
        accelerator, settings = self._accelerator, self._settings
        torch.manual_seed(settings.seed * 1_000_003 + step * 1_009 + accelerator.process_index)
        rate = settings.lr_at(step, self.steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        rows = self._rows(step)
        parts = share_rows(rows, accelerator.process_index, accelerator.num_processes, settings.accumulate)
        answers = sum(len(self._texts[row].target) for row in rows)
        seen = sum(n * (n + 1) // 2 for n in (len(self._texts[row].tokens) for row in rows))
        weights = seen * (self._layout.num_heads - len(self.pruned.heads))
        totals = torch.zeros(3, device=accelerator.device)
        with self.pruned.masking(self._bare):
            for index, part in enumerate(parts):
                batch = pack([self._texts[row] for row in part]).to(accelerator.device)
                last = index + 1 == len(parts)
                with contextlib.nullcontext() if last else accelerator.no_sync(model):
                    terms = self._terms(model, batch)
                    means = terms / torch.tensor([answers, answers, max(weights, 1)], device=terms.device)
                    # Gradients are averaged over processes, while a step's loss is a sum of their parts.
                    accelerator.backward(self._weigh(means) * accelerator.num_processes)
                    totals += terms.detach()
        totals = accelerator.reduce(totals, "sum").cpu()
        means = totals / torch.tensor([answers, answers, max(weights, 1)])
        loss = float(self._weigh(means))
        self._check_finite(loss, step)
        norm = float(accelerator.clip_grad_norm_(model.parameters(), settings.max_grad_norm))
        if settings.mixed_precision != "fp16":  # whose scaler skips such steps by itself
            self._check_finite(norm, step, "gradient")
        optimizer.step()
        optimizer.zero_grad()
        tokens = self._step_tokens(step)
        seconds = time.perf_counter() - started
        names = ("task", "kl", "attention") if self._teacher is not None else ("task",)
        return {
            "step": step + 1,
            "epoch": round((step + 1) / self._per_epoch, 3),
            "loss": loss,
            **{name: float(mean) for name, mean in zip(names, means, strict=False)},
            "grad_norm": norm,
            "lr": rate,
            "pruned_heads": len(self.pruned.heads),
            "pruned_neurons": sum(map(len, self.pruned.neurons.values())),
            "tokens": tokens,
            "seconds": round(seconds, 4),
        }

    def _terms(self, model: Any, batch: PackedBatch) -> Tensor:
        """Sums of the task, logit and attention terms over a micro-batch: ``[3]``."""
        mine, my_maps = self._forward(model, batch)
        zero = mine.new_zeros((), dtype=torch.float32)
        task = task_loss(mine, batch.labels).total
        if self._teacher is None or self._settings.distill_weight == 0:
            return torch.stack([task, zero, zero])
        teacher = self._teacher
        with torch.no_grad(), teacher.pruned.masking(teacher.model), self._accelerator.autocast():
            theirs, their_maps = self._forward(teacher.model, batch)
        kl = logit_distillation(mine, theirs, batch.labels, self._settings.temperature).total
        if not self._maps:
            return torch.stack([task, kl, zero])
        keep = self.pruned.keep(self._layout)
        return torch.stack([task, kl, attention_distillation(my_maps, their_maps, keep, batch.lengths).total])

    def _forward(self, model: Any, batch: PackedBatch) -> tuple[Tensor, Sequence[Tensor]]:
        """Logits ``[1, answers, vocab]`` and attention maps, a layer each ``[texts, heads, seq, seq]``."""
        wanted, packing = few_logits(self._bare, batch.answers), Packing(batch.lengths)
        out = model(
            input_ids=batch.input_ids,
            position_ids=batch.position_ids,
            use_cache=False,
            output_attentions=self._maps,
            sprint_packing=packing,
            **wanted,
        )
        logits = out.logits if wanted else out.logits[:, batch.answers]
        return logits, [packing.maps(layer) for layer in out.attentions] if self._maps else []

    def _weigh(self, means: Tensor) -> Tensor:
        settings = self._settings
        if self._teacher is None:
            return means[0]
        distill = means[1] + settings.attention_weight * means[2]
        return total_loss(distill, means[0], settings.distill_weight, settings.task_weight)

    def _check_finite(self, value: float, step: int, what: str = "loss") -> None:
        if math.isfinite(value):
            return
        kept = (
            f"the last good checkpoint is in {self._states}"
            if self._states.exists()
            else "no checkpoint was written yet"
        )
        raise TrainingError(
            f"{self._name}: the {what} became {value} at step {step + 1} of {self.steps}; {kept}; "
            "lower the learning rate and start again in another folder"
        )

    def _rows(self, step: int) -> list[int]:
        settings = self._settings
        return step_rows(len(self._texts), settings.batch_size, settings.seed, step, self._phase)

    def _step_tokens(self, step: int) -> int:
        return sum(len(self._texts[row].tokens) for row in self._rows(step))

    def _take_up(self, state: PhaseState | None) -> tuple[int, float]:
        """Go on from a checkpoint: steps done, and the last one's loss."""
        if self._accelerator.is_main_process:
            truncate_log(self._log, state.step if state is not None else 0)
        self._accelerator.wait_for_everyone()
        if state is None:
            return 0, math.nan
        if self._pruner is not None:
            self._pruner.restore(state.extra["pruner"])
        scaler, scale = self._accelerator.scaler, state.extra.get("scaler")
        if scaler is not None and scale is not None:
            scaler.load_state_dict(scale)
        self._started -= state.extra["seconds"]
        return state.step, float(state.extra["loss"])

    def _save(self, step: int, optimizer: Any, loss: float) -> None:
        self._accelerator.wait_for_everyone()
        if self._accelerator.is_main_process:
            extra: dict[str, Any] = {"loss": loss, "seconds": time.perf_counter() - self._started}
            if self._pruner is not None:
                extra["pruner"] = self._pruner.state()
            if self._accelerator.scaler is not None:
                extra["scaler"] = self._accelerator.scaler.state_dict()
            save_state(self._states, PhaseState(step, extra), self._bare, optimizer)
        self._accelerator.wait_for_everyone()


def phase_steps(texts: int, settings: TrainSettings) -> int:
    """Optimizer steps of a phase over this many texts."""
    return settings.epochs * (texts // min(settings.batch_size, texts))


def _decay_groups(model: Any, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay; norms and biases do not."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
