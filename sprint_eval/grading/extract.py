"""Where in a model's text its final answer stands.

In this order: the last complete ``\\boxed{…}``; what follows the last "the answer is", ``####``, 答案 or 答
that announces an answer and not its working; the last number. Every step is linear in the text, of which
the last 100,000 characters count.
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
    r"|[解回]?答案?\s*(?:应该?)?[是为：:]+|####",
    re.IGNORECASE,
)
_TO_LAST_DIGIT = re.compile(r".*\d", re.DOTALL)
# These stand above a whole solution as often as before its answer.
_HEADING = re.compile(r"(?:result|solution)\s*:|[解回]答\s*:+", re.IGNORECASE)
_BULLET = re.compile(r"[-+]\s+")
_FIRST_STEP = re.compile(r"1\.\s")  # of a numbered list
# "60 since 2 hours = 120 minutes", "15 when x = 3": the equation behind these is not the answer.
_REASON = re.compile(
    r"[\s,;(]+(?:(?:because|since)\b|(?:when|where|if|for|given|with|at)\s+(?:\$|\\\()?\s*[A-Za-z]\s*=)"
    r"|[\s,;(]*(?:因为|由于)",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"\n|[。；！？]|[.!?](?=\s|\Z|\*)")
# A dollar before a digit closes nothing: "$5 + $7" is money.
_MATH = re.compile(r"\\\((.+?)\\\)|\\\[(.+?)\\\]|\$\$?([^$\n]{1,300}?)\$\$?(?!\.?\d)", re.DOTALL)
_PROSE = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}\s+[A-Za-z]{2,}")
_WORDS = re.compile(rf"{_PROSE.pattern}|[\u4e00-\u9fff]{{2}}")
_ARITHMETIC = re.compile(r"[\d\s.,+*/()-]*\d[\d\s.,+*/()-]*")
_LATEX = re.compile(r"[\\^{}\[\]√]|\(.*,.*\)")
_FIRST = r"(?<![A-Za-z0-9_.])"  # not inside a word or a number
_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+"
# A sign touches its number or its currency, as a dash or a bullet does not; only here it may stand apart.
_SIGN = r"(?<=[=($])[-+]\s|(?<=[=(]\s)[-+]\s|(?<![\w)\]}])[-+]"
_NUMBER = re.compile(
    rf"(?:{_SIGN})?"
    r"(?:US)?\$?(?:\\[dt]?frac\{-?\d+\}\{\d+\}"
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
    digits = _TO_LAST_DIGIT.match(text)
    last_digit = digits.end() if digits else 0
    for phrase in reversed(list(_PHRASE.finditer(text))):
        words = phrase.group()
        # After a phrase the answer may stand on the next line; after the mark it never does.
        blank = " \t:*" if words == "####" else " \t:：*\n"
        after = text[phrase.end() : phrase.end() + _SEGMENT]
        segment = after.lstrip(blank)
        bullet = _BULLET.match(segment) if "\n" in after[: len(after) - len(segment)] else None
        segment = segment[bullet.end() :] if bullet else segment
        end = _SENTENCE_END.search(segment)
        sentence = segment[: end.start()] if end else segment
        answer = _from_sentence(sentence, last="答" in words and "案" not in words)
        more = phrase.end() + len(after) - len(segment) + len(sentence) < last_digit
        works = _is_working(segment, sentence) if _HEADING.fullmatch(words) else _is_talk(answer or "")
        if answer and not (more and works):
            return answer
    return None


def _is_working(segment: str, sentence: str) -> bool:
    """Whether what a heading stands above is more than a number with its unit or a formula without ``=``."""
    bare = sentence.strip(" *")
    number = len(bare.split()) <= 2 and parse_number(bare) is not None and not _FIRST_STEP.match(segment)
    return "=" in bare or not (number or _MATH.fullmatch(bare))


def _is_talk(answer: str) -> bool:
    """Whether an answer is several words, without a number or an expression."""
    stated = _LATEX.search(answer) or any(sign.isdigit() for sign in answer)
    return not stated and _WORDS.search(answer) is not None


def _from_sentence(sentence: str, last: bool) -> str | None:
    """The answer in a sentence that was announced; ``last`` takes its last number, not its first."""
    reason = _REASON.search(sentence)
    if reason and parse_number(sentence[: reason.start()]) is not None:
        sentence = sentence[: reason.start()]
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
    """What stands behind the last ``=``, else the expression as it is."""
    if "=" not in expression:
        return expression
    side = expression.rpartition("=")[2]
    return side if side.strip() else expression


def _last_number(text: str) -> str | None:
    numbers = list(_NUMBER.finditer(text[-_NUMBER_TAIL:]))
    return numbers[-1].group().strip() if numbers else None
