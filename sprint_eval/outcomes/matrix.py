"""The cells of a store's files laid out by row and column, and the way back to each one's text."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from sprint_eval.errors import StoreError
from sprint_eval.heads import BASE
from sprint_eval.outcomes.cells import BASE_COLUMN, Cell
from sprint_eval.outcomes.index import FileIndex
from sprint_eval.outcomes.manifest import IDENTITY_FIELDS, Manifest, StoredQuestion

GRADED_SHARDS = "graded_shards"
"""In the header of a file of verdicts: the names of the shards whose answers it is about."""
_PER_CELL: dict[str, tuple[type, int]] = {
    "correct": (np.int8, -1),
    "tokens": (np.int32, -1),
    "finish": (np.int8, -1),
    "how": (np.int16, -1),
    "status": (np.int16, -1),
    "offset": (np.int64, -1),
    "length": (np.int32, -1),
}


class VerdictError(StoreError):
    """Verdicts of a later grading that cannot be used; the answers themselves are safe."""

    def __init__(self, path: Path, why: str) -> None:
        store = path.parent.parent
        super().__init__(
            f"the verdicts in {path} cannot be used: {why}; the answers are safe, grade them again: "
            f"sprint-eval regrade {store}"
        )


@dataclass(frozen=True)
class StoreHealth:
    """What reading a store came upon.

    Attributes:
        shards: files with cells; ``bytes`` their size.
        torn: bytes of torn tails, passed over.
        duplicates: cells that stand in more than one place; the first counts.
        stale: cells whose verdict is of another grader than the manifest's.
    """

    shards: int = 0
    bytes: int = 0
    torn: int = 0
    duplicates: int = 0
    stale: int = 0


def check_file(index: FileIndex, manifest: Manifest) -> None:
    """Refuse a file of cells that is damaged or belongs to another run.

    Raises:
        StoreError: names the file, and the field in which the runs differ or the damaged line.
    """
    check_run(index, manifest)
    if index.damaged:
        raise StoreError(
            f"{index.path} is damaged: {len(index.damaged)} lines with a wrong checksum, the first at byte "
            f"{index.damaged[0]}; 'sprint-eval outcomes prune' removes them and the sweep decodes them again"
        )
    check_range(index, manifest)


def check_run(index: FileIndex, manifest: Manifest) -> None:
    """Refuse a file whose header is of another run."""
    header = index.header or {}
    if header.get("run") == manifest.run_hash():
        return
    mine, theirs = manifest.identity(), header.get("identity") or {}
    differ = "its run differs"
    for name in IDENTITY_FIELDS:
        if name != "grader_version" and mine[name] != theirs.get(name):
            differ = f"its {name} is {theirs.get(name)!r}, expected {mine[name]!r}"
            break
    raise StoreError(
        f"{index.path} belongs to another run: {differ}; remove it, or run 'sprint-eval outcomes prune'"
    )


def check_range(index: FileIndex, manifest: Manifest) -> None:
    """Refuse a file with cells that the matrix does not have."""
    bad = outside(index, manifest)
    if bad.any():
        raise StoreError(f"{index.path} has {int(bad.sum())} cells outside the matrix: not of this store")


def outside(index: FileIndex, manifest: Manifest) -> np.ndarray:
    """Which of a file's cells the matrix does not have, bool ``[cells]``."""
    question, column = index.arrays["question"], index.arrays["column"]
    bad = (question < 0) | (question >= manifest.num_questions)
    return np.asarray(bad | (column < BASE_COLUMN) | (column >= len(manifest.pool)))


