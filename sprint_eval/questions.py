"""What makes two questions the same: exactly, and once numbers are masked.

Data sets of word problems repeat a problem with other numbers; a router or a student that saw
one has seen the other. Every guard of train against test uses these two hashes.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Container, Iterable

from sprint_eval.errors import MismatchError

# Runs of digits with their separators, fractions and percents: "1,200", "3/8", "(3/8)", "80%", "2.5".
_NUMBER = re.compile(r"\(?\d[\d,./]*(?<=\d)\)?\s*%?")
_NOT_WORD = re.compile(r"[^\w#]+")


def normalize_question(text: str) -> str:
    """The question as it is compared: NFKC, lower case, single spaces; signs stay (3+4 is not 3*4)."""
    return " ".join(unicodedata.normalize("NFKC", text).lower().split())


def mask_numbers(text: str) -> str:
    """The question as it is compared once every number reads ``#``: words only, no punctuation."""
    words = _NUMBER.sub(" # ", normalize_question(text))
    return " ".join(_NOT_WORD.sub(" ", words).split())


def question_hash(text: str) -> str:
    """16 hexadecimal digits that name a question, whatever its case and spacing."""
    return _digest(normalize_question(text) or text)


def masked_question_hash(text: str) -> str:
    """16 hexadecimal digits that name a question up to its numbers."""
    return _digest(mask_numbers(text) or text)


_ALLOW = "test on others, or allow it with allow_trained_questions=True and have the result marked"


def count_known(
    asked: Iterable[str], known: Container[str], where: str, *, allow: bool, instead: str = _ALLOW
) -> int:
    """How many of the questions asked, told by their keys, are known.

    Args:
        where: what they are known from, for the message: "in the router's training".
        allow: count them instead of refusing.
        instead: what there is to do, for the message.

    Raises:
        MismatchError: at least one is known, and ``allow`` is false.
    """
    keys = list(asked)
    found = sum(key in known for key in keys)
    if found and not allow:
        raise MismatchError(
            f"{found} of {len(keys)} questions were {where} (as they are, or with other numbers); {instead}"
        )
    return found


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
