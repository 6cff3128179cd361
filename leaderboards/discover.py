"""Find lm-eval's files: ``results_<time>.json`` and the ``samples_<task>_<time>.jsonl`` beside them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from sprint_eval.errors import DataError

_STAMP = re.compile(r"_(\d{4}-\d\d-\d\dT\d\d[-:]\d\d[-:]\d\d(?:\.\d+)?)\.jsonl?$")
# A folder that holds this file was written by us: what we put there is no run, and not news.
OUTPUT_MARK = "leaderboard.json"
OUTPUT_FOLDERS = frozenset({"data", "plots", "records", "eval_results"})


@dataclass
class Found:
    """Files by role; ``samples`` maps (folder, task, time) to a file."""

    results: list[Path] = field(default_factory=list)
    samples: dict[tuple[Path, str, str], Path] = field(default_factory=dict)
    others: list[Path] = field(default_factory=list)


def stamp_of(path: Path) -> str | None:
    """The time that lm-eval put in the file's name."""
    match = _STAMP.search(path.name)
    return match[1] if match else None


def find_files(paths: Iterable[Path]) -> Found:
    """Walk the given files and folders, in a fixed order; each file counts once, our own outputs never.

    Raises:
        DataError: a path does not exist.
    """
    found = Found()
    seen: set[Path] = set()
    for path in paths:
        if not path.exists():
            raise DataError(f"results folder not found: {path}")
        for file in _walk(path):
            real = file.resolve()
            if real not in seen:
                seen.add(real)
                _sort_in(file, found, named=path.is_file())
    return found


def _walk(path: Path) -> Iterable[Path]:
    if path.is_file():
        yield path
        return
    entered = {path.resolve()}
    for folder, folders, names in os.walk(path, followlinks=True):
        ours = OUTPUT_MARK in names
        here = Path(folder)
        folders[:] = [
            name
            for name in sorted(folders)
            if not (ours and name in OUTPUT_FOLDERS) and _is_new((here / name).resolve(), entered)
        ]
        for name in sorted(names):
            if name.endswith((".json", ".jsonl")) and name != OUTPUT_MARK:
                yield here / name


def _is_new(folder: Path, entered: set[Path]) -> bool:
    """Linked folders are followed, but none is entered twice: links may go round in a circle."""
    if folder in entered:
        return False
    entered.add(folder)
    return True


def _sort_in(file: Path, found: Found, named: bool) -> None:
    stamp = stamp_of(file)
    if file.suffix == ".jsonl":
        if stamp and file.name.startswith("samples_"):
            task = file.name[len("samples_") : -len(f"_{stamp}.jsonl")]
            found.samples[(file.parent, task, stamp)] = file
        else:
            found.others.append(file)
    elif stamp or named or file.name.startswith("results"):
        found.results.append(file)
    else:
        found.others.append(file)
