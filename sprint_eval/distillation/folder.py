"""The folder of a run: what it is a run of, and what in it is finished."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sprint_eval.distillation.state import remove_states
from sprint_eval.errors import DataError, MismatchError
from sprint_eval.files import read_json, write_json

_CARD, _LOCK = "run.json", ".lock"


class RunFolder:
    """``run.json`` says what the run is; the same run goes on where it stopped, another is refused."""

    def __init__(self, path: str | Path, rounds: int) -> None:
        self.path = Path(path)
        self._rounds = rounds

    def claim(self, card: Mapping[str, Any]) -> bool:
        """Make the folder this run's; true where the run was here before.

        Raises:
            MismatchError: it holds another run; names the first field that differs.
            DataError: it holds other things, or cannot be written.
        """
        try:
            return self._claim(card)
        except OSError as error:
            raise DataError(f"{self.path} cannot be the run's folder: {error}; choose another") from error

    def _claim(self, card: Mapping[str, Any]) -> bool:
        known = self.path / _CARD
        if known.exists():
            found, asked = _fields(read_json(known, "the run's card")), _fields(card)
            for name in sorted(set(asked) | set(found)):
                if asked.get(name) != found.get(name):
                    raise MismatchError(
                        f"{self.path} holds another run: its {name} is {found.get(name)!r}, asked for is "
                        f"{asked.get(name)!r}; choose another folder"
                    )
            return True
        if self.path.exists() and any(self.path.iterdir()):
            raise DataError(f"{self.path} is not empty and holds no run; choose another folder")
        write_json(known, dict(card))
        return False

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Keep other processes out of the claimed folder while the block is open; drop what kills left.

        Raises:
            DataError: another process works in it, or it cannot be written.
        """
        from filelock import FileLock, Timeout

        lock = FileLock(str(self.path / _LOCK))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise DataError(f"another process works in {self.path}; wait for it, or choose another") from None
        except OSError as error:
            raise DataError(f"{self.path} cannot be the run's folder: {error}; choose another") from error
        try:
            self._drop_leftovers()
            yield
        finally:
            lock.release()

    def _drop_leftovers(self) -> None:
        """Remove models that were never whole, and the checkpoints of finished phases."""
        phases = ["teacher", *(f"round-{number}" for number in range(1, self._rounds + 1))]
        for name in {*phases, "student", "dense"}:
            for partial in self.path.glob(f".{name}.*"):
                if partial.is_dir():
                    shutil.rmtree(partial, ignore_errors=True)
        for name in phases:
            if self.facts(name) is not None:
                remove_states(self.states(name))

    def states(self, phase: str) -> Path:
        """Where a phase's checkpoints are while it trains."""
        return self.path / f"{phase}-training.state"

    def round(self, number: int) -> Path:
        """Checkpoint of a round's student, from 1; the last round's is the run's ``student``."""
        return self.path / ("student" if number == self._rounds else f"round-{number}")

    @property
    def teacher(self) -> Path:
        return self.path / "teacher"

    def facts(self, name: str) -> dict[str, Any] | None:
        """What was written down of a finished phase; ``None`` where it is not finished."""
        path = self.path / f"{name}.json"
        return read_json(path, "a phase's facts") if path.exists() else None

    def write_facts(self, name: str, values: Mapping[str, Any]) -> None:
        """Write down that a phase is finished, and what it cost."""
        write_json(self.path / f"{name}.json", dict(values))


def _fields(card: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A card's values by dotted names, so that a message can name the one that differs."""
    fields: dict[str, Any] = {}
    for name, value in card.items():
        if isinstance(value, Mapping) and value:
            fields |= _fields(value, f"{prefix}{name}.")
        else:
            fields[f"{prefix}{name}"] = value
    return fields
