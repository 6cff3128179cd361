"""Find lm-eval's files: ``results_<time>.json`` and the ``samples_<task>_<time>.jsonl`` beside them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from sprint_eval.errors import DataError

_STAMP = re.compile(r"_(\d{4}-\d\d-\d\dT\d\d[-:]\d\d[-:]\d\d(?:\.\d+)?)\.jsonl?$")
# A folder that holds this file was written by us: nothing in it is a run.
OUTPUT_MARK = "leaderboard.json"


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


def find_files(paths: Iterable[Path], out: Path | None = None) -> Found:
    """Walk the given files and folders, in a fixed order; each file counts once.

    Args:
        out: the folder we write to; nothing in it is read, and neither is any other of our outputs.

    Raises:
        DataError: a path does not exist.
    """
    found = Found()
    seen: set[Path] = set()
    skip = out.resolve() if out else None
    for path in paths:
        if not path.exists():
            raise DataError(f"results folder not found: {path}")
        for file in _walk(path, skip):
            real = file.resolve()
            if real not in seen:
                seen.add(real)
                _sort_in(file, found, named=path.is_file())
    return found


def _walk(path: Path, skip: Path | None) -> Iterable[Path]:
    if path.is_file():
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders.sort()
        here = Path(folder)
        if here.resolve() == skip or OUTPUT_MARK in names:
            folders.clear()
            continue
        for name in sorted(names):
            if name.endswith((".json", ".jsonl")):
                yield here / name


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
