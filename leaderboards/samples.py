"""Stream a ``samples_<task>_<time>.jsonl``: outcomes and row offsets are kept, texts are not.

A file may hold gigabytes, so a row is dropped as soon as its outcomes are taken; the pages that
show texts go back to the rows by their offsets (:func:`read_row`).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from sprint_eval.errors import DataError
from sprint_eval.leaderboards.fields import (
    clean,
    count_or_none,
    items,
    mapping,
    number,
    number_or_none,
    text_or_none,
)
from sprint_eval.leaderboards.records import PASS, Sampled
from sprint_eval.passk import best_scored, majority_vote

MAX_LINE = 256 * 2**20
MAX_CANDIDATES = 4096
CHOICES = ("wmaj", "best")  # by the weighted vote, and by a scorer; not every method has them
COUNTS = ("truncated", "no_answer", "timed_out", "failed", "repeated", "short", "extra")


@dataclass
class _Builder:
    """Rows of one (score, filter) as they come."""

    keys: list[str] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    prompts: list[int | None] = field(default_factory=list)
    correct: list[bytes] = field(default_factory=list)
    majority: list[bytes | None] = field(default_factory=list)
    choices: list[dict[str, bytes]] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    tokens: int | None = 0
    seen: Counter[str] = field(default_factory=Counter)
    ids: set[tuple[str, str]] = field(default_factory=set)

    def place(self, row: dict[str, Any], where: tuple[int, int]) -> None:
        """Name the row's question; equal documents are numbered, a row that stands twice is refused."""
        name = text_or_none(row.get("doc_hash"), "doc_hash")
        if not name:
            raise DataError("no doc_hash")
        identity = (name, str(row.get("doc_id")))
        if identity in self.ids:
            raise DataError(f"document {row.get('doc_id')} stands twice")
        self.ids.add(identity)
        self.seen[name] += 1
        self.keys.append(name if self.seen[name] == 1 else f"{name}#{self.seen[name]}")
        self.offsets.append(where[0])
        self.lengths.append(where[1])
        self.prompts.append(_prompt(row.get("prompt_hash")))


def read_samples(path: Path, repeats: int) -> list[Sampled]:
    """The outcomes in one samples file, one record a score and filter.

    Args:
        repeats: N as the task's config says it; candidates beyond it (padding of a parallel run)
            are dropped and counted as ``extra``.

    Raises:
        DataError: the file cannot be read, or any of its rows is damaged: a run with a question
            missing would be compared on other questions than it was asked.
    """
    builders: dict[tuple[str, str], _Builder] = {}
    damaged: list[str] = []
    rows = 0
    try:
        with path.open("rb", buffering=1 << 20) as handle:
            for line_number, offset, line in _lines(handle):
                rows += 1
                try:
                    _take(_parse(line), (offset, len(line)), repeats, builders)
                except DataError as error:
                    damaged.append(f"line {line_number}: {error}")
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})") from None
    if damaged:
        raise DataError(f"{len(damaged)} of {rows} rows damaged ({damaged[0]})")
    if not rows:
        raise DataError("empty")
    return [_finish(path, key, builder, repeats) for key, builder in builders.items()]


def read_row(handle: BinaryIO | FileIO, offset: int, length: int) -> dict[str, Any]:
    """The row at ``offset``, ``length`` bytes long, as :func:`read_samples` saw it; open without a buffer.

    Raises:
        DataError: the file has changed since and there is no row any more.
    """
    handle.seek(offset)
    return _parse(handle.read(length))


def candidate_texts(row: dict[str, Any]) -> list[str]:
    """The N answers of a row as the model gave them; empty where the row holds no texts."""
    for name in ("resps", "filtered_resps"):
        value = row.get(name)
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
            value = value[0]
        if isinstance(value, list) and value and all(isinstance(text, str) for text in value):
            return [clean(text) for text in value]
    return []


