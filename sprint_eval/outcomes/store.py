"""An outcome store that is being filled: made once, resumed after anything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sprint_eval.errors import StoreError
from sprint_eval.files import write_atomic
from sprint_eval.heads import BASE
from sprint_eval.outcomes.cells import BASE_COLUMN
from sprint_eval.outcomes.manifest import (
    MANIFEST_FILE,
    QUESTIONS_FILE,
    Manifest,
    StoredQuestion,
    questions_text,
)
from sprint_eval.outcomes.reader import Outcomes
from sprint_eval.outcomes.shard import ShardWriter, is_locked, process_of, shard_paths
from sprint_eval.processes import Process


class OutcomeStore:
    """A folder that processes fill with cells, each with shards of its own.

    Every process is given the same manifest and questions, whichever comes first writes them.
    """

    def __init__(self, folder: str | Path, manifest: Manifest, questions: Sequence[StoredQuestion]) -> None:
        """Make the store, or open it when it is there and of the same run.

        Raises:
            StoreError: the folder cannot be written, or holds shards without a manifest.
            MismatchError: the folder belongs to another run; names the field.
        """
        self.folder = Path(folder)
        self.questions = list(questions)
        self.manifest = manifest.with_questions(self.questions)
        shards = shard_paths(self.folder)  # looked for first: another process may just be beginning
        if (self.folder / MANIFEST_FILE).exists():
            stored = Manifest.load(self.folder)
            stored.check_same(self.manifest, str(self.folder))
            self.manifest = stored
            return
        if shards:
            raise StoreError(
                f"{self.folder} has shards but no {MANIFEST_FILE}; restore it or use another folder"
            )
        try:
            # The manifest comes last: where it stands, the questions are whole.
            write_atomic(self.folder / QUESTIONS_FILE, questions_text(self.questions))
            self.manifest.save(self.folder)
        except OSError as error:
            raise StoreError(
                f"cannot write to the outcome store {self.folder}: {error.strerror}; choose another folder"
            ) from error

    def outcomes(self) -> Outcomes:
        """What has been decoded so far, by all processes."""
        return Outcomes.load(self.folder)

    def missing(self, process: Process) -> list[tuple[int, list[int]]]:
        """This process's questions that lack cells, each with its missing columns, the base first.

        Which question is whose depends on its number alone, so that processes that start at
        different moments, or after a kill in another number, never divide the work differently.
        """
        done = self.outcomes().done  # [n, J + 1], the base last
        wanted = [BASE_COLUMN] + [j for j, name in enumerate(self.manifest.pool) if name != BASE]
        work = []
        for i in range(process.index, len(done), process.count):
            columns = [j for j in wanted if not done[i, j]]
            if columns:
                work.append((i, columns))
        return work

    def writer(self, process: Process) -> ShardWriter:
        """A new shard for this process.

        Raises:
            StoreError: another living process does the same part of the work.
        """
        check_alone(self.folder, process)
        return ShardWriter(self.folder, self.manifest, process)


def check_alone(folder: Path, process: Process | None = None) -> None:
    """Refuse to work beside living writers: any for maintenance, rivals for a sweep's process.

    Raises:
        StoreError: names the shard that is being written.
    """
    for path in shard_paths(folder):
        rival = process is None or process_of(path) in (None, (process.index, process.count))
        other = process is not None and not rival and _count(path) != process.count
        if (rival or other) and is_locked(path):
            raise StoreError(
                f"another sweep is writing to {folder} ({path.name} is in use); wait for it or stop it first"
            )


def _count(path: Path) -> int | None:
    found = process_of(path)
    return found[1] if found else None


def expected_cells(manifest: Manifest) -> int:
    """How many cells a whole store has: questions times head sets, and the base."""
    return manifest.num_questions * (len([name for name in manifest.pool if name != BASE]) + 1)


def done_cells(outcomes: Outcomes) -> int:
    """How many of them have been decoded."""
    keep = [j for j, name in enumerate(outcomes.manifest.pool) if name != BASE]
    return int(np.count_nonzero(outcomes.z[:, keep] >= 0) + np.count_nonzero(outcomes.base >= 0))
