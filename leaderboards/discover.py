"""Find lm-eval's files: ``results_<time>.json`` and the ``samples_<task>_<time>.jsonl`` beside them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from sprint_eval.errors import DataError

_STAMP = re.compile(r"_(\d{4}-\d\d-\d\dT\d\d[-:]\d\d[-:]\d\d(?:\.\d+)?)\.jsonl?$")
# A folder that holds this file, as we write it, is ours: what we put there is no run, and not news.
OUTPUT_MARK = "leaderboard.json"
OUTPUT_SCHEMA = 1
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


def made_folders(folder: Path) -> frozenset[str]:
    """Names of the folders in ``folder`` that a leaderboard made; none where there is no mark of ours."""
    try:
        record = json.loads((folder / OUTPUT_MARK).read_bytes())
    except (OSError, ValueError, RecursionError):
        return frozenset()
    if not isinstance(record, dict) or record.get("schema") != OUTPUT_SCHEMA or "tables" not in record:
        return frozenset()
    # Boards from before the list was kept do not say: all that may be theirs is.
    listed = record.get("folders", list(OUTPUT_FOLDERS))
    return frozenset(name for name in OUTPUT_FOLDERS if isinstance(listed, list) and name in listed)


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
        here = Path(folder)
        ours = made_folders(here) if OUTPUT_MARK in names else frozenset()
        folders[:] = [
            name for name in sorted(folders) if name not in ours and _is_new((here / name).resolve(), entered)
        ]
        for name in sorted(names):
            if name.endswith((".json", ".jsonl")) and not (ours and name == OUTPUT_MARK):
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
