"""Typed access to JSON that others wrote: the right type, ``None``, or an error that names the field.

Credentials in it are masked.
"""

from __future__ import annotations

import math
import re
from typing import Any

from sprint_eval.errors import DataError

_SECRET = re.compile(r"key|token|secret|password|auth", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"\b(bearer|authorization)\b|\b(hf|sk)[_-]\w{16,}", re.IGNORECASE)
_USER_INFO = re.compile(r"//[^/@\s]+@")
# Parts of a name that speak of a tokenizer's tokens: they alone make no credential of it.
_OF_TEXT = re.compile(
    r"tokeni[sz](?:er|ed|ation|e)"
    r"|(?<![a-z])(?:bos|eos|pad|unk|sep|cls|mask|prefix|start|end|stop|image)_token(?:_ids?)?(?![a-z])"
    r"|(?<![a-z])(?:max|min|num|new|completion|prompt|special|suppress|batched|draft)_tokens(?![a-z])",
    re.IGNORECASE,
)


def clean(text: str) -> str:
    """The text without what UTF-8 cannot carry (lone surrogates) and without NUL."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")


def describe(value: object) -> str:
    """A value's type and start, for a message."""
    shown = repr(value)
    return f"{type(value).__name__} {shown[:40]}{'…' if len(shown) > 40 else ''}"


def masked(name: str, value: str) -> str:
    """The value, unless its name or its look is a credential's; a user and password in an address go, too."""
    if _SECRET.search(_OF_TEXT.sub("", name)) or _SECRET_VALUE.search(value):
        return "***"
    return _USER_INFO.sub("//***@", value)


def number(value: object, name: str) -> float:
    """A finite number, no boolean.

    Raises:
        DataError: names the field and what it holds.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise DataError(f"{name} is not a number: {describe(value)}")
    try:
        result = float(value)
    except OverflowError:
        raise DataError(f"{name} is out of range") from None
    if not math.isfinite(result):
        raise DataError(f"{name} is not finite: {value}")
    return result


def number_or_none(value: object, name: str) -> float | None:
    """A finite number, or ``None`` for null."""
    return None if value is None else number(value, name)


def count_or_none(value: object, name: str) -> int | None:
    """A whole number of at least 0, or ``None`` for null."""
    result = number_or_none(value, name)
    if result is None:
        return None
    if result < 0 or result != int(result):
        raise DataError(f"{name} is not a count: {describe(value)}")
    return int(result)


def text_or_none(value: object, name: str) -> str | None:
    """A string, or ``None`` for null."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise DataError(f"{name} is not a text: {describe(value)}")
    return clean(value)


def mapping(value: object, name: str) -> dict[str, Any]:
    """A JSON object; null counts as empty."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise DataError(f"{name} is not an object: {describe(value)}")
    return value


def items(value: object, name: str) -> list[Any]:
    """A JSON array; null counts as empty."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise DataError(f"{name} is not a list: {describe(value)}")
    return value
