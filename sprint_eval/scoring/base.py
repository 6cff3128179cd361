"""What a scorer is given and what it gives."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from sprint_eval.errors import GenerationError

Key = TypeVar("Key", bound=Hashable)
Progress = Callable[[int], None]
"""Is told of n more scores."""


@dataclass(frozen=True)
class Answer:
    """One answer to be scored; the gold answer is nowhere in it.

    Attributes:
        prompt: token ids that the answer was decoded from.
        tokens: its own, up to and with the stop; at least one.
        question: the question's text, without examples or instructions.
        text: the answer's text.
    """

    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    question: str
    text: str


class Scorer(Protocol):
    """Scores answers; the higher, the better. Each distinct answer is scored once."""

    @property
    def name(self) -> str:
        """What results call it."""

    def key(self, answer: Answer) -> Hashable:
        """What decides a score: answers with one key are scored once."""

    def score(self, answers: Sequence[Answer], progress: Progress | None = None) -> list[float]:
        """A finite score an answer, in order."""

    def info(self) -> dict[str, Any]:
        """Plain facts of the scorer, for results."""


def score_distinct(
    keys: Sequence[Key], score: Callable[[list[Key]], Sequence[float]], scorer: str
) -> list[float]:
    """A score a key, each distinct one computed once.

    Args:
        keys: what is to be scored.
        score: scores distinct keys, in their order.
        scorer: its name, for the message.

    Raises:
        GenerationError: a score is not finite: nothing could be chosen by it.
    """
    distinct = list(dict.fromkeys(keys))
    scores = dict(zip(distinct, score(distinct), strict=True))
    bad = sum(not math.isfinite(value) for value in scores.values())
    if bad:
        raise GenerationError(
            f"{scorer} gave {bad} of {len(scores)} answers a score that is not finite; try dtype=float32"
        )
    return [scores[key] for key in keys]


def batches(widths: Sequence[int], order: Iterable[int], fits: Callable[[int, int], bool]) -> list[list[int]]:
    """Runs of ``order`` that can be one padded batch.

    Args:
        widths: length of each row.
        order: indices into ``widths``.
        fits: whether so many rows of this width are allowed; a single row always is.
    """
    made: list[list[int]] = []
    width = 0
    for index in order:
        width = max(width, widths[index])
        if not made or not fits(len(made[-1]) + 1, width):
            made.append([])
            width = widths[index]
        made[-1].append(index)
    return made
