"""What is read from result files: runs, their questions, and what could not be read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Bits = npt.NDArray[np.int8]
Floats = npt.NDArray[np.float64]

PASS = "pass@k"  # the score of tasks that record every candidate


@dataclass(frozen=True)
class Problem:
    """A file, or a part of one, that was left out, and why."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True)
class RunHeader:
    """One task of one lm-eval results file: everything but the questions.

    ``None`` stands for what the file does not say; nothing is ever filled in by guessing.

    Attributes:
        path: the results file; ``samples_path`` the task's samples beside it, if they were logged.
        stamp: the time in the file's name; ``date`` the start of the run in Unix seconds.
        info: what ``get_model_info()`` added to the run's config.
        generation: the task's effective generation settings.
        metrics: ``(metric, filter) -> value`` as lm-eval aggregated it; ``stderrs`` likewise.
        dataset: the hub's data set, where the questions come from there.
        grader: version of the grader, for tasks that say it.
        harness: version of lm-eval.
        tasks_in_run: how many tasks share the run's clock and counters.
    """

    path: Path
    samples_path: Path | None
    stamp: str
    date: float
    task: str
    version: str
    model: str
    model_args: dict[str, str]
    info: dict[str, Any]
    generation: dict[str, Any]
    repeats: int
    num_fewshot: int | None
    limit: float | None
    questions: int | None
    chat_template: str | None
    system_prompt: str | None
    multiturn: bool
    seeds: tuple[Any, ...]
    metrics: dict[tuple[str, str], float]
    stderrs: dict[tuple[str, str], float]
    lower_is_better: frozenset[str]
    total_seconds: float | None
    tasks_in_run: int
    dataset: str | None = None
    grader: str | None = None
    harness: str | None = None


@dataclass
class Sampled:
    """Per-question outcomes of one task, score and filter of one run, in file order.

    Attributes:
        score: :data:`PASS` for tasks with candidates, else the metric's name.
        keys: a name a question, the document's hash (with ``#2``, ``#3`` for equal documents).
        offsets: where each row starts in the samples file, in bytes; ``lengths``: how long it is.
        correct: ``[n, N]`` 0/1 of each candidate; empty ``[n, 0]`` for other metrics.
        majority: ``[n, N]`` 0/1 of the vote among the first k candidates, ``None`` where unknown.
        values: ``[n]`` the metric's value, for metrics other than :data:`PASS`.
        choices: the same as ``majority`` for other ways to choose one answer of the first k, by name
            (``"wmaj"``, ``"best"``): those that every row of the file has.
        counts: how many candidates were truncated, gave no answer, repeated a text, and so on.
        tokens: generated tokens of all candidates, ``None`` where any is unknown.
        prompts: ``[n]`` a short digest of each question's prompt, ``None`` where any was not logged.
    """

    score: str
    filter: str
    path: Path
    keys: list[str]
    offsets: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    correct: Bits
    majority: Bits | None
    values: Floats | None
    counts: dict[str, int] = field(default_factory=dict)
    tokens: int | None = None
    choices: dict[str, Bits] = field(default_factory=dict)
    prompts: npt.NDArray[np.uint64] | None = None

    @property
    def candidates(self) -> int:
        """N: candidates a question (1 for metrics that keep one value)."""
        return self.correct.shape[1] if self.values is None else 1


@dataclass
class Run:
    """A header with its outcomes; ``sampled`` is ``None`` where samples were not logged."""

    header: RunHeader
    score: str
    filter: str
    sampled: Sampled | None


@dataclass
class Reading:
    """Everything that was found: runs, and the problems met on the way."""

    runs: list[Run] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    files: int = 0
    others: list[Path] = field(default_factory=list)
