"""Where in a model's text its final answer stands.

In this order: the last complete ``\\boxed{…}``; what follows the last ``####``; what follows the last
"the answer is", 答案 or 答; the last number. Every step is linear in the text, of which the last
100,000 characters count.
"""

from __future__ import annotations

import re

from sprint_eval.grading.number import parse_number
from sprint_eval.grading.text import plain_signs, undress

MAX_TEXT = 100_000
_NUMBER_TAIL = 5_000  # characters from the end in which the last number is looked for
_SEGMENT = 400  # characters after a phrase in which the answer may stand

_BOX_OR_BRACE = re.compile(r"\\(?:boxed|fbox)\s*\{|\\.|[{}]", re.DOTALL)
_EMPTY_BOX = re.compile(r"\\(?:boxed|fbox) ?\{ ?\}")
_BARE_BOX = re.compile(r"\\boxed\s+([^\s{}$\\]{1,40})")
_PHRASE = re.compile(
    r"\b(?:answer|result|solution)\s*(?:is|are|was|would be|will be|equals|=|:)"
    r"|答案?\s*(?:应该?)?[是为：:]+|####",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"\n|[。；！？]|[.!?](?=\s|\Z|\*)")
_MATH = re.compile(r"\\\((.+?)\\\)|\\\[(.+?)\\\]|\$\$?([^$\n]{1,300}?)\$\$?", re.DOTALL)
_PROSE = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}\s+[A-Za-z]{2,}")
_ARITHMETIC = re.compile(r"[\d\s.,+*/()-]*\d[\d\s.,+*/()-]*")
_LATEX = re.compile(r"[\\^{}\[\]√]|\(.*,.*\)")
_FIRST = r"(?<![A-Za-z0-9_.])"  # not inside a word or a number
_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+"
_NUMBER = re.compile(
    r"(?:(?<![\w)\]}])[-+])?\s?(?:US)?\$?(?:\\[dt]?frac\{-?\d+\}\{\d+\}"
    rf"|{_FIRST}(?:\d+ \d+/\d+|\d+又\d+/\d+|(?:{_DIGITS})(?:\s?/\s?\d+)?)(?:\s?\\?%)?)"
)


def extract_answer(text: str) -> str | None:
    """The final answer that ``text`` states, as written there, or ``None`` where there is none."""
    tail = _EMPTY_BOX.sub(" ", plain_signs(str(text)[-MAX_TEXT:]))
    for find in (_boxed, _after_phrase, _last_number):
        answer = find(tail)
        if answer is not None and undress(answer):
            return answer.strip()
    return None


def _boxed(text: str) -> str | None:
    """What stands in the last complete box; a box that is never closed was cut off and does not count."""
    open_braces: list[int | None] = []  # the start of a box's content, or None for another brace
    last: str | None = None
    for token in _BOX_OR_BRACE.finditer(text):
        sign = token.group()
        if sign == "{":
            open_braces.append(None)
        elif sign == "}":
            start = open_braces.pop() if open_braces else None
            content = text[start : token.start()] if start is not None else ""
            if content.strip():
                last = content
        elif sign[-1] == "{" and len(sign) > 2:
            open_braces.append(token.end())
    if last is None and (bare := list(_BARE_BOX.finditer(text))):
        return bare[-1].group(1)
    return last


def _after_phrase(text: str) -> str | None:
    """What follows the last phrase that announces the answer."""
    for phrase in reversed(list(_PHRASE.finditer(text))):
        # After a phrase the answer may stand on the next line; after the mark it never does.
        blank = " \t:*" if phrase.group() == "####" else " \t:：*\n"
        segment = text[phrase.end() : phrase.end() + _SEGMENT].lstrip(blank)
        end = _SENTENCE_END.search(segment)
        segment = segment[: end.start()] if end else segment
        answer = _from_sentence(segment, last=phrase.group()[0] == "答" and "案" not in phrase.group())
        if answer:
            return answer
    return None


def _from_sentence(sentence: str, last: bool) -> str | None:
    """The answer in a sentence that was announced; ``last`` takes its last number, not its first."""
    for match in _MATH.finditer(sentence):
        content = next(group for group in match.groups() if group is not None)
        if content.strip() and not _PROSE.search(content):
            return _right_side(content)
    sentence = _right_side(sentence).strip(" *")
    if parse_number(sentence) is not None or _ARITHMETIC.fullmatch(sentence):
        return sentence
    if _LATEX.search(sentence) and not _PROSE.search(sentence):
        return sentence
    numbers = [match.group() for match in _NUMBER.finditer(sentence)]
    if numbers:
        return numbers[-1 if last else 0].strip()
    return sentence[:100] or None


def _right_side(expression: str) -> str:
    """The last side of an equation whose sides say one number, else the expression as it is."""
    if "=" not in expression:
        return expression
    side = expression.rpartition("=")[2]
    return side if side.strip() else expression


def _last_number(text: str) -> str | None:
    numbers = list(_NUMBER.finditer(text[-_NUMBER_TAIL:]))
    return numbers[-1].group().strip() if numbers else None
