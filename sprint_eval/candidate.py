"""A candidate: one answer of N, a string that remembers how it was made.

lm-eval passes answers as plain strings from a model to a task. A :class:`Candidate` is such a
string, so that every filter and stock task sees text, and our tasks can read what stands beside
it. Models that return plain strings (``hf``, ``vllm``) work too: their facts are empty.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CandidateFacts:
    """What is known of one candidate; ``None`` where the model did not say.

    Attributes:
        heads: text form of the head set pruned (``"base"`` for none).
        tokens: generated tokens, up to and with the stop.
        truncated: whether the token limit ended the answer.
        weight: non-negative weight for voting (a router's probability that the answer is right).
        logprob: mean log-probability of the answer's tokens under the model that decoded it.
        score: what a scorer that sees no gold gave it, the higher the better: ``best@k`` chooses by it.
    """

    heads: str | None = None
    tokens: int | None = None
    truncated: bool | None = None
    weight: float | None = None
    logprob: float | None = None
    score: float | None = None


class Candidate(str):
    """An answer's text with its :class:`CandidateFacts`."""

    facts: CandidateFacts

    def __new__(cls, text: str, facts: CandidateFacts = CandidateFacts()) -> Candidate:
        candidate = super().__new__(cls, text)
        candidate.facts = facts
        return candidate

    def __getnewargs__(self) -> tuple[str, CandidateFacts]:  # type: ignore[override]
        return str(self), self.facts


def facts_of(text: str) -> CandidateFacts:
    """The facts of a candidate, empty for a plain string."""
    return text.facts if isinstance(text, Candidate) else CandidateFacts()
