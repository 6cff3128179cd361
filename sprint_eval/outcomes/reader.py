"""The outcome matrix Z, read from a store or built in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from sprint_eval.errors import DataError, StoreError
from sprint_eval.heads import HeadPool
from sprint_eval.outcomes.cells import BASE_COLUMN, Cell
from sprint_eval.outcomes.index import FINISH, FileIndex, read_index
from sprint_eval.outcomes.manifest import (
    Manifest,
    OutcomeQuestion,
    StoredQuestion,
    load_questions,
    text_hash,
)
from sprint_eval.outcomes.matrix import CellSource, Matrix, StoreHealth, VerdictError, check_file
from sprint_eval.outcomes.shard import shard_paths
from sprint_eval.questions import question_hash

VERDICT_FOLDER = "verdicts"


@dataclass
class Outcomes:
    """Which variant answers which question correctly: Z of SPRINT's section 4, with the texts.

    Attributes:
        manifest: the run that made it.
        questions: the n rows.
        pool: the J columns; the base stands beside them, unless the user put it in the pool.
        z: int8 ``[n, J]``: 1 right, 0 wrong, -1 not decoded yet.
        base: int8 ``[n]``: the same for the unpruned model.
        tokens: int32 ``[n, J + 1]``, generated tokens, -1 unknown; the last column is the base.
        truncated: bool ``[n, J + 1]``: whether the token limit cut the answer.
        health: what reading came upon.
    """

    manifest: Manifest
    questions: list[OutcomeQuestion]
    pool: HeadPool
    z: np.ndarray
    base: np.ndarray
    tokens: np.ndarray
    truncated: np.ndarray
    health: StoreHealth = field(default_factory=StoreHealth)
    _cells: CellSource | None = field(default=None, repr=False)

    @property
    def done(self) -> np.ndarray:
        """Whether a cell has been decoded: bool ``[n, J + 1]``, the base last."""
        return np.column_stack([self.z, self.base]) >= 0

    @property
    def complete(self) -> bool:
        return bool(self.done.all())

    @property
    def subjects(self) -> list[str]:
        """The subject of each row."""
        return [question.subject for question in self.questions]

    @property
    def has_texts(self) -> bool:
        """Whether the answers themselves can be read, as those of a store can."""
        return self._cells is not None

    def cell(self, i: int, j: int) -> Cell:
        """Answer of variant ``j`` (:data:`BASE_COLUMN` for the base) to question ``i``.

        Raises:
            DataError: the cell has not been decoded, or the matrix has no texts.
        """
        name = "base" if j == BASE_COLUMN else str(self.pool[j])
        if self._cells is None:
            raise DataError("this outcome matrix was built without texts")
        if not self.done[i, j]:
            raise DataError(f"question {i} has not been decoded with {name}; resume the sweep")
        return self._cells.cell(i, j)

    def doc(self, i: int) -> Mapping[str, Any]:
        """The task's document of row ``i``, gold answer included: for grading alone."""
        if self._cells is None:
            raise DataError("this outcome matrix was built without documents")
        return self._cells.questions[i].doc

    @classmethod
    def load(cls, folder: str | Path, *, allow_stale: bool = False, use_cache: bool = True) -> Outcomes:
        """Read a store.

        Args:
            folder: the store's folder.
            allow_stale: accept verdicts of another grader than the manifest's.
            use_cache: use and update the index beside the shards.

        Raises:
            StoreError: the folder is no store, or a file of it is damaged or of another run.
        """
        store = Path(folder)
        manifest = Manifest.load(store)
        indices = [read_index(store, path, use_cache) for path in shard_paths(store)]
        for index in indices:
            # A writer killed before its first line was whole left a file that holds nothing.
            if index.header is not None:
                check_file(index, manifest)
        return cls.from_files(store, indices, allow_stale=allow_stale, use_cache=use_cache)

    @classmethod
    def from_files(
        cls,
        store: Path,
        indices: list[FileIndex],
        *,
        allow_stale: bool = False,
        use_cache: bool = True,
        verdicts: bool = True,
    ) -> Outcomes:
        """The matrix in some of a store's files, which have been checked.

        ``verdicts=False`` leaves the shards' own verdicts in force.

        Raises:
            VerdictError: a file of later verdicts is missing, damaged, or of another run or grader.
        """
        manifest = Manifest.load(store)
        questions = load_questions(store, manifest)
        matrix = Matrix(manifest, indices)
        for name in manifest.verdict_files if verdicts else ():
            matrix.apply_verdicts(_verdict_index(store, store / VERDICT_FOLDER / name, use_cache))
        matrix.mirror_base()
        health = matrix.health()
        if health.stale and not allow_stale:
            raise StoreError(
                f"{health.stale} cells of {store} have verdicts of another grader than "
                f"{manifest.grader_version}; run: sprint-eval regrade {store}"
            )
        return _outcomes(manifest, questions, matrix, health)

    @classmethod
    def from_arrays(
        cls,
        z: Any,
        questions: Sequence[str | OutcomeQuestion],
        pool: HeadPool,
        *,
        base: Any = None,
        subjects: Sequence[str] | None = None,
        tokens: Any = None,
        truncated: Any = None,
        manifest: Manifest | None = None,
        **facts: Any,
    ) -> Outcomes:
        """Build a matrix in memory, without texts.

        Args:
            z: ``[n, J]`` of 0, 1 and -1.
            questions: n rows, or their texts.
            pool: the J columns.
            base: ``[n]``; not decoded where it is left out.
            subjects: n subjects, where ``questions`` are texts.
            tokens, truncated: ``[n, J + 1]``, the base last.
            manifest: the run; otherwise a made-up one with ``facts`` as its fields.

        Raises:
            DataError: shapes or values that do not fit.
        """
        z = np.asarray(z, np.int8)
        rows = _rows(questions, subjects)
        base = np.full(len(rows), -1, np.int8) if base is None else np.asarray(base, np.int8)
        if z.shape != (len(rows), len(pool)) or base.shape != (len(rows),):
            raise DataError(
                f"z has shape {z.shape} and base {base.shape}, expected ({len(rows)}, {len(pool)}) and "
                f"({len(rows)},) for these questions and this pool"
            )
        if not (np.isin(z, (-1, 0, 1)).all() and np.isin(base, (-1, 0, 1)).all()):
            raise DataError("outcomes are 1 (right), 0 (wrong) or -1 (not decoded)")
        shape = (len(rows), len(pool) + 1)
        tokens = np.full(shape, -1, np.int32) if tokens is None else np.asarray(tokens, np.int32)
        truncated = np.zeros(shape, bool) if truncated is None else np.asarray(truncated, bool)
        if tokens.shape != shape or truncated.shape != shape:
            raise DataError(f"tokens and truncated must have shape {shape}: a row a question, the base last")
        if manifest is None:
            manifest = replace(_MADE_UP, pool=tuple(pool.names()), num_questions=len(rows), **facts)
        return cls(manifest, rows, pool, z, base, tokens, truncated)


