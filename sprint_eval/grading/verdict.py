"""What grading says about one answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# Raised whenever any answer could get another verdict or another extracted text than before.
GRADER_VERSION = "3"

How = Literal["exact", "numeric", "symbolic", "none"]
Status = Literal["ok", "no_answer", "too_long", "timeout", "memory", "error"]


@dataclass(frozen=True)
class Verdict:
    """The grade of one answer.

    Attributes:
        correct: whether the answer is equal to the gold answer.
        extracted: the final answer found in the text, ``None`` where there is none.
        how: the comparison that decided: equal (or plainly different) texts, numbers, math-verify
            on the parsed expressions, or none because no comparison came to an end.
        status: ``ok``; ``no_answer`` (nothing to extract); ``too_long`` (the extracted expression
            is longer than a symbolic comparison takes); ``timeout`` and ``memory`` (the comparison
            was stopped at its limit); ``error`` (it crashed). All but ``ok`` count as wrong.
    """

    correct: bool
    extracted: str | None
    how: How
    status: Status
