"""Training texts over a tiny vocabulary, and an accelerator on the CPU."""

from __future__ import annotations

from typing import Any

import pytest

from sprint_eval.distillation.data import TrainingText


@pytest.fixture
def texts() -> list[TrainingText]:
    """24 texts of different lengths whose answers follow from their prompts."""
    made = []
    for number in range(24):
        prompt = (1, 3 + number % 5, 10 + number % 7, *((20,) * (number % 3)))
        target = (30 + number % 5, 40 + number % 7, 2)
        made.append(TrainingText(prompt, target, f"{number:016x}"))
    return made


@pytest.fixture
def accelerator() -> Any:
    from accelerate import Accelerator

    return Accelerator(cpu=True)
