"""DPKD as a whole: teach, prune and distil round by round, cut, report."""

from __future__ import annotations

import copy
import dataclasses
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sprint_eval.architectures import attention_layout
from sprint_eval.distillation.config import DistillConfig
from sprint_eval.distillation.data import TrainingText, collate
from sprint_eval.distillation.folder import RunFolder
from sprint_eval.distillation.losses import task_loss
from sprint_eval.distillation.pruner import Pruned, Pruner
from sprint_eval.distillation.scoring import Scorer
from sprint_eval.distillation.state import remove_states
from sprint_eval.distillation.trainer import PhaseTrainer, Teacher, phase_steps
from sprint_eval.errors import ArgumentError, MismatchError
from sprint_eval.fingerprint import model_fingerprint
from sprint_eval.heads import Head, HeadLayout, HeadSet
from sprint_eval.loading import loading
from sprint_eval.pruning.checkpoint import load_pruned, save_pruned, write_folder
from sprint_eval.pruning.cost import active_parameters, cost_of, training_flops
from sprint_eval.pruning.dense import dense_model
from sprint_eval.pruning.entropy import few_logits
from sprint_eval.pruning.importance import causal_scores
from sprint_eval.pruning.neurons import neuron_widths
from sprint_eval.pruning.removed import Removed
from sprint_eval.pruning.schedule import check_ratio, pruned_count
from sprint_eval.pruning.surgery import check_cuttable, cut

_LOGGER = logging.getLogger(__name__)


@dataclass
class Run:
    """One run, ready to go.

    Attributes:
        accelerator: of ``accelerate``.
        folder: where everything goes.
        config: how it trains and prunes.
        model: the model to begin with, in float32.
        tokenizer: its tokenizer.
        texts: what it is trained on.
        held_out: texts of the same kind for perplexities; may be empty.
        outcomes: an outcome matrix, for the causal score.
    """

    accelerator: Any
    folder: RunFolder
    config: DistillConfig
    model: Any
    tokenizer: Any
    texts: Sequence[TrainingText]
    held_out: Sequence[TrainingText] = ()
    outcomes: Any = None

    def check(self) -> None:
        """Refuse, before anything is trained, what could not be cut in the end."""
        check_cuttable(self.model)
        layout = attention_layout(self.model).heads
        check_ratio(self.config.prune.ratio, layout, self.config.prune.floor)
        self._check_rounds(layout.num_heads, neuron_widths(self.model) if self.config.prune.ffn_ratio else ())
        Scorer(self.config.prune, (), self.outcomes)
        if self.config.prune.score == "causal":
            self._check_outcomes(layout)

    def _check_rounds(self, heads: int, widths: Sequence[int]) -> None:
        """Refuse a round that would take nothing away: its student could not be saved as a cut model."""
        prune = self.config.prune
        for number in range(1, prune.rounds + 1):
            before, after = (
                (pruned_count(ratio, heads), *(pruned_count(prune.neuron_share(ratio), w) for w in widths))
                for ratio in prune.bounds(number)
            )
            if after == before:
                raise ArgumentError(
                    f"round {number} of {prune.rounds} would take no head of {heads} "
                    f"{'and no neuron ' if widths else ''}away "
                    f"({after[0]} heads are gone after it); ask for fewer rounds or a larger ratio"
                )

    def _check_outcomes(self, layout: HeadLayout) -> None:
        """Refuse outcomes that do not say how the heads of this model did on training questions."""
        causal_scores(self.outcomes, layout)
        manifest = self.outcomes.manifest
        if manifest.split not in ("train", ""):
            raise MismatchError(
                f"the outcomes are of the {manifest.split} split: heads would be chosen by answers to it; "
                "sweep the training questions (--split train)"
            )
        if manifest.model_fingerprint != model_fingerprint(self.model):
            _LOGGER.warning(
                "the outcomes are of another model (%s) than the one that is pruned; its heads' scores "
                "stand in for this one's",
                manifest.model_fingerprint,
            )

    def teach(self) -> None:
        """Fine-tune the first teacher, unless that is done or not wanted; ``model`` is the teacher then."""
        settings = self.config.teach
        if settings is None:
            return
        if self.folder.facts("teacher") is None:
            trainer = PhaseTrainer(
                self.accelerator, self.model, self.texts, settings, self.folder.path, "teacher-training"
            )
            result = trainer.run()
            facts = {
                "phase": "teacher",
                **dataclasses.asdict(result),
                "flops": training_flops(active_parameters(self.model), result.tokens),
                "held_out_perplexity": perplexity(self.model, self.held_out),
            }
            self._finish(self.folder.teacher, self.model, "teacher", facts)
        self.model = _load(self.folder.teacher, cut_model=False)

    def rounds(self) -> list[dict[str, Any]]:
        """Every round, each from the folder of the one before; their facts."""
        facts = []
        for number in range(1, self.config.prune.rounds + 1):
            name = f"round-{number}"
            if self.folder.facts(name) is None:
                self._round(number, name)
            facts.append(self.folder.facts(name) or {})
        return facts

    def _round(self, number: int, name: str) -> None:
        teacher, pruned = self._teacher_of(number)
        student = copy.deepcopy(teacher.model)
        config = self.config
        scorer = Scorer(
            config.prune, self.texts[: config.prune.calibration], self.outcomes, config.distill.micro_batch
        )
        steps = phase_steps(len(self.texts), config.distill) if config.train else 0
        pruner = Pruner(config.prune, scorer, student, pruned, number, steps)
        facts: dict[str, Any] = {"phase": name, "ratio": config.prune.bounds(number)[1]}
        if config.train:
            trainer = PhaseTrainer(
                self.accelerator, student, self.texts, config.distill, self.folder.path,
                f"{name}-training", teacher if config.distill.distill_weight else None, pruner, phase=number,
            )  # fmt: skip
            result = trainer.run()
            taught = result.tokens if config.distill.distill_weight else 0
            parameters = active_parameters(student)
            facts |= dataclasses.asdict(result)
            facts["flops"] = training_flops(parameters, result.tokens, taught, scorer.tokens)
        else:
            student.to(self.accelerator.device)
            pruner.advance(1, student, self.accelerator)
            facts["flops"] = training_flops(active_parameters(student), 0, 0, scorer.tokens)
        facts["scored_tokens"] = scorer.tokens
        with pruner.pruned.masking(student):
            facts["held_out_perplexity"] = perplexity(student, self.held_out)
        cut(
            student, pruner.pruned.heads, pruner.pruned.neurons or None,
            allow_empty_layers=config.prune.floor == 0,
        )  # fmt: skip
        facts["removed_heads"] = str(Removed.of_config(student.config).heads)
        facts["cost"] = cost_of(student).to_dict()
        self._finish(self.folder.round(number), student, name, facts)

    def _teacher_of(self, number: int) -> tuple[Teacher, Pruned]:
        """The teacher of a round: the first one, or the student before, at full width with its masks."""
        if number == 1:
            return Teacher(self.model), Pruned()
        before = load_pruned(self.folder.round(number - 1), dtype=torch.float32)
        pruned = _masks_of(before)
        return Teacher(dense_model(before), pruned), pruned

    def _finish(self, target: Path, model: Any, name: str, facts: dict[str, Any]) -> None:
        """Write the phase's model, then that it is finished, then drop its checkpoints."""
        if self.accelerator.is_main_process:
            if target.exists():  # killed between the model and its facts
                _LOGGER.info("%s was written already", target)
            elif name == "teacher":
                write_folder(model, target, self.tokenizer)
            else:
                save_pruned(model, target, self.tokenizer)
            self.folder.write_facts(name, facts)
            remove_states(self.folder.states(name))
        self.accelerator.wait_for_everyone()