def _prompt(value: object) -> int | None:
    """lm-eval's hash of a prompt as eight bytes: enough to tell two apart, and no text a question to keep."""
    if not isinstance(value, str) or not value:
        return None
    digest = hashlib.blake2b(value.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def _lines(handle: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
    offset = 0
    number_of_line = 0
    while line := handle.readline(MAX_LINE):
        number_of_line += 1
        if line.strip():
            yield number_of_line, offset, line
        offset += len(line)


def _parse(line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except RecursionError:
        raise DataError("nested too deeply") from None
    except (ValueError, UnicodeDecodeError):
        raise DataError("not JSON, or cut short") from None
    if not isinstance(row, dict):
        raise DataError("not an object")
    return row


def _take(
    row: dict[str, Any], where: tuple[int, int], repeats: int, builders: dict[tuple[str, str], _Builder]
) -> None:
    filter_name = text_or_none(row.get("filter"), "filter") or "none"
    candidates = row.get("candidates")
    if isinstance(candidates, list):
        builder = builders.setdefault((PASS, filter_name), _Builder())
        taken = _candidates(row, candidates, repeats)
        builder.place(row, where)
        _add(builder, taken)
        return
    if candidates is not None:
        raise DataError("candidates is not a list")
    found = {}
    for metric in items(row.get("metrics"), "metrics"):
        name = text_or_none(metric, "metrics") or ""
        value = row.get(name)
        if isinstance(value, bool):
            found[name] = float(value)
        elif isinstance(value, (int, float)):
            found[name] = number(value, name)
    for name, value in found.items():
        builder = builders.setdefault((name, filter_name), _Builder())
        builder.place(row, where)
        builder.values.append(value)


@dataclass
class _Taken:
    correct: bytes
    majority: bytes | None
    choices: dict[str, bytes]
    counts: Counter[str]
    tokens: int | None


def _candidates(row: dict[str, Any], candidates: list[Any], repeats: int) -> _Taken:
    """Outcomes of one row's candidates, checked field by field before any of it counts."""
    if not candidates:
        raise DataError("no candidates")
    if len(candidates) > MAX_CANDIDATES:
        raise DataError(f"{len(candidates)} candidates, more than {MAX_CANDIDATES}")
    counts: Counter[str] = Counter()
    if repeats > 1:
        counts["extra"] = max(0, len(candidates) - repeats)
        counts["short"] = max(0, repeats - len(candidates))
        candidates = candidates[:repeats]
    correct = bytearray()
    answers: list[str | None] = []
    weights: list[float | None] = []
    scores: list[float | None] = []
    tokens: int | None = 0
    for index, candidate in enumerate(candidates):
        fields = mapping(candidate, f"candidates[{index}]")
        right = fields.get("correct")
        if not (isinstance(right, bool) or (isinstance(right, (int, float)) and right in (0, 1))):
            raise DataError(f"candidates[{index}].correct is neither true nor false")
        correct.append(int(right))
        answers.append(text_or_none(fields.get("extracted"), "extracted"))
        weight = fields.get("weight")
        weights.append(None if weight is None else max(0.0, number(weight, "weight")))
        scores.append(number_or_none(fields.get("score"), "score"))
        spent = count_or_none(fields.get("tokens"), "tokens")
        tokens = None if tokens is None or spent is None else tokens + spent
        _count(counts, fields, answers[-1])
    texts = candidate_texts(row)[: len(correct)]
    counts["repeated"] = len(texts) - len(set(texts))
    right = bytes(correct)
    majority = _chosen(row, "maj", right, lambda k: majority_vote(answers[:k]))
    choices = {}
    if None not in weights:
        choices["wmaj"] = _chosen(row, "wmaj", right, lambda k: majority_vote(answers[:k], weights[:k]))
    if None not in scores:
        choices["best"] = _chosen(row, "best", right, lambda k: best_scored(scores[:k]))
    return _Taken(right, majority, choices, counts, tokens)


def _count(counts: Counter[str], fields: dict[str, Any], answer: str | None) -> None:
    status = text_or_none(fields.get("status"), "status")
    if fields.get("truncated") is True:
        counts["truncated"] += 1
    if status == "timeout":
        counts["timed_out"] += 1
    elif status == "no_answer" or (status in (None, "ok") and answer is None):
        counts["no_answer"] += 1
    elif status not in (None, "ok"):
        counts["failed"] += 1


def _chosen(row: dict[str, Any], name: str, correct: bytes, choose: Callable[[int], int | None]) -> bytes:
    """0/1 of the answer chosen of the first k: the task's own verdict where it says one, else made again."""
    stated = [row.get(f"{name}@{k}") for k in range(1, len(correct) + 1)]
    if all(isinstance(value, (bool, int, float)) and value in (0, 1) for value in stated):
        return bytes(int(value) for value in stated if value is not None)
    chosen = [choose(k) for k in range(1, len(correct) + 1)]
    return bytes(0 if index is None else correct[index] for index in chosen)


def _add(builder: _Builder, taken: _Taken) -> None:
    builder.correct.append(taken.correct)
    builder.majority.append(taken.majority)
    builder.choices.append(taken.choices)
    builder.counts.update(taken.counts)
    builder.tokens = None if builder.tokens is None or taken.tokens is None else builder.tokens + taken.tokens


def _finish(path: Path, key: tuple[str, str], builder: _Builder, repeats: int) -> Sampled:
    score, filter_name = key
    plain = score != PASS
    width = max((len(row) for row in builder.correct), default=0)
    if not plain and repeats == 1:
        builder.counts["short"] = sum(width - len(row) for row in builder.correct)
    width = max(width, repeats) if not plain and repeats > 1 else width
    return Sampled(
        score=score,
        filter=filter_name,
        path=path,
        keys=builder.keys,
        offsets=np.array(builder.offsets, dtype=np.int64),
        lengths=np.array(builder.lengths, dtype=np.int64),
        correct=_matrix(builder.correct, width, fill_last=False),
        majority=None if plain else _matrix([row or b"" for row in builder.majority], width, fill_last=True),
        values=np.array(builder.values, dtype=np.float64) if plain else None,
        counts={name: builder.counts[name] for name in COUNTS if builder.counts[name]},
        tokens=None if plain else builder.tokens,
        choices={
            name: _matrix([row[name] for row in builder.choices], width, fill_last=True)
            for name in CHOICES
            if builder.choices and all(name in row for row in builder.choices)
        },
        prompts=None if None in builder.prompts else np.array(builder.prompts, dtype=np.uint64),
    )


def _matrix(rows: list[bytes], width: int, fill_last: bool) -> np.ndarray:
    """Rows of 0/1 as ``[n, width]``; a short row is filled with wrong, or with its last vote."""
    matrix = np.zeros((len(rows), width), dtype=np.int8)
    for index, row in enumerate(rows):
        matrix[index, : len(row)] = np.frombuffer(row, dtype=np.int8)
        if fill_last and row:
            matrix[index, len(row) :] = row[-1]
    return matrix
