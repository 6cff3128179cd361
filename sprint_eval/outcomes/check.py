"""A full check of an outcome store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sprint_eval.errors import StoreError
from sprint_eval.outcomes.cells import Cell
from sprint_eval.outcomes.index import read_index
from sprint_eval.outcomes.manifest import Manifest, load_questions
from sprint_eval.outcomes.matrix import check_file
from sprint_eval.outcomes.reader import Outcomes
from sprint_eval.outcomes.shard import shard_paths
from sprint_eval.outcomes.store import done_cells, expected_cells


@dataclass
class CheckReport:
    """What a full check of a store found.

    Attributes:
        cells, holes: cells there, and cells missing of the whole matrix.
        shards: files with cells.
        duplicates: cells that stand more than once with the same content.
        conflicts: cells that stand more than once with different texts or verdicts.
        torn: bytes of torn tails.
        stale: cells with verdicts of another grader than the manifest's.
        problems: a line for everything that makes the store unreadable.
    """

    cells: int = 0
    holes: int = 0
    shards: int = 0
    duplicates: int = 0
    conflicts: int = 0
    torn: int = 0
    stale: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Nothing is damaged, doubtful or of another run; holes and torn tails are no damage."""
        return not (self.problems or self.conflicts or self.stale)


def check_store(folder: str | Path) -> CheckReport:
    """Read every byte of a store: checksums, duplicates, holes, shards of other runs.

    Raises:
        StoreError: there is no store, or not even its manifest and questions can be read.
    """
    store = Path(folder)
    manifest = Manifest.load(store)
    load_questions(store, manifest)
    report = CheckReport()
    for path in shard_paths(store):
        report.shards += 1
        try:
            index = read_index(store, path, use_cache=False)
            report.torn += index.torn
            if index.header is not None:
                check_file(index, manifest)
        except StoreError as error:
            report.problems.append(str(error))
    report.holes = expected_cells(manifest)
    if report.problems:
        return report
    try:
        outcomes = Outcomes.load(store, allow_stale=True, use_cache=False)
    except StoreError as error:
        report.problems.append(str(error))
        return report
    report.cells = done_cells(outcomes)
    report.holes -= report.cells
    report.stale = outcomes.health.stale
    report.conflicts = sum(1 for _ in _conflicts(store, outcomes))
    report.duplicates = outcomes.health.duplicates - report.conflicts
    return report


def _conflicts(store: Path, outcomes: Outcomes) -> Iterator[Cell]:
    """Cells that stand a second time with another content."""
    if not outcomes.health.duplicates:
        return
    seen: set[tuple[int, int]] = set()
    for cell in raw_cells(store):
        place = (cell.question, cell.column)
        if place in seen:
            first = outcomes.cell(*place)
            # Verdicts of a later grader stand over those in the shards, so texts are what counts.
            if (first.text, first.tokens, first.finish) != (cell.text, cell.tokens, cell.finish):
                yield cell
        seen.add(place)


def raw_cells(store: Path) -> Iterator[Cell]:
    """The cells of all shards as they stand there, duplicates included."""
    for path in shard_paths(store):
        index = read_index(store, path)
        with path.open("rb") as handle:
            for offset, length in zip(
                index.arrays["offset"].tolist(), index.arrays["length"].tolist(), strict=True
            ):
                handle.seek(offset)
                yield Cell.decode(handle.read(length), f"{path} at byte {offset}")
