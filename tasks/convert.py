"""Rows of each data set as documents with ``question``, ``answer``, ``subject`` and ``question_key``.

A document keeps its solution or equation too: targets for fine-tuning are worked out from them.
Nothing on the answering side reads more than the question.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sprint_eval.grading import extract_answer
from sprint_eval.questions import masked_question_hash
from sprint_eval.tasks.documents import Doc

_ARITHMETIC = re.compile(r"[\d\s.,+*/()-]+=\s*[\d.,]+\Z")
_OPERATIONS = {"+": "Addition", "-": "Subtraction", "*": "Multiplication", "/": "Division", "^": "Power"}
_MANY_STEPS = 7


class RowError(Exception):
    """A row without the fields that its data set has; the caller says which file and line."""


def gsm8k(row: Mapping[str, Any]) -> Doc | None:
    """GSM8K: the number after ``####`` is gold; subjects are the numbers of solution steps."""
    solution, mark, gold = _text(row, "answer").rpartition("####")
    steps = sum(1 for line in solution.splitlines() if line.strip())
    subject = f"{min(steps, _MANY_STEPS)}{'+' if steps >= _MANY_STEPS else ''} steps"
    if not mark:
        subject = "steps unknown"
    elif steps == 1:
        subject = "1 step"
    return _doc(_text(row, "question"), gold, subject, solution=solution.strip())


def math(row: Mapping[str, Any]) -> Doc | None:
    """MATH, of MATH-500's fields or of the older version's (``type``, answer in the solution's box)."""
    solution = _text(row, "solution")
    gold = _gold(row, "answer") if row.get("answer") is not None else extract_answer(solution) or ""
    subject = row.get("subject") or row.get("type")
    if not isinstance(subject, str):
        raise RowError(f"no field 'subject' (found: {', '.join(row)})")
    digits = re.findall(r"\d", str(row.get("level", "")))
    level = int(digits[0]) if digits else 0
    return _doc(_text(row, "problem"), gold, subject, solution=solution, level=level)


def math23k(row: Mapping[str, Any]) -> Doc | None:
    """Math23k, of the published fields or of the hub's (``original_text``, ``target_template``)."""
    question = _text(row, "question" if "question" in row else "original_text")
    equation = _equation(row, "equation", "target_template")
    gold = _gold(row, "answer" if "answer" in row else "ans")
    return _doc(question, gold, operation(equation), equation=equation, numbers=_numbers(row))


def asdiv(row: Mapping[str, Any]) -> Doc:
    """ASDiv-A, of the published fields or of the hub's (``body``, ``formula``, ``9 (apples)``)."""
    question = f"{_text(row, 'body')} {_text(row, 'question')}" if "body" in row else _text(row, "question")
    equation = _equation(row, "equation", "formula").partition("=")[0].strip()
    gold = re.sub(r"\s*\(.*\)\s*\Z", "", _gold(row, "answer"))
    doc = _doc(question, gold, operation(equation), equation=equation, numbers=_numbers(row))
    if doc is None:
        raise RowError("empty question or answer")
    return doc


def is_arithmetic(row: Mapping[str, Any]) -> bool:
    """Whether a row of the hub's ASDiv has one number for an answer and plain arithmetic for a formula."""
    answer = re.fullmatch(r"\d[\d,.]*\s*(?:\([^()]*\)\s*)?", str(row.get("answer", "")))
    return bool(answer) and bool(_ARITHMETIC.match(str(row.get("formula", "")).strip()))


def operation(equation: str) -> str:
    """The kind of a word problem: its one operation, or ``Mixed``."""
    expression = equation.replace("**", "^").replace("×", "*").replace("÷", "/")
    expression = re.sub(r"^\s*x\s*=", "", expression)
    found = set(re.findall(r"[-+*/^]", expression))
    if not found:
        return "No operation"
    return _OPERATIONS[found.pop()] if len(found) == 1 else "Mixed"


def _equation(row: Mapping[str, Any], *names: str) -> str:
    for name in names:
        if row.get(name) is not None:
            value = row[name]
            return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    raise RowError(f"no field '{names[0]}' (found: {', '.join(row)})")


def _numbers(row: Mapping[str, Any]) -> list[str]:
    values = row.get("numbers") or []
    return [str(value) for value in values] if isinstance(values, (list, tuple)) else str(values).split()


def _gold(row: Mapping[str, Any], name: str) -> str:
    """An answer, text or number; anything else has a text form that no answer could equal."""
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise RowError(f"no text or number in field '{name}' (found: {', '.join(row)})")
    return str(value)


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise RowError(f"no text in field '{name}' (found: {', '.join(row)})")
    return value


def _doc(question: str, answer: str, subject: str, **more: Any) -> Doc | None:
    """``None`` for a question or answer that is blank: nothing could be graded against it."""
    question, answer = question.strip(), answer.strip()
    if not question or not answer:
        return None
    key = masked_question_hash(question)
    return {"question": question, "answer": answer, "subject": subject, "question_key": key, **more}
