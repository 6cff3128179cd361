"""One answer of ``/completions``, checked before anything is made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sprint_eval.backends.http import shown
from sprint_eval.errors import GenerationError

# Models pad their vocabulary to rows that no token has (some by thousands), and may decode such a row.
_PADDING = 4096


@dataclass(frozen=True)
class Completion:
    """What a server says of one request.

    Attributes:
        text: the answer.
        tokens: its token ids; empty where the server gives none.
        count: number of its tokens as the server counts them; None where it does not say.
        reason: why the answer ended, in the server's words.
        model: the model that answered; None where the server does not say.
    """

    text: str
    tokens: tuple[int, ...]
    count: int | None
    reason: Any
    model: Any

    @classmethod
    def read(cls, answer: Any, where: str, vocabulary: int | None) -> Completion:
        """Read a server's JSON.

        Args:
            where: the server, for errors.
            vocabulary: number of the tokenizer's tokens; None leaves token ids aside.

        Raises:
            GenerationError: a field is missing or not of its type; says what was found.
        """
        try:
            choice = answer["choices"][0]
            text, reason = choice["text"], choice.get("finish_reason")
            tokens, usage = choice.get("token_ids"), answer.get("usage")
            model = answer.get("model")
        except (KeyError, IndexError, TypeError, AttributeError):
            raise GenerationError(f"{where} gave no completion: {shown(answer)}") from None
        if vocabulary is None or tokens is None:
            tokens = []
        elif not _are_tokens(tokens, vocabulary):
            raise GenerationError(
                f"{where} gave token_ids = {shown(tokens)}: expected a list of token ids of the model that "
                "pretrained= names; serve that model, or say token_ids=False"
            )
        return cls(_checked_text(text, where), tuple(tokens), _count(usage, where), reason, model)


def _are_tokens(value: Any, vocabulary: int) -> bool:
    return isinstance(value, list) and all(
        type(token) is int and 0 <= token < vocabulary + _PADDING for token in value
    )


def _checked_text(value: Any, where: str) -> str:
    try:
        if value is not None:
            value.encode()  # JSON can spell halves of a character, which no tokenizer takes
    except (AttributeError, UnicodeEncodeError):
        raise GenerationError(
            f"{where} gave text = {shown(value)}: expected a text; look at the server's log"
        ) from None
    return value or ""


def _count(usage: Any, where: str) -> int | None:
    """The number of generated tokens in a ``usage``."""
    value = usage.get("completion_tokens") if isinstance(usage, dict) else usage
    if value is not None and not (isinstance(usage, dict) and type(value) is int and value >= 0):
        raise GenerationError(
            f"{where} gave usage = {shown(usage)}: expected a whole number as its completion_tokens; look at "
            "the server's log"
        )
    return value
