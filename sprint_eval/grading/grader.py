"""Grading: the extracted answer against gold by exact text, then as numbers, then by math-verify."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Sequence

from sprint_eval.grading.extract import extract_answer
from sprint_eval.grading.number import canonical_number, numbers_equal, parse_number
from sprint_eval.grading.pool import CPU_SECONDS, MEMORY_BYTES, ComparePool
from sprint_eval.grading.text import comparable, undress
from sprint_eval.grading.verdict import How, Status, Verdict

MAX_SYMBOLIC = 1_000  # characters of an expression that is still parsed
_SHOWN = 200  # characters of a longer one that a verdict keeps
_MATH_SIGN = re.compile(r"[\d\\^_+*/=<>|\[\](){}-]")
_CACHE_SIZE = 100_000


class Grader:
    """Grades answers; cheap comparisons here, symbolic ones in processes that can be killed.

    Verdicts depend on the pair alone: not on order, batch, number of workers or what another pair
    does to a worker. Safe from any thread and in forked processes; worker processes start when the
    first symbolic comparison needs one.

    Args:
        workers: most worker processes (default: one a usable core, at most 4).
        cpu_seconds: processor time a symbolic comparison may take before it counts as wrong.
        memory_bytes: address space it may take.
    """

    def __init__(
        self,
        workers: int | None = None,
        cpu_seconds: float = CPU_SECONDS,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self._pool = ComparePool(workers or _default_workers(), cpu_seconds, memory_bytes)
        self._known: dict[tuple[str, str], str] = {}

    def grade(self, pairs: Iterable[tuple[str, str]]) -> list[Verdict]:
        """The verdicts on ``(answer's text, gold answer)`` pairs, in their order.

        All symbolic comparisons of a call are shared out over the workers: one call with many
        pairs is faster than many calls.
        """
        verdicts: list[Verdict | None] = []
        undecided: list[tuple[int, str, tuple[str, str]]] = []
        for text, gold in pairs:
            extracted = extract_answer(text)
            decided = _decide_cheaply(extracted, gold)
            if decided is None:
                assert extracted is not None
                undecided.append((len(verdicts), extracted, (undress(gold), undress(extracted))))
            verdicts.append(decided)
        words = self._compare([pair for _, _, pair in undecided])
        for (index, extracted, _), word in zip(undecided, words, strict=True):
            verdicts[index] = _from_word(word, extracted)
        return [verdict for verdict in verdicts if verdict is not None]

    def close(self) -> None:
        """End the worker processes; they start again when needed."""
        self._pool.close()

    def _compare(self, pairs: Sequence[tuple[str, str]]) -> list[str]:
        known = self._known  # another thread may put an empty one in its place meanwhile
        new = [pair for pair in dict.fromkeys(pairs) if pair not in known]
        fresh = dict(zip(new, self._pool.compare(new), strict=True)) if new else {}
        words = [fresh[pair] if pair in fresh else known[pair] for pair in pairs]
        if len(known) + len(fresh) > _CACHE_SIZE:
            self._known = fresh
        else:
            known.update(fresh)
        return words


_default: Grader | None = None
_default_lock = threading.Lock()


def default_grader() -> Grader:
    """The grader that all tasks of this process share, with its workers and its memory of pairs."""
    global _default
    with _default_lock:
        if _default is None:
            _default = Grader()
        return _default


def canonical(extracted: str) -> str:
    """A string that equal answers share as far as is cheap to tell: for votes, not for grades.

    Numbers become exact (``0.50``, ``50\\%`` and ``\\frac12`` are all ``1/2``); other answers are
    stripped of LaTeX dressing, spaces, and the case of plain words.
    """
    number = parse_number(extracted)
    return canonical_number(number) if number is not None else comparable(extracted)


def _decide_cheaply(extracted: str | None, gold: str) -> Verdict | None:
    """The verdict where text or numbers settle it; ``None`` where only math-verify can."""
    if extracted is None:
        return Verdict(False, None, "none", "no_answer")
    if len(extracted) > MAX_SYMBOLIC or len(gold) > MAX_SYMBOLIC:
        same = extracted.strip() == gold.strip()
        shown = extracted if len(extracted) <= MAX_SYMBOLIC else extracted[:_SHOWN] + "…"
        return Verdict(True, shown, "exact", "ok") if same else Verdict(False, shown, "none", "too_long")
    if comparable(extracted) == comparable(gold) != "":
        return Verdict(True, extracted, "exact", "ok")
    gold_number, number = parse_number(gold), parse_number(extracted)
    if gold_number is not None and number is not None:
        return Verdict(numbers_equal(gold_number, number), extracted, "numeric", "ok")
    if not _MATH_SIGN.search(extracted) or not _MATH_SIGN.search(gold):
        # A bare word or letter has no other form that could be equal.
        return Verdict(False, extracted, "exact", "ok")
    return None


def _from_word(word: str, extracted: str) -> Verdict:
    if word in ("equal", "different"):
        how: How = "symbolic"
        return Verdict(word == "equal", extracted, how, "ok")
    statuses: dict[str, Status] = {"timeout": "timeout", "memory": "memory"}
    return Verdict(False, extracted, "none", statuses.get(word, "error"))


def _default_workers() -> int:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(4, usable))
