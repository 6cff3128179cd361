"""A cell of the outcome matrix and its line on disk.

A line is ``<crc32, 8 hexadecimal digits> <JSON>\\n``, pure ASCII, so that a torn or damaged line is
told from a whole one and every text, line breaks and lone surrogates included, survives. The first
line of a file is its header, an object; each other line is one cell, an array in the order of
:data:`COLUMNS`.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import Any

from sprint_eval.errors import StoreError

COLUMNS = ("question", "column", "correct", "tokens", "finish", "how", "status", "extracted", "text")
BASE_COLUMN = -1
"""The column number of the unpruned base, which stands beside the pool."""


@dataclass(frozen=True)
class Cell:
    """One answer of one variant to one question.

    Attributes:
        question: row, from 0.
        column: index into the pool, or :data:`BASE_COLUMN`.
        text: the answer's text; empty in a file of verdicts only.
        correct, extracted, how, status: the grader's verdict.
        tokens: generated tokens, up to and with the stop.
        finish: ``"stop"``, or ``"length"`` where the token limit cut the answer.
    """

    question: int
    column: int
    text: str
    correct: bool
    extracted: str | None
    how: str
    status: str
    tokens: int
    finish: str

    @property
    def truncated(self) -> bool:
        return self.finish == "length"

    def encode(self) -> bytes:
        """The cell's line."""
        return encode_line(
            [
                self.question,
                self.column,
                int(self.correct),
                self.tokens,
                self.finish,
                self.how,
                self.status,
                self.extracted,
                self.text,
            ]
        )

    @classmethod
    def decode(cls, line: bytes, where: str) -> Cell:
        """Read a line that has been indexed before.

        Raises:
            StoreError: the line is no longer what it was.
        """
        values = decode_line(line)
        if not isinstance(values, list) or len(values) != len(COLUMNS):
            raise StoreError(f"{where} is damaged; run 'sprint-eval outcomes check', then 'outcomes prune'")
        question, column, correct, tokens, finish, how, status, extracted, text = values
        return cls(question, column, text, bool(correct), extracted, how, status, tokens, finish)


def encode_line(value: Any) -> bytes:
    """A JSON value with its checksum, as one line."""
    body = json.dumps(value, separators=(",", ":")).encode("ascii")
    return b"%08x " % zlib.crc32(body) + body + b"\n"


def decode_line(line: bytes) -> Any:
    """The JSON value of a line without its line break, or ``None`` where the checksum does not fit."""
    body = line[9:]
    try:
        if line[8:9] != b" " or int(line[:8], 16) != zlib.crc32(body):
            return None
        return json.loads(body)
    except ValueError:
        return None
