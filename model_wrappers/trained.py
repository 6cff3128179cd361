"""Questions that a method was made from: a run that asks them is refused, or marked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sprint_eval.model_wrappers.arguments import as_bool

if TYPE_CHECKING:
    from sprint_eval.model_wrappers.base import HeadSetLM

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