class Matrix:
    """The cells of all shards laid out by row and column, the base last."""

    def __init__(self, manifest: Manifest, indices: list[FileIndex]) -> None:
        self.manifest = manifest
        self.width = len(manifest.pool) + 1
        self.indices = indices
        size = manifest.num_questions * self.width
        self.flat: dict[str, np.ndarray] = {
            name: np.full(size, empty, dtype) for name, (dtype, empty) in _PER_CELL.items()
        }
        self.file = np.full(size, -1, np.int32)
        self.verdict_file = np.full(size, -1, np.int32)
        self.verdict_offset = np.full(size, -1, np.int64)
        self.verdict_length = np.full(size, -1, np.int32)
        self.stale = np.zeros(size, bool)
        self.labels: dict[str, int] = {}
        self.verdicts: list[FileIndex] = []
        self.duplicates = 0
        for number, index in enumerate(indices):
            # A writer that was killed before its first line was whole left a file that holds nothing.
            if index.header is not None:
                self._place(number, index)

    def _place(self, number: int, index: FileIndex) -> None:
        where = self._where(index)
        _, first = np.unique(where, return_index=True)
        first = first[self.file[where[first]] < 0]
        self.duplicates += len(where) - len(first)
        target = where[first]
        for name in _PER_CELL:
            self.flat[name][target] = self._values(index, name)[first]
        self.file[target] = number
        header = index.header or {}
        self.stale[target] = header.get("grader_version") != self.manifest.grader_version

    def apply_verdicts(self, index: FileIndex) -> None:
        """Put later verdicts over those of the shards that were graded.

        Raises:
            VerdictError: the file is damaged, torn, or of another run or grader.
        """
        header = index.header or {}
        if index.damaged or index.torn:
            raise VerdictError(index.path, "the file is damaged")
        if header.get("run") != self.manifest.run_hash() or outside(index, self.manifest).any():
            raise VerdictError(index.path, "they belong to another run")
        if header.get("grader_version") != self.manifest.grader_version:
            raise VerdictError(index.path, f"they are not of grader {self.manifest.grader_version}")
        where = self._where(index)
        use = self._graded(header)[where]
        target = where[use]
        for name in ("correct", "how", "status"):
            self.flat[name][target] = self._values(index, name)[use]
        self.verdict_file[target] = len(self.verdicts)
        self.verdict_offset[target] = index.arrays["offset"][use]
        self.verdict_length[target] = index.arrays["length"][use]
        self.stale[target] = False
        self.verdicts.append(index)

    def _graded(self, header: dict[str, Any]) -> np.ndarray:
        """Which cells a file of verdicts is about, bool ``[questions * width]``.

        A cell in a shard that is not named there was written later, and its verdict with it.
        """
        names = header.get(GRADED_SHARDS)
        if names is None:  # a file of an earlier sprint-eval does not say
            return self.stale
        # One more at the end, for cells that are in no file (-1).
        named = np.array([*(index.path.name in set(names) for index in self.indices), False])
        return named[self.file]

    def mirror_base(self) -> None:
        """Where the user put the base into the pool, it is decoded once and stands in both places."""
        names = list(self.manifest.pool)
        if BASE not in names:
            return
        column = names.index(BASE)
        located: list[np.ndarray] = [
            self.file,
            self.verdict_file,
            self.verdict_offset,
            self.verdict_length,
            self.stale,
        ]
        arrays: list[np.ndarray] = [*self.flat.values(), *located]
        for array in arrays:
            square = array.reshape(-1, self.width)
            square[:, column] = square[:, -1]

    def square(self, name: str) -> np.ndarray:
        return self.flat[name].reshape(-1, self.width)

    def health(self) -> StoreHealth:
        return StoreHealth(
            shards=len(self.indices),
            bytes=sum(index.covered + index.torn for index in self.indices),
            torn=sum(index.torn for index in self.indices),
            duplicates=self.duplicates,
            stale=int((self.stale & (self.file >= 0)).sum()),
        )

    def _where(self, index: FileIndex) -> np.ndarray:
        column = index.arrays["column"].astype(np.int64)
        column[column == BASE_COLUMN] = self.width - 1
        return index.arrays["question"].astype(np.int64) * self.width + column

    def _values(self, index: FileIndex, name: str) -> np.ndarray:
        values = index.arrays[name]
        if name not in ("how", "status"):
            return values
        codes = [self.labels.setdefault(label, len(self.labels)) for label in index.labels]
        return np.asarray(codes, np.int16)[values] if codes else values


@dataclass
class CellSource:
    """Reads a cell's line when it is asked for; the line's checksum is tested again."""

    questions: list[StoredQuestion]
    matrix: Matrix
    _handles: dict[Path, int] = field(default_factory=dict)

    def cell(self, i: int, j: int) -> Cell:
        matrix = self.matrix
        at = i * matrix.width + (matrix.width - 1 if j == BASE_COLUMN else j)
        index = matrix.indices[matrix.file[at]]
        cell = self._read(index.path, int(matrix.flat["offset"][at]), int(matrix.flat["length"][at]))
        cell = replace(cell, column=j)
        if matrix.verdict_file[at] < 0:
            return cell
        path = matrix.verdicts[matrix.verdict_file[at]].path
        try:
            verdict = self._read(path, int(matrix.verdict_offset[at]), int(matrix.verdict_length[at]))
        except StoreError:
            raise VerdictError(path, "the file has been damaged or removed") from None
        return replace(
            cell,
            correct=verdict.correct,
            extracted=verdict.extracted,
            how=verdict.how,
            status=verdict.status,
        )

    def _read(self, path: Path, offset: int, length: int) -> Cell:
        if path not in self._handles:
            try:
                self._handles[path] = os.open(path, os.O_RDONLY)
            except OSError as error:
                raise StoreError(f"cannot read {path}: {error.strerror}") from error
        return Cell.decode(os.pread(self._handles[path], length, offset), f"{path} at byte {offset}")

    def __del__(self) -> None:
        for handle in self._handles.values():
            os.close(handle)
