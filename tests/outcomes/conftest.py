"""A small made-up run: questions, a manifest, and answers that depend on question and head set alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sprint_eval.heads import HeadLayout, HeadPool
from sprint_eval.outcomes import Cell, Manifest, OutcomeStore, Process, StoredQuestion

LAYOUT = HeadLayout.uniform(4, 3)


def make_manifest(pool: str = "0-3:*", **fields: Any) -> Manifest:
    values: dict[str, Any] = {
        "model": "toy",
        "model_fingerprint": "f" * 16,
        "dtype": "float32",
        "task": "toy_task",
        "task_version": "1.0",
        "split": "train",
        "generation": {"stop": ["\n"], "max_new_tokens": 16},
        "pool": tuple(HeadPool.parse(pool, LAYOUT).names()),
        "grader_version": "1",
    }
    return Manifest(**(values | fields))


def make_questions(count: int, start: int = 0) -> list[StoredQuestion]:
    return [
        StoredQuestion(
            doc_hash=f"doc{i:04d}",
            question=f"What is {i} + 1?",
            subject=("sums", "products")[i % 2],
            key=f"key{i:04d}",
            prompt_hash=f"prompt{i:04d}",
            doc={"question": f"What is {i} + 1?", "answer": str(i + 1)},
        )
        for i in range(start, start + count)
    ]


def make_cell(i: int, j: int) -> Cell:
    correct = (i * 7 + j * 3) % 5 < 2
    text = f"Line one\nof cell ({i}, {j}) \u4e2d\ud800\u2028 end"
    finish = "length" if (i + j) % 4 == 0 else "stop"
    return Cell(i, j, text, correct, str(i + 1) if correct else None, "exact", "ok", 5 + i + j + 1, finish)


_ALL = Process()


def fill(store: OutcomeStore, process: Process = _ALL, only: Callable[[int, int], bool] | None = None) -> int:
    """Write the missing cells (those that ``only`` accepts); the number written."""
    with store.writer(process) as writer:
        for i, columns in store.missing(process):
            writer.append(make_cell(i, j) for j in columns if only is None or only(i, j))
        return writer.cells


def flip(path: Path, near: bytes) -> None:
    """Flip a bit of a file where these bytes stand first."""
    data = bytearray(path.read_bytes())
    data[data.index(near)] ^= 1
    path.write_bytes(data)


class Toy:
    """The helpers of this folder's tests, in one place."""

    manifest = staticmethod(make_manifest)
    questions = staticmethod(make_questions)
    cell = staticmethod(make_cell)
    fill = staticmethod(fill)
    flip = staticmethod(flip)

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def store(
        self, name: str = "z", questions: int = 6, start: int = 0, pool: str = "0-3:*", **fields: Any
    ) -> OutcomeStore:
        """A store, opened, or made where it is not there."""
        return OutcomeStore(
            self.folder / name, make_manifest(pool, **fields), make_questions(questions, start)
        )


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return Toy(tmp_path)
