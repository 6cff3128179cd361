"""The drill-down's parts: questions, and every method's candidates of a few questions together.

Samples are read a second time here, row by row at the offsets that the first reading kept, so that
no more than one part's texts are ever in memory.
"""

from __future__ import annotations

import base64
import gzip
import itertools
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sprint_eval.errors import DataError
from sprint_eval.leaderboards.fields import clean
from sprint_eval.leaderboards.records import PASS
from sprint_eval.leaderboards.samples import candidate_texts, read_row
from sprint_eval.leaderboards.standing import Standing
from sprint_eval.leaderboards.tables import Row

MAX_TEXT = 20_000  # characters of one answer
MAX_QUESTION = 20_000
PART_BYTES = 4_000_000  # of texts, before compression, and of a part as written
_PARALLEL_ANSWERS = 50_000
_QUESTION_FIELDS = ("question", "problem", "query", "prompt", "input", "goal", "text", "ctx")


@dataclass(frozen=True)
class _Source:
    """Where one row's answers lie, by the table's order of questions."""

    path: Path
    places: list[tuple[int, int]]
    candidates: int
    score: str
    filter: str


@dataclass(frozen=True)
class _Job:
    folder: Path
    table: str
    sources: list[_Source]
    first: int
    last: int


def write_answers(folder: Path, standing: Standing) -> dict[str, Any]:
    """Write a table's question and answer parts.

    Returns:
        ``questions``: names of parts; ``answers``: name, first question and count of each part.
    """
    table = standing.table
    sources = [
        _Source(
            row.run.sampled.path,
            row_places(row),
            row.candidates,
            table.score,
            table.filter,
        )
        for row in standing.rows
        if row.run.sampled is not None and row.order is not None
    ]
    count = len(table.keys or [])
    heavy = sum(source.candidates for source in sources) * count > _PARALLEL_ANSWERS
    pieces = workers() * 2 if heavy and workers() > 1 else 1
    bounds = [round(count * piece / pieces) for piece in range(pieces + 1)]
    jobs = [
        _Job(folder, table.id, sources, first, last)
        for first, last in itertools.pairwise(bounds)
        if first < last
    ]
    if len(jobs) > 1:
        with ProcessPoolExecutor(workers()) as pool:
            results = list(pool.map(_write, jobs))
    else:
        results = [_write(job) for job in jobs]
    return {
        "questions": [name for names, _ in results for name in names],
        "answers": [part for _, parts in results for part in parts],
    }


def row_places(row: Row) -> list[tuple[int, int]]:
    """Offset and length of each of the table's questions in a row's samples file."""
    sampled = row.run.sampled
    if sampled is None or row.order is None:
        return []
    return list(zip(sampled.offsets[row.order].tolist(), sampled.lengths[row.order].tolist(), strict=True))


def workers() -> int:
    """How many processes to read with."""
    return min(os.cpu_count() or 1, 8)


def _write(job: _Job) -> tuple[list[str], list[dict[str, Any]]]:
    """Write the parts of one range of questions."""
    questions = _Parts(job.folder, f"{job.table}-questions-{job.first}", packed=False)
    answers = _Parts(job.folder, f"{job.table}-answers-{job.first}", packed=True)
    with ExitStack() as stack:
        handles = [stack.enter_context(source.path.open("rb", buffering=0)) for source in job.sources]
        for at in range(job.first, job.last):
            rows = list(_rows_of(job.sources, handles, at))
            questions.add(question_of(rows[0]), at)
            answers.add(_answers(job.sources, rows), at)
    questions.flush()
    answers.flush()
    return [part["name"] for part in questions.written], answers.written


def _rows_of(sources: list[_Source], handles: Sequence[Any], at: int) -> Iterator[dict[str, Any]]:
    for source, handle in zip(sources, handles, strict=True):
        try:
            yield read_row(handle, *source.places[at])
        except DataError:
            raise DataError(f"{source.path} changed while it was read; run the command again") from None


