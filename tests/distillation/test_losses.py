"""Each loss term against its definition, loop by loop."""

from __future__ import annotations

import math

import pytest
import torch

from sprint_eval.distillation.losses import (
    IGNORED,
    attention_distillation,
    logit_distillation,
    task_loss,
    total_loss,
)
from sprint_eval.errors import ArgumentError

LABELS = torch.tensor([[IGNORED, 2, 0], [1, IGNORED, IGNORED]])


def logits(seed: int) -> torch.Tensor:
    return torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(seed))


def softmax(values: list[float], temperature: float = 1.0) -> list[float]:
    exps = [math.exp(v / temperature) for v in values]
    return [e / sum(exps) for e in exps]


def test_task_loss_is_the_sum_of_negative_log_likelihoods():
    scores = logits(0)
    expected = -sum(
        math.log(softmax(scores[row, t].tolist())[int(LABELS[row, t])]) for row, t in [(0, 1), (0, 2), (1, 0)]
    )
    term = task_loss(scores, LABELS)
    assert float(term.total) == pytest.approx(expected, rel=1e-5)
    assert term.count == 3
    assert float(term.mean) == pytest.approx(expected / 3, rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_logit_distillation_is_kl_of_teacher_to_student(temperature):
    student, teacher = logits(1), logits(2)
    expected = 0.0
    for row, t in [(0, 1), (0, 2), (1, 0)]:
        p = softmax(teacher[row, t].tolist(), temperature)
        q = softmax(student[row, t].tolist(), temperature)
        expected += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    term = logit_distillation(student, teacher, LABELS, temperature)
    assert float(term.total) == pytest.approx(temperature**2 * expected, rel=1e-4)
    assert float(logit_distillation(teacher, teacher, LABELS).total) == pytest.approx(0, abs=1e-6)


def test_attention_distillation_counts_kept_heads_and_visible_positions():
    generator = torch.Generator().manual_seed(3)
    student, teacher = ([torch.rand(2, 3, 4, 4, generator=generator) for _ in range(2)] for _ in range(2))
    keep = [torch.tensor([True, False, True]), torch.tensor([False, True, False])]
    lengths = torch.tensor([4, 2])
    expected, count = 0.0, 0
    for layer in range(2):
        for row in range(2):
            for head in range(3):
                for q in range(int(lengths[row])):
                    for k in range(q + 1):
                        if keep[layer][head]:
                            difference = student[layer][row, head, q, k] - teacher[layer][row, head, q, k]
                            expected += float(difference) ** 2
                            count += 1
    term = attention_distillation(student, teacher, keep, lengths)
    assert float(term.total) == pytest.approx(expected, rel=1e-5)
    assert term.count == count


def test_terms_of_parts_add_up_to_the_term_of_the_whole():
    student, teacher = logits(4), logits(5)
    whole = logit_distillation(student, teacher, LABELS)
    parts = [logit_distillation(student[i : i + 1], teacher[i : i + 1], LABELS[i : i + 1]) for i in range(2)]
    assert float(whole.total) == pytest.approx(sum(float(part.total) for part in parts), rel=1e-5)
    assert whole.count == sum(part.count for part in parts)


def test_total_and_nothing_to_count():
    assert float(total_loss(torch.tensor(2.0), torch.tensor(3.0), 0.5, 0.1)) == pytest.approx(1.3)
    nothing = torch.full((1, 3), IGNORED)
    assert float(task_loss(logits(0)[:1], nothing).mean) == 0.0


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ArgumentError, match="differ in shape"):
        logit_distillation(torch.zeros(1, 3, 4), torch.zeros(1, 3, 5), LABELS[:1])
    with pytest.raises(ArgumentError, match="temperature"):
        logit_distillation(logits(0), logits(1), LABELS, 0.0)
    with pytest.raises(ArgumentError, match="not one architecture"):
        attention_distillation([torch.zeros(1, 2, 3, 3)], [torch.zeros(1, 3, 3, 3)], [], torch.tensor([3]))
