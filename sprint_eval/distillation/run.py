"""A distillation from its settings: load, check, teach, prune and distil, report."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from sprint_eval.distillation.config import PAPER_PARAMETERS_PER_HEAD_SHARE, DistillConfig
from sprint_eval.distillation.data import TaskSource, TrainingText, training_texts
from sprint_eval.distillation.folder import RunFolder
from sprint_eval.errors import ArgumentError, MismatchError, SprintError
from sprint_eval.processes import allow_group_on_cpu

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class DistillRequest:
    """What ``sprint-eval distill`` is asked for.

    Attributes:
        model: folder, hub name, or short name of a packaged model.
        source: the task whose training questions are learnt.
        out: the run's folder; an unfinished run in it goes on.
        config: how to train and prune.
        teacher: a model that is taught already, in place of fine-tuning ``model``.
        limit: training questions, the task's first; ``None`` for all.
        outcomes: folder of an outcome matrix, for the causal score.
        also_ffn: remove feed-forward neurons too, so many that the paper's share of parameters goes,
            unless ``config.prune.ffn_ratio`` says how many.
        speed: whether the cut model's speed is measured against the base.
        dense: whether a dense zero-filled copy is written too.
        device: ``cpu`` to leave a GPU alone.
    """

    model: str
    source: TaskSource
    out: str
    config: DistillConfig = field(default_factory=DistillConfig)
    teacher: str | None = None
    limit: int | None = None
    outcomes: str | None = None
    also_ffn: bool = False
    speed: bool = True
    dense: bool = False
    device: str | None = None


def distill(request: DistillRequest) -> dict[str, Any]:
    """Do it all; the student is in ``<out>/student`` and the report in ``<out>/report.json`` and ``.md``.

    Raises:
        SprintError: whatever stands in the way, before anything is trained where it can be known then.
    """
    if request.outcomes is not None and request.config.prune.score != "causal":
        raise ArgumentError(
            f"outcomes are read for the causal score alone, not for {request.config.prune.score}: add "
            "--score causal or leave out --outcomes"
        )
    accelerator = _accelerator(request)
    model, tokenizer = _load(request.model)
    request = _with_ffn_ratio(request, model)
    if request.teacher is not None:
        request, model = _take_teacher(request, model, tokenizer)
    run = _prepare(request, accelerator, model, tokenizer)
    run.check()
    with contextlib.ExitStack() as stack:
        if accelerator.is_main_process:
            run.folder.claim(_card(request, model, run))
            stack.enter_context(run.folder.working())
        accelerator.wait_for_everyone()
        run.teach()
        rounds = run.rounds()
        if not accelerator.is_main_process:
            return {}
        from sprint_eval.distillation.report import write_report

        return write_report(request, run, rounds)


def _prepare(request: DistillRequest, accelerator: Any, model: Any, tokenizer: Any) -> Any:
    from sprint_eval.distillation.rounds import Run

    texts = training_texts(request.source, tokenizer, "train", request.limit)
    outcomes = None
    if request.outcomes is not None:
        from sprint_eval.outcomes import Outcomes

        outcomes = Outcomes.load(request.outcomes)
    return Run(
        accelerator,
        RunFolder(request.out, request.config.prune.rounds),
        request.config,
        model,
        tokenizer,
        texts,
        _held_out(request, tokenizer),
        outcomes,
    )


def _held_out(request: DistillRequest, tokenizer: Any) -> list[TrainingText]:
    """Questions that nothing trains on, for perplexities; none where the task sets none apart."""
    try:
        return training_texts(request.source, tokenizer, "validation", 128)
    except SprintError as error:
        _LOGGER.warning("no held-out perplexity: %s", error)
        return []


def _accelerator(request: DistillRequest) -> Any:
    from accelerate import Accelerator

    settings = request.config.distill
    if request.config.teach is not None and request.config.teach.mixed_precision != settings.mixed_precision:
        raise ArgumentError("teacher and students train in one mixed precision")
    cpu = request.device == "cpu"
    allow_group_on_cpu()
    return Accelerator(mixed_precision=settings.mixed_precision, cpu=cpu)


def _load(name: str) -> tuple[Any, Any]:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    from sprint_eval.loading import loading
    from sprint_eval.models import resolve_model_path
    from sprint_eval.pruning.checkpoint import is_pruned

    path = resolve_model_path(name)
    with loading(f"model '{name}'"):
        if is_pruned(AutoConfig.from_pretrained(path)):
            raise MismatchError(f"heads were cut out of '{name}' already; start from a whole model")
        model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
        return model, AutoTokenizer.from_pretrained(path)


def _take_teacher(request: DistillRequest, model: Any, tokenizer: Any) -> tuple[DistillRequest, Any]:
    from sprint_eval.distillation.rounds import check_same_kind

    teacher, teacher_tokenizer = _load(str(request.teacher))
    check_same_kind(model, teacher, tokenizer, teacher_tokenizer)
    return replace(request, config=replace(request.config, teach=None)), teacher


def _with_ffn_ratio(request: DistillRequest, model: Any) -> DistillRequest:
    """The share of neurons that brings a run with ``also_ffn`` to the paper's share of parameters."""
    prune = request.config.prune
    if not request.also_ffn:
        if prune.ffn_ratio:
            raise ArgumentError("ffn_ratio says how many neurons go: ask for them with also_ffn (--also ffn)")
        return request
    if prune.ffn_ratio:
        return request
    from sprint_eval.pruning.cost import cost_of, head_share
    from sprint_eval.pruning.neurons import feed_forwards

    total = cost_of(model).parameters
    neurons = sum(p.numel() for part in feed_forwards(model) for p in part.parameters())
    budget = PAPER_PARAMETERS_PER_HEAD_SHARE * prune.ratio * total
    by_heads = prune.ratio * head_share(model)["parameters"] / 100 * total
    share = round(min(max((budget - by_heads) / neurons, 0.0), 0.95), 4)
    if not share:
        _LOGGER.warning(
            "no neuron goes: a share of %g of the heads holds %.1f %% of the parameters, the paper's share "
            "is %.1f %%; --ffn-ratio takes neurons beside them",
            prune.ratio, 100 * by_heads / total, 100 * budget / total,
        )  # fmt: skip
    return replace(request, config=replace(request.config, prune=replace(prune, ffn_ratio=share)))


