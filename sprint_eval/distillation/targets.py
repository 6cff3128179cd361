"""What a student is taught to write: a question's solution, step by step.

Word problems come with an equation over the numbers of the question, ``( n0 + n1 ) + n2``; its
operations are worked out in order: ``10 + 15 = 25. 25 + 20 = 45. The answer is 45.``
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal, get_args

from sprint_eval.errors import ArgumentError, DataError
from sprint_eval.grading.number import numbers_equal, parse_number

Style = Literal["steps", "expression", "answer"]
"""``steps`` works each operation out, ``expression`` writes it whole, ``answer`` states the answer alone."""

_TOKEN = re.compile(r"\s*(n\d+|x\d+(?:_\d+)?|\d+(?:\.\d+)?|\*\*|[-+*/^()])")
_NUMBER = re.compile(r"(?:(\d+)\((\d+)/(\d+)\)|\((\d+)/(\d+)\)|(\d+)/(\d+)|(\d+(?:\.\d+)?))(%?)")
_PRIORITY = {"+": 1, "-": 1, "*": 2, "/": 2, "^": 3}
_BLANK_LINES = re.compile(r"\n\s*\n")
_MAX_EXPONENT = 16
_MAX_DECIMALS = 8


@dataclass(frozen=True)
class _Value:
    """A number and how it is written."""

    number: Fraction
    text: str


@dataclass
class _Worked:
    """The reading of one equation: what is left of it and the steps written so far."""

    tokens: list[str]
    values: Sequence[_Value]
    steps: list[str] = field(default_factory=list)
    position: int = 0

    def peek(self) -> str | None:
        return self.tokens[self.position] if self.position < len(self.tokens) else None

    def take(self) -> str:
        token = self.peek()
        if token is None:
            raise DataError("the equation ends too early")
        self.position += 1
        return token


def target_text(doc: Mapping[str, Any], style: Style = "steps") -> str:
    """The answer that a document's question is to be taught with.

    With an equation: its steps. With a written solution (GSM8K, MATH): the solution. With neither:
    the answer alone. Each ends by ``The answer is …``, which every task's grader reads.

    Raises:
        DataError: the document has no answer, or its equation cannot be read or does not give it.
        ArgumentError: an unknown style.
    """
    if style not in get_args(Style):
        raise ArgumentError(f"targets '{style}': expected {', '.join(get_args(Style))}")
    if doc.get("answer") is None:
        raise DataError("the document has no 'answer'")
    answer = str(doc["answer"])
    equation, solution = doc.get("equation"), doc.get("solution")
    if style == "answer" or not (equation or solution):
        return f"The answer is {answer}."
    if not equation:
        # The tasks' worked examples end at a blank line: a solution with one would be cut off there.
        written = _BLANK_LINES.sub("\n", str(solution).strip())
        return f"{written}\nThe answer is {answer}."
    values = [read_number(text) for text in doc.get("numbers") or []]
    steps, result = work_out(str(equation), values)
    final = _final_answer(result, answer, str(equation))
    if style == "expression":
        steps = [f"{_spelled(str(equation), values)} = {write_number(result)}"]
    return " ".join(f"{step}." for step in [*steps, f"The answer is {final}"])


def work_out(equation: str, values: Sequence[_Value]) -> tuple[list[str], Fraction]:
    """The operations of an infix equation over ``n0, n1, …``, in the order they are done.

    ``x1`` and ``x3_1416`` are the constants 1 and 3.1416.

    Returns:
        Steps such as ``"10 + 15 = 25"``, and the result.

    Raises:
        DataError: the equation cannot be read or has no value.
    """
    worked = _Worked(_tokens(equation), values)
    result = _expression(worked, 1)
    if worked.peek() is not None:
        raise DataError(f"cannot read {worked.peek()!r} in the equation {equation!r}")
    return worked.steps, result.number


def read_number(text: str) -> _Value:
    """A number as word problems write it: ``12``, ``0.5``, ``(3/8)``, ``1(1/2)``, ``30%``.

    Raises:
        DataError: it is none of these.
    """
    match = _NUMBER.fullmatch(str(text).strip())
    if match is None:
        raise DataError(f"cannot read the number {text!r}")
    whole, top, bottom, top2, bottom2, top3, bottom3, plain, percent = match.groups()
    if int(bottom or bottom2 or bottom3 or 1) == 0:
        raise DataError(f"the number {text!r} divides by zero")
    if plain:
        number = Fraction(plain)
    elif whole:
        number = int(whole) + Fraction(int(top), int(bottom))
    else:
        number = Fraction(int(top2 or top3), int(bottom2 or bottom3))
    shown = str(text).strip()
    return _Value(number / 100 if percent else number, shown)


def write_number(number: Fraction) -> str:
    """A whole number or finite decimal as such, anything else as a fraction: ``25``, ``0.125``, ``1/3``."""
    if number.denominator == 1:
        return str(number.numerator)
    scaled = number * 10**_MAX_DECIMALS
    if scaled.denominator == 1:
        sign = "-" if number < 0 else ""
        digits = str(abs(scaled.numerator)).rjust(_MAX_DECIMALS + 1, "0")
        return f"{sign}{digits[:-_MAX_DECIMALS]}.{digits[-_MAX_DECIMALS:]}".rstrip("0")
    return f"{number.numerator}/{number.denominator}"


def _tokens(equation: str) -> list[str]:
    text, tokens, position = equation.strip(), [], 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise DataError(f"cannot read {text[position : position + 12]!r} in the equation {equation!r}")
        tokens.append("^" if match[1] == "**" else match[1])
        position = match.end()
    return tokens


def _expression(worked: _Worked, priority: int) -> _Value:
    """Everything from here that binds at least as tightly as ``priority``."""
    left = _operand(worked)
    while (sign := worked.peek()) is not None and _PRIORITY.get(sign, 0) >= priority:
        worked.take()
        # Powers bind to the right, everything else to the left.
        right = _expression(worked, _PRIORITY[sign] + (sign != "^"))
        left = _step(worked, left, sign, right)
    return left


def _operand(worked: _Worked) -> _Value:
    token = worked.take()
    if token == "(":
        value = _expression(worked, 1)
        if worked.take() != ")":
            raise DataError("a bracket of the equation is not closed")
        return value
    if token == "-":
        value = _expression(worked, 3)
        return _Value(-value.number, write_number(-value.number))
    if token[0] == "n":
        index = int(token[1:])
        if index >= len(worked.values):
            raise DataError(f"the equation names {token} and there are {len(worked.values)} numbers")
        return worked.values[index]
    if token[0] == "x":
        token = token[1:].replace("_", ".")
    if not token[0].isdigit():
        raise DataError(f"the equation has {token!r} where a number belongs")
    return _Value(Fraction(token), token)


def _step(worked: _Worked, left: _Value, sign: str, right: _Value) -> _Value:
    a, b = left.number, right.number
    if sign == "/" and b == 0:
        raise DataError("the equation divides by zero")
    if sign == "^":
        if b.denominator != 1 or abs(b) > _MAX_EXPONENT or (a == 0 and b < 0):
            raise DataError(f"the equation has a power that is not worked out: {left.text} ^ {right.text}")
        result = a ** int(b)
    else:
        result = {"+": a + b, "-": a - b, "*": a * b, "/": a / b if b else a}[sign]
    text = write_number(Fraction(result))
    worked.steps.append(f"{left.text} {sign} {_operand_text(right)} = {text}")
    return _Value(Fraction(result), text)


def _operand_text(value: _Value) -> str:
    """A negative number or a plain fraction to the right of a sign needs brackets."""
    return (
        f"({value.text})"
        if value.text.startswith("-") or re.fullmatch(r"\d+/\d+", value.text)
        else value.text
    )


def _spelled(equation: str, values: Sequence[_Value]) -> str:
    """The whole equation with its numbers written in."""
    shown = [
        values[int(token[1:])].text if token[0] == "n" else token.lstrip("x").replace("_", ".")
        for token in _tokens(equation)
    ]
    return " ".join(shown).replace("( ", "(").replace(" )", ")")


def _final_answer(result: Fraction, answer: str, equation: str) -> str:
    """The result as it is taught: the data's own answer where the grader would not take ours for it."""
    written = write_number(result)
    try:
        expected = Fraction(answer.replace(",", ""))
    except (ValueError, ZeroDivisionError):
        return written  # an answer that is no plain number; the grader knows more than we do
    # Data sets round long decimals, and count with 3.14 where the equation has 3.1416.
    if abs(result - expected) > Fraction(1, 1000) * max(abs(expected), Fraction(1)):
        raise DataError(f"the equation {equation!r} gives {written}, its answer is {answer}")
    gold, ours = parse_number(answer), parse_number(written)
    return written if gold is not None and ours is not None and numbers_equal(gold, ours) else answer
