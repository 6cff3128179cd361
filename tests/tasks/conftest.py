"""Small data folders in the published files' form, written for the tests."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

# The scripted model is a plain module beside the tests.
sys.path.insert(0, str(Path(__file__).parent))

NAMES = ("Ana", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gil", "Hanna", "Ida", "Jon", "Kim", "Leo")
THINGS = ("apples", "books", "coins", "drums", "eggs", "flags", "gloves", "hats", "inks", "jars")


def _gsm8k(index: int) -> dict[str, Any]:
    name, thing = NAMES[index % 12], THINGS[index // 12 % 10]
    steps = "\n".join(f"Step {step}: <<{step}+0={step}>>{step}" for step in range(1, 2 + index % 9))
    return {
        "question": f"{name} has {index} {thing} and buys 2 more. How many now?",
        "answer": f"{steps}\n#### {index + 2}",
    }


def _math(index: int) -> dict[str, Any]:
    subject = ("Algebra", "Geometry", "Number Theory")[index % 3]
    name, thing = NAMES[index % 12], THINGS[index // 12 % 10]
    return {
        "problem": f"Let ${name}$ count {thing}. Find ${index}+1$.",
        "solution": f"It is $\\boxed{{{index + 1}}}$.",
        "answer": str(index + 1),
        "subject": subject,
        "level": 1 + index % 5,
        "unique_id": f"u{index}",
    }


def _word_problem(index: int) -> dict[str, Any]:
    name, thing = NAMES[index % 12], THINGS[index // 12 % 10]
    equation = ("n0 + n1", "n0 - n1", "n0 * n1", "n0 / n1", "( n0 + n1 ) * n1")[index % 5]
    return {
        "question": f"{name} 有 {index} 个 {thing} ，又来了 2 个．",
        "segmented": "",
        "numbers": [str(index), "2"],
        "equation": equation,
        "answer": f"{index + 2}.0",
    }


MAKERS = {"gsm8k": _gsm8k, "math500": _math, "math23k": _word_problem, "asdiv": _word_problem}
FILES = {
    "gsm8k": (["gsm8k_train.jsonl"], ["gsm8k_test_half.jsonl"]),
    "math500": (["math_train_4000.jsonl"], ["math500_half.jsonl"]),
    "math23k": (["math23k_train.jsonl"], ["math23k_dev.jsonl"]),
    "asdiv": ([f"asdiv_a_fold{fold}.jsonl" for fold in range(3)], ["asdiv_a_fold3.jsonl"]),
}


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def rows() -> Callable[[str, range], list[dict[str, Any]]]:
    """Rows ``range`` of a data set; no two have the same words below 120."""
    return lambda name, which: [MAKERS[name](index) for index in which]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A folder with every data set: 60 training rows, 30 test rows, no question in both."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name, (train, test) in FILES.items():
        share = 60 // len(train)
        for part, file in enumerate(train):
            write_rows(
                folder / file, [MAKERS[name](index) for index in range(part * share, (part + 1) * share)]
            )
        write_rows(folder / test[0], [MAKERS[name](index) for index in range(60, 90)])
    return folder
