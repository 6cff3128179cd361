"""Taking out of an outcome store what does not fit."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from sprint_eval.errors import StoreError
from sprint_eval.outcomes.index import INDEX_FOLDER, FileIndex, read_index
from sprint_eval.outcomes.manifest import Manifest, load_questions
from sprint_eval.outcomes.matrix import check_range, check_run
from sprint_eval.outcomes.merge import each_cell, write_shard
from sprint_eval.outcomes.reader import VERDICT_FOLDER, Outcomes
from sprint_eval.outcomes.shard import shard_paths
from sprint_eval.outcomes.store import check_alone

_COMPACT = "0-compact-"


@dataclass
class PruneReport:
    """What pruning took out, or would.

    Attributes:
        foreign: names of files that are of another run or no shards at all.
        damaged: lines with a wrong checksum.
        torn: bytes of torn tails.
        duplicates: cells that stood more than once.
        verdict_files: files of later verdicts, now written into the cells.
        bytes: how much smaller the store became.
    """

    foreign: list[str] = field(default_factory=list)
    damaged: int = 0
    torn: int = 0
    duplicates: int = 0
    verdict_files: int = 0
    bytes: int = 0

    @property
    def rewrite(self) -> bool:
        """Whether the cells must be written anew."""
        return bool(self.damaged or self.duplicates or self.verdict_files)


def prune_store(folder: str | Path, *, dry_run: bool = False) -> PruneReport:
    """Take out what does not fit: damaged lines, torn tails, duplicates, files of other runs.

    The good cells are first written to a new shard and only then the old ones removed, so that a
    kill in between loses nothing.

    Args:
        folder: the store.
        dry_run: only report.

    Raises:
        StoreError: a sweep is writing to the store, it cannot be written, or verdicts are stale.
    """
    store = Path(folder)
    manifest = Manifest.load(store)
    load_questions(store, manifest)
    check_alone(store)
    report, good = _sort_out(store, manifest)
    outcomes = Outcomes.from_files(store, good, allow_stale=True)
    report.duplicates = outcomes.health.duplicates
    report.verdict_files = len(manifest.verdict_files)
    if outcomes.health.stale and report.rewrite:
        raise StoreError(
            f"{outcomes.health.stale} cells have stale verdicts; first run: sprint-eval regrade {store}"
        )
    if dry_run:
        return report
    before = _size(store)
    try:
        _apply(store, manifest, report, good, outcomes)
    except OSError as error:
        raise StoreError(f"cannot write to the outcome store {store}: {error.strerror}") from error
    report.bytes = before - _size(store)
    return report


def _sort_out(store: Path, manifest: Manifest) -> tuple[PruneReport, list[FileIndex]]:
    report, good = PruneReport(), []
    for path in shard_paths(store):
        try:
            index = read_index(store, path, use_cache=False)
            if index.header is not None:
                check_run(index, manifest)
                check_range(index, manifest)
        except StoreError:
            report.foreign.append(path.name)
            continue
        report.damaged += len(index.damaged)
        report.torn += index.torn
        good.append(index)
    return report, good


def _apply(
    store: Path, manifest: Manifest, report: PruneReport, good: list[FileIndex], outcomes: Outcomes
) -> None:
    if report.rewrite:
        write_shard(store, manifest, _next_name(good), each_cell(outcomes))
        # From here on the new shard, first in order, is what counts.
        replace(manifest, verdict_files=()).save(store)
    for index in good:
        if report.rewrite or index.header is None:
            index.path.unlink()
        elif index.torn:
            os.truncate(index.path, index.covered)
    for name in report.foreign:
        (store / "shards" / name).unlink()
    for left in [*store.glob(f"{INDEX_FOLDER}/*.npz"), *store.glob(f"{VERDICT_FOLDER}/*.jsonl")]:
        if left.parent.name == INDEX_FOLDER or report.rewrite:
            left.unlink()


def _next_name(good: list[FileIndex]) -> str:
    """A name before that of any shard there, so that its cells are the first of equal ones."""
    numbers = [
        int(index.path.stem[len(_COMPACT) :]) for index in good if index.path.stem.startswith(_COMPACT)
    ]
    return f"{_COMPACT}{min(numbers, default=1_000_000) - 1:06d}"


def _size(store: Path) -> int:
    return sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