def _card(request: DistillRequest, model: Any, run: Any) -> dict[str, Any]:
    """What makes two runs the same run."""
    from sprint_eval.architectures import attention_layout
    from sprint_eval.fingerprint import model_fingerprint
    from sprint_eval.pruning.importance import causal_scores

    # The scores depend on all that is read of an outcome matrix: verdicts, the base's, pool and answers.
    scores = None if run.outcomes is None else causal_scores(run.outcomes, attention_layout(model).heads)
    return {
        "schema_version": 2,  # 1: every phase had the order of the first
        "model": request.model,
        "start_fingerprint": model_fingerprint(model),
        "teacher": request.teacher,
        "limit": request.limit,
        "outcomes": request.outcomes,
        # Paths stay the same when what they name changes.
        "texts_hash": _digest(text.tokens for text in (*run.texts, *run.held_out)),
        "outcomes_hash": None if scores is None else _digest([scores.tolist()]),
        **{f"source.{name}": _plain(value) for name, value in vars(request.source).items()},
        "config": _plain(dataclasses.asdict(request.config)),
    }


def _digest(rows: Iterable[Iterable[float]]) -> str:
    import hashlib

    digest = hashlib.sha256()
    for row in rows:
        digest.update(",".join(map(str, row)).encode() + b"\n")
    return digest.hexdigest()[:16]


def _plain(value: Any) -> Any:
    import json

    return json.loads(json.dumps(value, default=str))
