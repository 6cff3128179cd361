"""The settings of a distillation: how it trains, and how it prunes."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from sprint_eval.errors import ArgumentError
from sprint_eval.pruning.importance import Direction

Precision = Literal["no", "bf16", "fp16"]
Score = Literal["dpkd", "taylor", "causal"]
"""What heads are chosen by: ``dpkd`` is α·norm + (1 − α)·entropy."""

_FEWEST_WARMUP = 10
_MOST_SEED = 2**32 - 1  # torch takes 64 bits, and a step's seed is a multiple of this one

# DPKD reports 18.7 % fewer parameters at 30 % of heads.
PAPER_PARAMETERS_PER_HEAD_SHARE = 0.187 / 0.30


@dataclass(frozen=True)
class TrainSettings:
    """How one phase trains.

    Attributes:
        epochs: passes over the training texts.
        batch_size: texts a step, over all processes.
        accumulate: micro-batches that each process splits its share of a step into.
        lr: peak learning rate of AdamW; rises over ``warmup`` of the steps, falls to 0 by a cosine.
        warmup: share of the steps; ten steps at least, or a third of a phase that has fewer than thirty.
        weight_decay: AdamW's.
        max_grad_norm: gradients are scaled down to this norm.
        distill_weight: λ1.
        task_weight: λ2.
        attention_weight: of the attention term within the distillation loss; 0 spares its cost.
        temperature: τ.
        mixed_precision: of ``accelerate``; weights and optimizer stay in float32.
        seed: of the order of texts, and of dropout where a model has any.
        save_every: steps between checkpoints; 0 for an epoch, or 100 steps where that is fewer.
    """

    epochs: int = 3
    batch_size: int = 16
    accumulate: int = 1
    lr: float = 1e-4
    warmup: float = 0.05
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    distill_weight: float = 1.0
    task_weight: float = 1.0
    attention_weight: float = 1.0
    temperature: float = 2.0
    mixed_precision: Precision = "no"
    seed: int = 0
    save_every: int = 0

    def __post_init__(self) -> None:
        for name, low in (
            ("epochs", 1),
            ("batch_size", 1),
            ("accumulate", 1),
            ("save_every", 0),
            ("seed", 0),
        ):
            if getattr(self, name) < low:
                raise ArgumentError(f"{name} = {getattr(self, name)}: expected {low} or more")
        if self.seed > _MOST_SEED:
            raise ArgumentError(f"seed = {self.seed}: expected {_MOST_SEED} or less")
        for name in ("lr", "temperature", "max_grad_norm"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ArgumentError(f"{name} = {getattr(self, name)}: expected a finite value above 0")
        for name in ("distill_weight", "task_weight", "attention_weight", "weight_decay"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ArgumentError(f"{name} = {getattr(self, name)}: expected 0 or a finite value above it")
        if not 0 <= self.warmup < 1:
            raise ArgumentError(f"warmup = {self.warmup}: expected a share of the steps, 0 <= warmup < 1")
        if self.mixed_precision not in get_args(Precision):
            raise ArgumentError(
                f"mixed_precision '{self.mixed_precision}': expected {', '.join(get_args(Precision))}"
            )
        if self.distill_weight == 0 and self.task_weight == 0:
            raise ArgumentError("distill_weight and task_weight are both 0: nothing to train for")

    @property
    def micro_batch(self) -> int:
        """Texts that go through a model at once, in one process."""
        return math.ceil(self.batch_size / self.accumulate)

    def lr_at(self, step: int, steps: int) -> float:
        """Learning rate of step ``step`` (from 0) of ``steps``."""
        # The first steps of an optimizer without history move every weight by the whole rate: in a short
        # phase that undoes what the model has learnt before, and too few steps are left to mend it.
        rise = max(1, round(self.warmup * steps), min(_FEWEST_WARMUP, steps // 3))
        if step < rise:
            return self.lr * (step + 1) / rise
        return self.lr * 0.5 * (1.0 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


@dataclass(frozen=True)
class PruneSettings:
    """Which heads go, and when.

    Attributes:
        ratio: share of all heads gone at the end of the last round.
        rounds: recursive rounds; the student of one is the teacher of the next, and every round
            adds an equal part of ``ratio``, unless
        stages: says which share is gone after each round; the last one is ``ratio``.
        power: n of Eq. 5, within each round.
        ramp: share of a round's steps over which heads go; the rest trains what is left.
        score: what heads are chosen by: the paper's is ``dpkd``, docs/distillation.md has what others lose.
        alpha: share of the weight norm in the ``dpkd`` score.
        direction: which entropy counts as important.
        refresh_every: steps between new scores while heads are going.
        calibration: training texts that scores are measured on.
        floor: heads that every layer keeps; 0 lets layers lose all.
        ffn_ratio: share of feed-forward neurons gone at the end; 0 for none.
    """

    ratio: float = 0.3
    rounds: int = 3
    stages: tuple[float, ...] = ()
    power: float = 3.0
    ramp: float = 0.5
    score: Score = "taylor"
    alpha: float = 0.5
    direction: Direction = "focused"
    refresh_every: int = 10
    calibration: int = 64
    floor: int = 1
    ffn_ratio: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.ratio < 1:
            raise ArgumentError(f"ratio = {self.ratio}: expected a share of the heads, 0 < ratio < 1")
        if not 0 <= self.ffn_ratio < 1:
            raise ArgumentError(f"ffn_ratio = {self.ffn_ratio}: expected a share of neurons, 0 <= share < 1")
        if self.stages and (len(self.stages) != self.rounds or self.stages[-1] != self.ratio):
            raise ArgumentError(
                f"{len(self.stages)} stages to {self.stages[-1]} for {self.rounds} rounds to {self.ratio}: "
                "expected a stage a round, and the ratio as the last"
            )
        if any(low >= high for low, high in itertools.pairwise((0.0, *self.stages))):
            raise ArgumentError(f"stages {self.stages}: expected growing shares of the heads above 0")
        for name in ("rounds", "refresh_every", "calibration"):
            if getattr(self, name) < 1:
                raise ArgumentError(f"{name} = {getattr(self, name)}: expected 1 or more")
        if not (math.isfinite(self.power) and self.power > 0):
            raise ArgumentError(f"power = {self.power}: expected a finite value above 0")
        if self.floor < 0:
            raise ArgumentError(f"floor = {self.floor}: expected 0 heads a layer or more")
        if not 0 < self.ramp <= 1:
            raise ArgumentError(f"ramp = {self.ramp}: expected a share of the steps, 0 < ramp <= 1")
        if not 0 <= self.alpha <= 1:
            raise ArgumentError(f"alpha = {self.alpha}: expected a share between 0 and 1")
        if self.score not in get_args(Score):
            raise ArgumentError(f"score '{self.score}': expected {', '.join(get_args(Score))}")
        if self.direction not in get_args(Direction):
            raise ArgumentError(f"direction '{self.direction}': expected {' or '.join(get_args(Direction))}")

    def bounds(self, number: int) -> tuple[float, float]:
        """Share of heads gone at the start and at the end of round ``number`` (from 1)."""
        ends = self.stages or [self.ratio * done / self.rounds for done in range(1, self.rounds + 1)]
        return (0.0, *ends)[number - 1], ends[number - 1]

    def neuron_share(self, ratio: float) -> float:
        """Share of feed-forward neurons gone when ``ratio`` of the heads are."""
        return self.ffn_ratio * ratio / self.ratio


@dataclass(frozen=True)
class DistillConfig:
    """A whole run.

    Attributes:
        teach: fine-tuning of the first teacher; ``None`` where the model is taught already.
        distill: training of each round's student.
        prune: which heads go.
        train: whether students are trained; without, heads are pruned by the schedule and no more.
    """

    teach: TrainSettings | None = field(default_factory=TrainSettings)
    distill: TrainSettings = field(default_factory=lambda: TrainSettings(epochs=1, lr=3e-5))
    prune: PruneSettings = field(default_factory=PruneSettings)
    train: bool = True