_MADE_UP = Manifest("in memory", "", "float32", "in memory", "0", "train", {}, (), "", num_fewshot=None)


def _verdict_index(store: Path, path: Path, use_cache: bool) -> FileIndex:
    try:
        return read_index(store, path, use_cache)
    except StoreError as error:
        cause = error.__cause__
        why = cause.strerror if isinstance(cause, OSError) else "the file is damaged"
        raise VerdictError(path, str(why)) from error


def _outcomes(
    manifest: Manifest, questions: list[StoredQuestion], matrix: Matrix, health: StoreHealth
) -> Outcomes:
    correct = matrix.square("correct")
    return Outcomes(
        manifest,
        [OutcomeQuestion(q.doc_hash, q.question, q.subject, q.key) for q in questions],
        manifest.head_pool,
        z=correct[:, :-1],
        base=correct[:, -1],
        tokens=matrix.square("tokens"),
        truncated=matrix.square("finish") == FINISH.index("length"),
        health=health,
        _cells=CellSource(questions, matrix),
    )


def _rows(
    questions: Sequence[str | OutcomeQuestion], subjects: Sequence[str] | None
) -> list[OutcomeQuestion]:
    if subjects is not None and len(subjects) != len(questions):
        raise DataError(f"{len(subjects)} subjects for {len(questions)} questions: expected one each")
    rows = []
    for number, row in enumerate(questions):
        if isinstance(row, str):
            subject = subjects[number] if subjects is not None else ""
            row = OutcomeQuestion(text_hash(row), row, subject, question_hash(row))
        rows.append(row)
    return rows
