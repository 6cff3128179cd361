"""What ``--metadata`` says to our tasks.

lm-eval merges the model's arguments into a task's metadata, so unknown keys are not ours to refuse;
a key that is plainly one of ours misspelt is.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sprint_eval.errors import ArgumentError

SPLITS = ("test", "validation", "train")
MAX_N = 4096
_SURE = 0.88  # similarity from which a key of at least six letters is taken for a misspelt one


@dataclass(frozen=True)
class TaskOptions:
    """The metadata keys of a Pass@N task.

    Attributes:
        n: candidates a question (``repeats``).
        split: the part that is evaluated: ``test``, ``validation`` (a tenth of train) or ``train``.
        data_dir: folder with the data set's files, in place of the hub.
        train_file: a file of training questions, in place of the hub's or the folder's.
        test_file: likewise for the test.
        train_size: generated tasks: questions of the training part, validation included.
        test_size: generated tasks: questions of the test part.
        rg_seed: generated tasks: the seed of the stream of questions.
    """

    n: int = 8
    split: str = "test"
    data_dir: Path | None = None
    train_file: Path | None = None
    test_file: Path | None = None
    train_size: int = 1200
    test_size: int = 480
    rg_seed: int = 0

    @property
    def local(self) -> bool:
        """Whether questions come from files and not from the hub."""
        return bool(self.data_dir or self.train_file or self.test_file)

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any] | None) -> TaskOptions:
        """Read our keys out of a task's metadata, defaults for the missing ones.

        Raises:
            ArgumentError: a value that cannot be used, or a key that is one of ours misspelt.
        """
        given = dict(metadata or {})
        known = {field.name for field in fields(cls)}
        for key in given:
            _check_spelling(str(key), known)
        values = {key: given[key] for key in known & given.keys() if given[key] is not None}
        read: dict[str, Any] = {}
        for key, value in values.items():
            if key in ("data_dir", "train_file", "test_file"):
                read[key] = _path(key, value)
            elif key == "split":
                read[key] = _split(value)
            else:
                low, high = (0, 2**31) if key == "rg_seed" else (1, MAX_N if key == "n" else 10**6)
                read[key] = _integer(key, value, low, high)
        return cls(**read)


def _check_spelling(key: str, known: set[str]) -> None:
    if key in known:
        return
    plain = key.lower().replace("-", "").replace("_", "")
    for name in sorted(known):
        other = name.replace("_", "")
        near = len(other) >= 6 and difflib.SequenceMatcher(None, plain, other).ratio() >= _SURE
        if plain == other or near:
            raise ArgumentError(f"metadata key '{key}' is not known: did you mean '{name}'?")


def _integer(key: str, value: Any, low: int, high: int) -> int:
    usable = isinstance(value, int) and not isinstance(value, bool)
    if not usable or not low <= value <= high:
        raise ArgumentError(f"metadata {key}={value!r}: expected an integer from {low} to {high}")
    return int(value)


def _split(value: Any) -> str:
    if value not in SPLITS:
        raise ArgumentError(f"metadata split={value!r}: expected one of {', '.join(SPLITS)}")
    return str(value)


def _path(key: str, value: Any) -> Path:
    if not isinstance(value, (str, Path)) or not str(value):
        raise ArgumentError(f"metadata {key}={value!r}: expected a path")
    return Path(value).expanduser()
