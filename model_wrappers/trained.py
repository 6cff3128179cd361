"""What a method was made from: its questions, which a run may not ask unmarked, and its prompts' format."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sprint_eval.model_wrappers.arguments import as_bool
from sprint_eval.prompt_facts import APPLIED, GENERATION
from sprint_eval.prompts import GenerationSettings, generation_facts

if TYPE_CHECKING:
    from sprint_eval.model_wrappers.base import HeadSetLM
    from sprint_eval.model_wrappers.candidates import Question

ARGUMENT = "allow_trained_questions"


class TrainedQuestions:
    """Counts them over a run's calls and processes.

    Attributes:
        allowed: ask them all the same; known once :meth:`read` has read the argument.
        asked: some were, in any process; known on rank 0 after :meth:`gather`.
    """

    def __init__(self, allow: bool | str) -> None:
        self._argument = allow
        self._count = 0  # of this process
        self.allowed = False
        self.asked = False

    def read(self) -> None:
        """Read the argument.

        Raises:
            ArgumentError: it is neither true nor false.
        """
        self.allowed = as_bool(ARGUMENT, self._argument)

    def add(self, count: int) -> None:
        self._count += count

    def gather(self, lm: HeadSetLM) -> None:
        """One in any process's share marks the whole run."""
        counts: Iterable[int] = lm.gather_object(self._count)
        if lm.rank == 0:
            self.asked = sum(counts) > 0


def prompt_formats(lm: HeadSetLM, questions: Iterable[Question]) -> list[dict[str, Any]]:
    """How prompts were built and answers are decoded: once for each way that stands among them."""
    ways = {repr((question.prompt_facts, question.gen_kwargs)): question for question in questions}
    formats = []
    for question in ways.values():
        settings = GenerationSettings.from_gen_kwargs(question.gen_kwargs, lm.model, lm.tokenizer)
        generation = generation_facts(settings, lm)
        told = dict(question.prompt_facts)
        templated = lm.prompt_facts(told.pop(APPLIED, None))
        formats.append({**templated, **told, GENERATION: generation})
    return formats