def check_same_kind(model: Any, teacher: Any, tokenizer: Any, teacher_tokenizer: Any) -> None:
    """Refuse a teacher that a student cannot be cut from.

    Raises:
        MismatchError: another architecture or shape, or tokenizers that differ.
    """
    shape = ("num_hidden_layers", "num_attention_heads", "num_key_value_heads", "hidden_size")
    for name in ("model_type", *shape, "intermediate_size", "vocab_size"):
        mine, theirs = (
            getattr(m.config if name == "model_type" else m.config.get_text_config(), name, None)
            for m in (model, teacher)
        )
        if mine != theirs:
            raise MismatchError(
                f"the teacher's {name} is {theirs}, the model's is {mine}: a student is cut from its teacher"
            )
    if tokenizer.get_vocab() != teacher_tokenizer.get_vocab():
        raise MismatchError("the tokenizers of model and teacher differ; their logits could not be compared")


@torch.no_grad()
def perplexity(model: Any, texts: Sequence[TrainingText], rows: int = 16) -> float | None:
    """exp of the mean negative log-likelihood of the answers' tokens; ``None`` without texts."""
    if not texts:
        return None
    total, count = 0.0, 0
    texts = sorted(texts, key=lambda text: len(text.tokens))  # less padding
    training = model.training
    model.eval()
    for start in range(0, len(texts), rows):
        batch = collate(texts[start : start + rows]).to(model.device)
        wanted = few_logits(model, batch.positions)
        logits = model(input_ids=batch.input_ids, use_cache=False, **wanted).logits
        term = task_loss(logits if wanted else logits[:, batch.positions], batch.labels)
        total, count = total + float(term.total), count + term.count
    model.train(training)
    return math.exp(total / max(count, 1))


def _load(folder: Path, cut_model: bool) -> Any:
    if cut_model:
        return load_pruned(folder, dtype=torch.float32)
    from transformers import AutoModelForCausalLM

    with loading(f"model '{folder}'"):
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def _masks_of(cut_model: Any) -> Pruned:
    """What a cut model has lost, as masks on its full-size form: there, lost neurons stand last."""
    removed = Removed.of_config(cut_model.config)
    neurons = {}
    if any(removed.neurons.values()):
        widths = neuron_widths(cut_model)
        neurons = {
            layer: tuple(range(widths[layer], widths[layer] + count))
            for layer, count in removed.neurons.items()
        }
    return Pruned(HeadSet(tuple(Head(h.layer, h.head) for h in removed.heads)), neurons)
