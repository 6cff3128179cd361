"""A new grader over stored texts: nothing is decoded again."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sprint_eval.errors import StoreError
from sprint_eval.files import write_atomic
from sprint_eval.heads import BASE
from sprint_eval.outcomes.cells import BASE_COLUMN, Cell, encode_line
from sprint_eval.outcomes.index import FileIndex
from sprint_eval.outcomes.manifest import Manifest
from sprint_eval.outcomes.matrix import GRADED_SHARDS, VerdictError
from sprint_eval.outcomes.prune import sort_out
from sprint_eval.outcomes.reader import VERDICT_FOLDER, Outcomes
from sprint_eval.outcomes.shard import maintenance, shard_header
from sprint_eval.outcomes.store import check_alone
from sprint_eval.processes import Process

Grade = Callable[[Mapping[str, Any], Sequence[str]], Sequence[Any]]
_EXAMPLES = 5


@dataclass(frozen=True)
class Change:
    """A cell whose verdict changed."""

    question: int
    heads: str
    gold: str
    old: Cell
    new: Cell


@dataclass
class RegradeReport:
    """What a new grader changed.

    Attributes:
        old_version, new_version: of the grader.
        cells: cells that were graded again.
        to_right, to_wrong: cells whose outcome changed.
        extracted: cells with another extracted answer, outcome changed or not.
        statuses: how often each (old, new) pair of statuses differs.
        by_heads: changed outcomes of each head set.
        examples: the first few changes.
        damaged: lines with a wrong checksum, passed over.
        foreign: names of files of another run or without a header, passed over.
        lost_verdicts: the earlier verdict file cannot be used, so that changes are counted from the
            verdicts in the shards.
    """

    old_version: str
    new_version: str
    cells: int = 0
    to_right: int = 0
    to_wrong: int = 0
    extracted: int = 0
    statuses: Counter[tuple[str, str]] = field(default_factory=Counter)
    by_heads: Counter[str] = field(default_factory=Counter)
    examples: list[Change] = field(default_factory=list)
    damaged: int = 0
    foreign: list[str] = field(default_factory=list)
    lost_verdicts: bool = False

    def note(self, change: Change) -> None:
        """Count a cell."""
        old, new = change.old, change.new
        self.cells += 1
        self.extracted += old.extracted != new.extracted
        if old.status != new.status:
            self.statuses[old.status, new.status] += 1
        if old.correct != new.correct:
            self.to_right += new.correct
            self.to_wrong += old.correct
            self.by_heads[change.heads] += 1
            if len(self.examples) < _EXAMPLES:
                self.examples.append(change)


def regrade_store(folder: str | Path, grade: Grade, version: str, *, dry_run: bool = False) -> RegradeReport:
    """Grade every stored text again and put the verdicts in force.

    The new verdicts are written to a file of their own; the manifest, written last, puts them in
    force all at once. A kill before that leaves the old ones. What pruning would take out is passed
    over, and so is an earlier file of verdicts that cannot be used.

    Args:
        folder: the store.
        grade: verdicts on answers to one document.
        version: of the grader.
        dry_run: only report.

    Raises:
        StoreError: a sweep or other maintenance is at work on the store, or it cannot be written.
    """
    store = Path(folder)
    with maintenance(store):
        check_alone(store)
        manifest = Manifest.load(store)
        misfits, good = sort_out(store, manifest)
        outcomes, lost = _outcomes(store, good)
        report = RegradeReport(manifest.grader_version, version, lost_verdicts=lost)
        report.damaged, report.foreign = misfits.damaged, misfits.foreign
        target = replace(manifest, grader_version=version)
        header = shard_header(target, Process()) | {GRADED_SHARDS: [index.path.name for index in good]}
        lines = [encode_line(header)]
        for change in _changes(outcomes, grade):
            report.note(change)
            lines.append(replace(change.new, text="").encode())
        if not dry_run:
            _put_in_force(store, target, b"".join(lines))
    return report


def _outcomes(store: Path, good: list[FileIndex]) -> tuple[Outcomes, bool]:
    """The matrix in these shards, and whether the verdicts in force over theirs are lost."""
    try:
        return Outcomes.from_files(store, good, allow_stale=True, use_cache=False), False
    except VerdictError:
        return Outcomes.from_files(store, good, allow_stale=True, verdicts=False), True


def _changes(outcomes: Outcomes, grade: Grade) -> Iterator[Change]:
    names = outcomes.manifest.pool
    columns = [BASE_COLUMN] + [j for j, name in enumerate(names) if name != BASE]
    done = outcomes.done
    for i in range(len(done)):
        cells = [outcomes.cell(i, j) for j in columns if done[i, j]]
        doc = outcomes.doc(i)
        verdicts = grade(doc, [cell.text for cell in cells])
        for cell, verdict in zip(cells, verdicts, strict=True):
            heads = BASE if cell.column == BASE_COLUMN else names[cell.column]
            new = replace(
                cell,
                correct=verdict.correct,
                extracted=verdict.extracted,
                how=verdict.how,
                status=verdict.status,
            )
            yield Change(i, heads, str(doc.get("answer", "")), cell, new)


def _put_in_force(store: Path, manifest: Manifest, data: bytes) -> None:
    name = f"grader-{manifest.grader_version}-{secrets.token_hex(4)}.jsonl"
    path = store / VERDICT_FOLDER / name
    try:
        write_atomic(path, data)
        replace(manifest, verdict_files=(name,)).save(store)
        for old in (store / VERDICT_FOLDER).glob("*.jsonl"):
            if old.name != name:
                old.unlink()
    except OSError as error:
        raise StoreError(f"cannot write to the outcome store {store}: {error.strerror}") from error
