"""Answers that are numbers, read exactly: integers, decimals, fractions, percents, units, Chinese forms.

Everything is a :class:`fractions.Fraction`; digits and exponents are bounded, so no input is slow.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from sprint_eval.grading.text import undress

MAX_LENGTH = 400  # characters; longer answers are no plain number
MAX_EXPONENT = 300

_DECIMAL = r"(?:\d{1,3}(?:,\d{3})+|\d{1,3}(?: \d{3})+(?!\d)|\d+)(?:\.\d*)?|\.\d+"
_POWER_OF_TEN = r"(?:[eE]|\s*(?:\\times|\\cdot|\*|x)\s*10\s*\^\s*)\{?([-+]?\d{1,4})\}?"
_PATTERNS = {
    "fraction": re.compile(rf"\(?\s*({_DECIMAL})\s*/\s*({_DECIMAL})\s*\)?"),
    "latex": re.compile(rf"\\frac\s*\{{\s*([-+]?)\s*({_DECIMAL})\s*\}}\s*\{{\s*({_DECIMAL})\s*\}}"),
    "mixed": re.compile(r"(\d+)\s*(?:又|and)?\s*(?:\(?\s*(\d+)\s*/\s*(\d+)\s*\)?|\\frac\{(\d+)\}\{(\d+)\})"),
    "power": re.compile(rf"({_DECIMAL}){_POWER_OF_TEN}"),
    "decimal": re.compile(rf"({_DECIMAL})"),
}
_ASSIGNED = re.compile(r"[A-Za-z](?:_\{?\w+\}?)?\s*=\s*")
_ABOUT = re.compile(r"(?:≈|\\approx|\\sim|about|approximately|around|roughly|约为?|大约)\s*", re.IGNORECASE)
_CURRENCY = re.compile(r"(?:US|HK|A|C|NT)?[$€£¥]\s*|(?:USD|EUR|RMB|CNY)\s+")
_KNOWN_UNITS = "cm|mm|km|dm|kg|mg|ml|mL|cc|mph|kmh|kph|ft|in|lb|lbs|oz|min|hr|hrs|am|pm|AM|PM"
_NO_UNITS = "pi|sqrt|log|ln|sin|cos|tan|exp|mod|times|infty|choose"
# A unit starts as one (a known one, a word of two letters after a space, a letter for a unit after a
# space, Chinese text) and goes on with words; one character class, so that matching stays linear.
_UNIT = re.compile(
    rf"(?:\s*(?:{_KNOWN_UNITS})(?![A-Za-z])|\s+(?!(?:{_NO_UNITS})\b)[A-Za-z]{{2}}|\s+[mgLhs](?![A-Za-z])"
    r"|\s*[\u4e00-\u9fff])[A-Za-z\u4e00-\u9fff'\s/.-]*(?:\^\s*\{?\s*[23]\s*\}?)?\Z"
)
_SCALE = re.compile(r"(万|亿)|\s*(thousand|million|billion|trillion)(?![A-Za-z])", re.IGNORECASE)
_SCALES = {
    **{"万": 10**4, "亿": 10**8},
    **{"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12},
}


@dataclass(frozen=True)
class Number:
    """A number that an answer states.

    Attributes:
        value: what it is worth, exactly; of ``80%`` that is 4/5.
        written: the same before its percent sign or scale (million, 万, 亿) is applied, ``None``
            without one. Gold answers give both readings, so a comparison accepts either.
        decimals: digits after the point where it is written as a decimal, else ``None``.
        significant: significant digits where it is written as a decimal, else ``None``.
    """

    value: Fraction
    written: Fraction | None = None
    decimals: int | None = None
    significant: int | None = None


def parse_number(answer: str) -> Number | None:
    """The number that ``answer`` states as a whole, with or without a unit, or ``None``."""
    if len(answer) > MAX_LENGTH or not any(sign.isdigit() for sign in answer):
        return None
    text = undress(answer)
    text = _ASSIGNED.sub("", text, count=1) if _ASSIGNED.match(text) else text
    text = _ABOUT.sub("", text, count=1) if _ABOUT.match(text) else text
    text, negative = _take_sign(text)
    text = _CURRENCY.sub("", text, count=1) if _CURRENCY.match(text) else text
    if not negative:
        text, negative = _take_sign(text)
    percent = text.startswith("百分之")
    text = text.removeprefix("百分之")
    if text.startswith("(") and "," in text:
        return None  # a pair or an interval: what groups digits elsewhere parts numbers here
    for kind in _PATTERNS:
        match = _PATTERNS[kind].match(text)
        if match is None:
            continue
        rest = _Rest.read(text[match.end() :])
        if rest is None:
            continue
        found = _value(kind, match)
        if found is not None:
            scale = Fraction(1, 100) if percent or rest.percent else Fraction(rest.scale)
            as_decimal = match.group(0) if kind == "decimal" else None
            return _number(-found if negative else found, scale, as_decimal)
    return _parenthesised(text, negative)


def numbers_equal(gold: Number, answer: Number) -> bool:
    """Whether two numbers are the same answer.

    Exactly equal values are. Where one side alone has a percent sign (or a scale), its number as
    written counts too. Where gold is a long decimal (five decimals and more: a fraction that was
    rounded), the answer may differ by 1e-4 of it, or be gold correctly rounded to its own decimals,
    given three significant digits.
    """
    if _close(gold, gold.value, answer, answer.value):
        return True
    if (gold.written is None) == (answer.written is None):
        return False
    if gold.written is not None:
        return _close(gold, gold.written, answer, answer.value)
    return answer.written is not None and _close(gold, gold.value, answer, answer.written)


def canonical_number(number: Number) -> str:
    """A string that equal numbers share: ``"24"``, ``"-3/8"``, and decimals to 12 places."""
    value = number.value
    if value.denominator.bit_length() > 40 and number.decimals is not None:
        value = round(value, 12)
    return str(value)


def _close(gold: Number, gold_value: Fraction, answer: Number, answer_value: Fraction) -> bool:
    if gold_value == answer_value:
        return True
    if gold.decimals is None or gold.decimals < 5:
        return False
    if abs(gold_value - answer_value) * 10**4 <= abs(gold_value):
        return True
    if answer.decimals is None or answer.significant is None or answer.significant < 3:
        return False
    # An answer in percent states two more decimals of its value than it writes.
    decimals = answer.decimals + (2 if answer.written is not None and answer_value != answer.written else 0)
    return bool(abs(gold_value - answer_value) * 2 * 10**decimals <= 1)


def _take_sign(text: str) -> tuple[str, bool]:
    if text[:1] in "+-" and text:
        return text[1:].lstrip(), text[0] == "-"
    return text, False


@dataclass(frozen=True)
class _Rest:
    """What follows a number: a percent sign, a scale word, a unit."""

    percent: bool = False
    scale: int = 1

    @classmethod
    def read(cls, text: str) -> _Rest | None:
        """``None`` where the text is something other than percent, scale and unit."""
        rest = text.rstrip()
        if not rest:
            return cls()
        percent = rest.lstrip().startswith("%")
        scale = _SCALE.match(rest)
        if percent:
            rest = rest.lstrip()[1:]
        elif scale:
            rest = rest[scale.end() :]
        if rest and not _UNIT.match(rest):
            return None
        return cls(percent, _SCALES[scale.group().strip().lower()] if scale and not percent else 1)


def _value(kind: str, match: re.Match[str]) -> Fraction | None:
    groups = match.groups()
    if kind == "decimal":
        return _decimal(groups[0])
    if kind == "power":
        exponent = int(groups[1])
        return _decimal(groups[0]) * Fraction(10) ** exponent if abs(exponent) <= MAX_EXPONENT else None
    if kind == "mixed":
        whole, top, bottom = groups[0], groups[1] or groups[3], groups[2] or groups[4]
        return Fraction(int(whole)) + Fraction(int(top), int(bottom)) if int(bottom) else None
    sign, top, bottom = groups if kind == "latex" else ("", *groups)
    below = _decimal(bottom)
    if below == 0:
        return None
    return _decimal(top) / below * (-1 if sign == "-" else 1)


def _decimal(text: str) -> Fraction:
    digits = text.replace(",", "").replace(" ", "")
    whole, _, part = digits.partition(".")
    return Fraction(int(whole or "0")) + (Fraction(int(part), 10 ** len(part)) if part else 0)


def _number(value: Fraction, scale: Fraction, decimal_text: str | None) -> Number:
    written = value if scale != 1 else None
    if decimal_text is None:
        return Number(value * scale, written)
    digits = decimal_text.replace(",", "").replace(" ", "")
    decimals = len(digits.partition(".")[2])
    return Number(value * scale, written, decimals, len(digits.replace(".", "").lstrip("0")))


def _parenthesised(text: str, negative: bool) -> Number | None:
    if not (text.startswith("(") and text.endswith(")")) or "(" in text[1:]:
        return None
    inner = parse_number(text[1:-1])
    if inner is None or not negative:
        return inner
    written = None if inner.written is None else -inner.written
    return Number(-inner.value, written, inner.decimals, inner.significant)
