"""Pass@k and majority voting over one question's candidates.

Pure functions of 0/1 outcomes, shared by the tasks (which report them through lm-eval) and the
leaderboards (which compute them again from samples); no torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from sprint_eval.errors import ArgumentError


def pass_at_k(correct: Sequence[bool], k: int) -> float:
    """1.0 if any of the first ``k`` candidates is right, else 0.0: the oracle, where rank matters."""
    _check_k(k, len(correct))
    return float(any(correct[:k]))


def pass_at_k_unbiased(n: int, c: int, k: int) -> float:
    """``1 - C(n-c, k) / C(n, k)``: the chance that ``k`` of ``n`` exchangeable candidates hold a right one.

    Chen et al. 2021 (arXiv 2107.03374). ``c`` of the ``n`` candidates are right.
    """
    _check_k(k, n)
    if not 0 <= c <= n:
        raise ArgumentError(f"{c} right candidates of {n}: expected 0 to {n}")
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def majority_vote(answers: Sequence[str | None], weights: Sequence[float | None] | None = None) -> int | None:
    """Index of the first candidate that gives the winning answer; ``None`` where no answer was extracted.

    Candidates without an answer do not vote. A missing weight counts as 1. Ties go to the answer
    that was given first, so that a ranked list keeps its order.

    Args:
        answers: each candidate's extracted answer, in a form where equal answers are equal strings.
        weights: each candidate's non-negative weight, for a weighted vote.
    """
    totals: dict[str, float] = {}
    first: dict[str, int] = {}
    for index, answer in enumerate(answers):
        if answer is None:
            continue
        weight = weights[index] if weights is not None else None
        totals[answer] = totals.get(answer, 0.0) + (1.0 if weight is None else float(weight))
        first.setdefault(answer, index)
    if not totals:
        return None
    winner = max(totals, key=lambda answer: (totals[answer], -first[answer]))
    return first[winner]


def best_scored(scores: Sequence[float | None]) -> int | None:
    """Index of the candidate with the highest score, the first of equals; ``None`` where one is missing.

    Args:
        scores: each candidate's, from a scorer that sees no gold.
    """
    known = [score for score in scores if score is not None]
    if not known or len(known) < len(scores):
        return None
    return max(range(len(known)), key=lambda index: (known[index], -index))


def _check_k(k: int, n: int) -> None:
    if not 1 <= k <= n:
        raise ArgumentError(f"k = {k} of {n} candidates: k must be 1 to {n}")
