"""What a method decides for each candidate, and the candidates that come of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sprint_eval.candidate import Candidate, CandidateFacts
from sprint_eval.engine.request import Generation, Request
from sprint_eval.errors import ArgumentError
from sprint_eval.heads import HeadPool, HeadSet
from sprint_eval.model_wrappers.candidates import Question
from sprint_eval.scoring.base import Answer


@dataclass(frozen=True)
class Variant:
    """The head set of one candidate, with its weight in a vote where the method has one."""

    heads: HeadSet
    weight: float | None = None


@dataclass(frozen=True)
class Decoded:
    """One candidate's answer, and what it was decoded from."""

    variant: Variant
    request: Request
    generation: Generation

    def answer(self, question: Question) -> Answer:
        """What a scorer is given of it."""
        return Answer(self.request.prompt, self.generation.tokens, question.text, self.generation.text)

    def candidate(self, score: float | None) -> Candidate:
        """What lm-eval is given of it."""
        return Candidate(
            self.generation.text,
            CandidateFacts(
                heads=str(self.variant.heads),
                tokens=len(self.generation.tokens),
                truncated=self.generation.finish_reason == "length",
                weight=self.variant.weight,
                logprob=self.generation.logprob,
                score=score,
            ),
        )


def check_pool_size(method: str, pool: HeadPool, questions: Sequence[Question]) -> None:
    """Refuse more candidates than the pool has entries."""
    wanted = max((question.n for question in questions), default=0)
    if wanted > len(pool):
        raise ArgumentError(
            f"{method}: the task asks for N = {wanted} candidates and the pool has {len(pool)} head sets; "
            f"lower it with --metadata n={len(pool)} or widen the pool"
        )
