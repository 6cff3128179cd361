"""The terms of DPKD's distillation loss, as pure functions.

L_total = λ1·L_distill + λ2·L_task, L_distill = KL(teacher ‖ student) at temperature τ, times τ²,
plus the mean squared error between their attention matrices on the heads that are kept.

Every term comes as a sum with the number of things summed over: the trainer divides by the count
of the whole step, so that the result depends neither on how a batch is split into micro-batches
and processes nor on padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from sprint_eval.errors import ArgumentError

if TYPE_CHECKING:
    from torch import Tensor

IGNORED = -100
"""Label of positions that count in no loss."""


@dataclass(frozen=True)
class Term:
    """A sum and what it is a sum of.

    Attributes:
        total: scalar tensor.
        count: number of tokens, or of attention weights.
    """

    total: Tensor
    count: int

    @property
    def mean(self) -> Tensor:
        """The total over the count; 0 where nothing counted."""
        return self.total / max(self.count, 1)


def task_loss(logits: Tensor, labels: Tensor) -> Term:
    """Cross-entropy of the next token.

    Args:
        logits: ``[batch, seq, vocab]``; position t predicts ``labels[:, t]`` (already shifted).
        labels: ``[batch, seq]``, :data:`IGNORED` where nothing is to be predicted.
    """
    counted = labels != IGNORED
    total = functional.cross_entropy(logits[counted].float(), labels[counted], reduction="sum")
    return Term(total, int(counted.sum()))


def logit_distillation(student: Tensor, teacher: Tensor, labels: Tensor, temperature: float = 2.0) -> Term:
    """τ²·KL(teacher ‖ student) between next-token distributions softened by τ (Hinton et al. 2015).

    Args:
        student, teacher: logits ``[batch, seq, vocab]``.
        labels: as in :func:`task_loss`; only positions with a label count.
        temperature: τ, above 0.

    Raises:
        ArgumentError: vocabularies that differ, or a temperature that is not above 0.
    """
    if student.shape != teacher.shape:
        raise ArgumentError(
            f"logits of student {tuple(student.shape)} and teacher {tuple(teacher.shape)} differ in shape: "
            "their tokenizers or inputs are not the same"
        )
    if not temperature > 0:
        raise ArgumentError(f"temperature = {temperature}: expected a value above 0")
    counted = labels != IGNORED
    log_student = functional.log_softmax(student[counted].float() / temperature, dim=-1)
    log_teacher = functional.log_softmax(teacher[counted].float() / temperature, dim=-1)
    divergence = functional.kl_div(log_student, log_teacher, reduction="sum", log_target=True)
    return Term(temperature**2 * divergence, int(counted.sum()))


def attention_distillation(
    student: Sequence[Tensor], teacher: Sequence[Tensor], keep: Sequence[Tensor], lengths: Tensor
) -> Term:
    """Squared error between attention matrices, over kept heads and what a causal query may see.

    Args:
        student, teacher: a layer each, ``[batch, heads, seq, seq]``; rows are queries.
        keep: a layer each, booleans ``[heads]``, true for heads that the student still has.
        lengths: ``[batch]``, tokens of each text; padding stands on the right.

    Raises:
        ArgumentError: student and teacher have other layers or heads.
    """
    if [a.shape for a in student] != [a.shape for a in teacher]:
        raise ArgumentError("attention matrices of student and teacher differ in shape: not one architecture")
    if not student:
        raise ArgumentError("no attention matrices to compare")
    seq, device = student[0].shape[-1], student[0].device
    positions = torch.arange(seq, device=device)
    seen = (positions[None, :] <= positions[:, None]) & (
        positions[:, None] < lengths.to(device)[:, None, None]
    )
    total = torch.zeros((), device=device, dtype=torch.promote_types(student[0].dtype, torch.float32))
    heads = 0
    for mine, theirs, kept in zip(student, teacher, keep, strict=True):
        kept = kept.to(device)
        difference = (mine[:, kept] - theirs[:, kept]).to(total.dtype)
        total = total + torch.where(seen[:, None], difference, 0.0).square().sum()
        heads += int(kept.sum())
    return Term(total, heads * int((lengths * (lengths + 1) // 2).sum()))


def total_loss(distill: Tensor, task: Tensor, distill_weight: float, task_weight: float) -> Tensor:
    """L_total = λ1·L_distill + λ2·L_task."""
    return distill_weight * distill + task_weight * task
