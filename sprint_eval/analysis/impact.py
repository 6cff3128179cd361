"""Pass@1 of every head, by subject and layer: what tables and plots are made from."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sprint_eval.errors import DataError
from sprint_eval.heads import Head, HeadSet
from sprint_eval.outcomes import Outcomes

NO_PRUNE = "No-Prune"
ALL = "All"
_CSV_COLUMNS = ("head", "subject", "layer", "pass_at_1")


@dataclass(frozen=True)
class Impact:
    """Accuracies of single-head variants.

    Attributes:
        model, task: what was measured.
        heads: the J heads.
        subjects: the S subjects.
        accuracy: Pass@1, ``[J, S]``; NaN where it was not measured.
        base: Pass@1 of the unpruned model, ``[S]``.
        counts: questions of each subject, ``[S]``, or ``None`` where the source does not say.
    """

    model: str
    task: str
    heads: tuple[Head, ...]
    subjects: tuple[str, ...]
    accuracy: np.ndarray
    base: np.ndarray
    counts: np.ndarray | None

    @property
    def layers(self) -> list[int]:
        return sorted({head.layer for head in self.heads})

    @property
    def n(self) -> int | None:
        """Questions in all."""
        return None if self.counts is None else int(self.counts.sum())

    @property
    def overall(self) -> np.ndarray:
        """Pass@1 over all questions, ``[J]``; the mean over subjects where their sizes are unknown."""
        return np.asarray(np.average(self.accuracy, axis=1, weights=self.counts))

    @property
    def overall_base(self) -> float:
        return float(np.average(self.base, weights=self.counts))

    def rows(self, layer: int) -> list[int]:
        """Indices of a layer's heads, in order."""
        mine = [j for j, head in enumerate(self.heads) if head.layer == layer]
        return sorted(mine, key=lambda j: self.heads[j].head)

    def best_gains(self) -> list[tuple[int, str, Head, float]]:
        """Best pruned head minus no-prune for every layer and subject measured there (SPRINT, figure 2)."""
        gains = []
        for layer in self.layers:
            rows = self.rows(layer)
            for s, subject in enumerate(self.subjects):
                if np.isnan(self.accuracy[rows, s]).all():
                    continue
                best = rows[int(np.nanargmax(self.accuracy[rows, s]))]
                gains.append((layer, subject, self.heads[best], float(self.accuracy[best, s] - self.base[s])))
        return gains


@dataclass(frozen=True)
class Complete:
    """The questions of a matrix that were decoded with the base and all that its pool prunes.

    A pool may hold the base and draws besides, for a router to choose; they prune nothing.

    Attributes:
        outcomes: the matrix.
        rows: their indices.
        columns: those of the matrix whose heads are pruned, J.
        z: ``[n, J]`` of 0 and 1; ``base``: ``[n]``.
        subjects: subject of each, ``[n]``.
        single: which of the J prune one head.
    """

    outcomes: Outcomes
    rows: np.ndarray
    columns: list[int]
    z: np.ndarray
    base: np.ndarray
    subjects: np.ndarray
    single: list[int]

    @property
    def heads(self) -> tuple[Head, ...]:
        return tuple(self.head_sets[j].heads[0] for j in self.single)

    @property
    def head_sets(self) -> list[HeadSet]:
        """The J head sets."""
        return [self.outcomes.pool[column] for column in self.columns]

    @property
    def subject_names(self) -> list[str]:
        return sorted(set(self.subjects.tolist()))


def complete_part(outcomes: Outcomes) -> Complete:
    """The complete rows of a matrix.

    Raises:
        DataError: no question was decoded with the base and every head set.
    """
    columns = [j for j, heads in enumerate(outcomes.pool) if len(heads)]
    z = outcomes.z[:, columns]
    rows = np.flatnonzero((z >= 0).all(axis=1) & (outcomes.base >= 0))
    if len(rows) < 2:
        raise DataError(
            f"{len(rows)} of {len(outcomes.questions)} questions are decoded with the base and all "
            f"{len(columns)} head sets; a study needs 2 or more: resume the sweep"
        )
    single = [j for j, column in enumerate(columns) if len(outcomes.pool[column]) == 1]
    if not single:
        raise DataError("no head set of the pool prunes exactly one head; the study is about single heads")
    subjects = np.array(outcomes.subjects)[rows]
    return Complete(outcomes, rows, columns, z[rows], outcomes.base[rows], subjects, single)


def impact_of(part: Complete, model: str | None = None) -> Impact:
    """Accuracies from an outcome matrix's complete rows."""
    names = part.subject_names
    member = np.stack([part.subjects == name for name in names]).astype(np.float64)  # [S, n]
    counts = member.sum(axis=1)
    manifest = part.outcomes.manifest
    return Impact(
        model=model or manifest.model,
        task=manifest.task,
        heads=part.heads,
        subjects=tuple(names),
        accuracy=(member @ part.z[:, part.single] / counts[:, None]).T,
        base=member @ part.base / counts,
        counts=counts.astype(np.int64),
    )


def impact_from_csv(path: str | Path, model: str | None = None, task: str = "") -> Impact:
    """Read published accuracies: columns head, subject, layer, pass_at_1; head ``none`` is no-prune.

    Raises:
        DataError: the file cannot be read, a value is missing or stands twice, or the no-prune rows
            of a subject differ between layers.
    """
    source = Path(path)
    try:
        with source.open(newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle)
            if not set(_CSV_COLUMNS) <= set(reader.fieldnames or ()):
                raise DataError(f"{source} lacks columns: expected {', '.join(_CSV_COLUMNS)}")
            cells, base = _read_rows(source, reader)
    except OSError as error:
        raise DataError(f"cannot read {source}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{source} is no CSV file in UTF-8: {error}") from error
    if not cells or not base:
        raise DataError(f"{source} needs rows of heads and rows with head 'none' (no-prune)")
    heads = sorted({head for head, _ in cells})
    subjects = list(dict.fromkeys(subject for _, subject in cells))
    lacking = [subject for subject in subjects if subject not in base]
    if lacking:
        raise DataError(f"{source} has no row with head 'none' for {lacking[0]}")
    accuracy = np.array([[cells.get((head, s), np.nan) for s in subjects] for head in heads])
    return Impact(
        model or source.stem,
        task,
        tuple(heads),
        tuple(subjects),
        accuracy,
        np.array([base[s] for s in subjects]),
        None,
    )


def _read_rows(
    source: Path, reader: csv.DictReader[str]
) -> tuple[dict[tuple[Head, str], float], dict[str, float]]:
    cells: dict[tuple[Head, str], float] = {}
    base: dict[str, float] = {}
    for row in reader:
        where = f"{source} line {reader.line_num}"
        try:
            value, layer = float(row["pass_at_1"]), int(row["layer"])
            head = None if row["head"].strip().lower() == "none" else Head(layer, int(row["head"]))
            subject = row["subject"].strip()
        except (ValueError, TypeError, AttributeError):
            raise DataError(
                f"{where}: expected a head, a subject, a layer and a share, found {row}"
            ) from None
        if not 0 <= value <= 1:
            raise DataError(f"{where}: pass_at_1 = {value} is no share between 0 and 1")
        if head is None:
            # The unpruned model has no layer: a file may repeat it for each, but not differently.
            if base.setdefault(subject, value) != value:
                raise DataError(f"{where}: no-prune of {subject} is {value} here and {base[subject]} before")
        elif (head, subject) in cells:
            raise DataError(f"{where}: {head} stands twice for {subject}")
        else:
            cells[head, subject] = value
    return cells, base