class _Parts:
    """Collects values and writes a part whenever enough has come together."""

    def __init__(self, folder: Path, prefix: str, packed: bool) -> None:
        self.folder, self.prefix, self.packed = folder, prefix, packed
        self.written: list[dict[str, Any]] = []
        self.pending: list[str] = []
        self.size = 0
        self.first = 0

    def add(self, value: Any, at: int) -> None:
        text = _dump(value)
        if self.pending and self.size + len(text) > PART_BYTES // (1 if self.packed else 4):
            self.flush()
        if not self.pending:
            self.first = at
        self.pending.append(text)
        self.size += len(text)

    def flush(self) -> None:
        """Write what is pending."""
        if not self.pending:
            return
        name = f"{self.prefix}-{len(self.written)}"
        body = f"[{','.join(self.pending)}]"
        if self.packed:
            packed = gzip.compress(body.encode("utf-8"), compresslevel=4, mtime=0)
            body = f'"{base64.b64encode(packed).decode("ascii")}"'
        else:
            body = quiet(body)
        (self.folder / f"{name}.js").write_text(f'SE.part("{name}",{body});\n', encoding="utf-8")
        self.written.append({"name": name, "first": self.first, "count": len(self.pending)})
        self.pending, self.size = [], 0


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def quiet(text: str) -> str:
    """JSON that a script may hold: nothing in it can end the script element or open a comment."""
    for character in ("<", ">", "&", "\u2028", "\u2029"):
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def question_of(row: dict[str, Any]) -> dict[str, Any]:
    """A row's question, gold answer and subject, from whatever fields its data set has."""
    doc = row.get("doc")
    doc = doc if isinstance(doc, dict) else {}
    text = next((doc[name] for name in _QUESTION_FIELDS if isinstance(doc.get(name), str)), None)
    answer = doc.get("answer") if isinstance(doc.get("answer"), str) else row.get("target")
    subject = doc.get("subject", doc.get("category", doc.get("type")))
    return {
        "q": cut(text if text is not None else _prompt(row), MAX_QUESTION),
        "a": cut(answer if isinstance(answer, str) else _dump(answer), 2_000),
        "s": cut(subject, 120) if isinstance(subject, str) else "",
    }


def _prompt(row: dict[str, Any]) -> str:
    """The prompt's end, where a document has no field that we know as its question."""
    arguments = row.get("arguments")
    first = next(iter(arguments.values()), None) if isinstance(arguments, dict) else None
    text = first.get("arg_0") if isinstance(first, dict) else None
    return text[-2_000:] if isinstance(text, str) else ""


def cut(text: str, most: int) -> str:
    """The text, clean, and with a word on what is missing where it is cut."""
    if len(text) > most:
        text = f"{text[:most]}… [cut here: {len(text):,} characters in all]"
    return clean(text)


def _answers(sources: list[_Source], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """All methods' candidates of one question; each different text once."""
    texts: dict[str, int] = {}
    methods = [_method(source, row, texts) for source, row in zip(sources, rows, strict=True)]
    return {"texts": list(texts), "rows": methods}


def _method(source: _Source, row: dict[str, Any], texts: dict[str, int]) -> list[dict[str, Any]]:
    found = candidate_texts(row)
    candidates = row.get("candidates")
    facts = candidates if source.score == PASS and isinstance(candidates, list) else []
    count = min(source.candidates, len(facts)) if facts else min(len(found), 64)
    made = []
    for index in range(count):
        entry: dict[str, Any] = {"t": None, "ok": None}
        if index < len(found):
            text = cut(found[index], MAX_TEXT)
            entry["t"] = texts.setdefault(text, len(texts))
        if facts:
            entry |= _facts(facts[index])
        elif count == 1:
            entry |= _plain(row, source)
        made.append(entry)
    return made


def _facts(fields: dict[str, Any]) -> dict[str, Any]:
    """What a candidate says of itself; the first reading has checked the types."""
    status = fields.get("status")
    entry: dict[str, Any] = {"ok": bool(fields.get("correct"))}
    for short, name in (("x", "extracted"), ("heads", "heads")):
        if isinstance(fields.get(name), str):
            entry[short] = cut(fields[name], 400)
    if isinstance(status, str) and status != "ok":
        entry["status"] = cut(status.replace("_", " "), 60)
    if fields.get("truncated") is True:
        entry["cut"] = True
    if isinstance(fields.get("tokens"), int):
        entry["tokens"] = fields["tokens"]
    if isinstance(fields.get("weight"), (int, float)):
        entry["weight"] = round(float(fields["weight"]), 4)
    return entry


def _plain(row: dict[str, Any], source: _Source) -> dict[str, Any]:
    """A foreign task's one answer: right where its 0/1 score says so, and what the filter extracted."""
    value = row.get(source.score)
    entry: dict[str, Any] = {"ok": bool(value) if value in (0, 1) else None}
    filtered = row.get("filtered_resps")
    if isinstance(filtered, list) and len(filtered) == 1 and isinstance(filtered[0], str):
        entry["x"] = cut(filtered[0], 400)
    return entry
