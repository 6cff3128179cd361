"""Taking out of an outcome store what does not fit."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field, replace
from pathlib import Path

from sprint_eval.errors import StoreError
from sprint_eval.outcomes.index import INDEX_FOLDER, FileIndex, read_index
from sprint_eval.outcomes.manifest import Manifest, load_questions
from sprint_eval.outcomes.matrix import check_range, check_run
from sprint_eval.outcomes.merge import append_all, each_cell
from sprint_eval.outcomes.reader import VERDICT_FOLDER, Outcomes
from sprint_eval.outcomes.shard import SHARD_FOLDER, ShardWriter, maintenance, shard_paths
from sprint_eval.outcomes.store import check_alone
from sprint_eval.processes import Process

REMOVED_FOLDER = "removed"
_COMPACT = "0-compact-"


@dataclass
class PruneReport:
    """What pruning took out, or would.

    Attributes:
        foreign: names of files that are of another run or without a header, moved out of the shards.
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
    kill in between loses nothing. Whole files that do not fit are moved to ``removed/``, which nothing
    reads: where a header alone is damaged, the cells are still there.

    Args:
        folder: the store.
        dry_run: only report.

    Raises:
        StoreError: a sweep or other maintenance is at work on the store, it cannot be read or written,
            or verdicts are stale.
    """
    store = Path(folder)
    with maintenance(store):
        return _prune(store, dry_run)


def _prune(store: Path, dry_run: bool) -> PruneReport:
    manifest = Manifest.load(store)
    load_questions(store, manifest)
    check_alone(store)
    report, good = sort_out(store, manifest)
    outcomes = Outcomes.from_files(store, good, allow_stale=True, use_cache=False)
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


def sort_out(store: Path, manifest: Manifest) -> tuple[PruneReport, list[FileIndex]]:
    """What does not fit, and the shards of this run, from reading every byte of them.

    Raises:
        StoreError: a file cannot be read at the moment, which says nothing of what it holds.
    """
    report, good = PruneReport(), []
    for path in shard_paths(store):
        try:
            index = read_index(store, path, use_cache=False)
            check_run(index, manifest)
            check_range(index, manifest)
        except StoreError as error:
            if isinstance(error.__cause__, OSError):
                raise
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
        with ShardWriter(store, manifest, Process(), name=_next_name(store)) as writer:
            append_all(writer, each_cell(outcomes))
        # From here on the new shard, first in order, is what counts.
        replace(manifest, verdict_files=()).save(store)
    for index in good:
        if report.rewrite:
            index.path.unlink()
        elif index.torn:
            os.truncate(index.path, index.covered)
    for name in report.foreign:
        _put_aside(store, store / SHARD_FOLDER / name)
    for left in [*store.glob(f"{INDEX_FOLDER}/*.npz"), *store.glob(f"{VERDICT_FOLDER}/*.jsonl")]:
        if left.parent.name == INDEX_FOLDER or report.rewrite:
            left.unlink()


def _put_aside(store: Path, path: Path) -> None:
    """Move a file to the folder of removed ones, over none that is there."""
    target = store / REMOVED_FOLDER / path.name
    target.parent.mkdir(exist_ok=True)
    if target.exists():
        target = target.with_stem(f"{path.stem}-{secrets.token_hex(4)}")
    path.rename(target)


def _next_name(store: Path) -> str:
    """A name before that of any shard there, so that its cells are the first of equal ones."""
    ends = [path.stem[len(_COMPACT) :] for path in shard_paths(store) if path.stem.startswith(_COMPACT)]
    return f"{_COMPACT}{min((int(end) for end in ends if end.isdecimal()), default=1_000_000) - 1:06d}"


def _size(store: Path) -> int:
    return sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
