"""Joining outcome stores, and taking a part of one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

from sprint_eval.errors import ArgumentError, DataError, MismatchError, StoreError
from sprint_eval.files import refuse_file, write_atomic
from sprint_eval.heads import BASE, HeadPool
from sprint_eval.outcomes.cells import BASE_COLUMN, Cell
from sprint_eval.outcomes.manifest import (
    MANIFEST_FILE,
    MERGEABLE_FIELDS,
    QUESTIONS_FILE,
    Manifest,
    StoredQuestion,
    load_questions,
    questions_text,
)
from sprint_eval.outcomes.reader import Outcomes
from sprint_eval.outcomes.shard import ShardWriter, shard_paths
from sprint_eval.processes import Process
from sprint_eval.prompt_facts import MULTITURN, TEMPLATE_ARGS

_BATCH = 4096
# Facts in which the prompts of other questions may differ, where no prompt's hash can tell.
_PROMPT_FACTS = ("system_instruction", MULTITURN, TEMPLATE_ARGS)


def merge_stores(folders: Sequence[str | Path], out: str | Path, *, prefer_first: bool = False) -> Outcomes:
    """Join stores of one run that hold other questions, other heads, or parts of both, into a new one.

    Args:
        folders: the stores; rows and columns keep their order, those of later stores follow.
        out: a folder without a store.
        prefer_first: where two stores hold different texts for a cell, take the first's.

    Raises:
        MismatchError: the stores are of different runs, or their prompts of different formats; names
            the field.
        StoreError: ``out`` is a store already, or two stores contradict each other.
    """
    target = _new_folder(out)
    parts = [Outcomes.load(folder) for folder in folders]
    if not parts:
        raise DataError("nothing to merge: name one or more stores")
    # Every pair: two may differ in what a third does not know.
    for (where, one), (_, other) in combinations(zip(folders, parts, strict=True), 2):
        one.manifest.check_same(other.manifest, str(where), ignore=MERGEABLE_FIELDS)
    _check_prompts({str(folder): part.manifest for folder, part in zip(folders, parts, strict=True)})
    stored = [
        load_questions(Path(folder), part.manifest) for folder, part in zip(folders, parts, strict=True)
    ]
    rows, row_maps = _joined_rows(stored)
    names = list(dict.fromkeys(name for part in parts for name in part.manifest.pool))
    manifest = replace(parts[0].manifest, pool=tuple(names), verdict_files=()).with_questions(rows)
    _write_store(target, manifest, rows, _joined_cells(parts, row_maps, names, prefer_first))
    return Outcomes.load(target)


def each_cell(outcomes: Outcomes) -> Iterator[Cell]:
    """The cells of a matrix, question by question, the base first; a base in the pool once."""
    names = outcomes.manifest.pool
    columns = [BASE_COLUMN] + [j for j, name in enumerate(names) if name != BASE]
    done = outcomes.done
    for i in range(len(done)):
        for j in columns:
            if done[i, j]:
                yield outcomes.cell(i, j)


def select_store(
    folder: str | Path, out: str | Path, *, pool: HeadPool | None = None, limit: int | None = None
) -> Outcomes:
    """Copy a part of a store into a new one: some columns, the first questions, or both.

    Raises:
        ArgumentError: a limit below 1.
        DataError: a head set that the store does not have.
        StoreError: ``out`` is a store already, or a file.
    """
    if limit is not None and limit < 1:
        raise ArgumentError(f"--limit {limit}: expected at least 1 question")
    target = _new_folder(out)
    whole = Outcomes.load(folder)
    names = list(whole.manifest.pool)
    kept = pool.names() if pool is not None else names
    absent = [name for name in kept if name not in names]
    if absent:
        raise DataError(f"{folder} has no column {absent[0]}; its pool is {whole.pool}")
    rows = load_questions(Path(folder), whole.manifest)[:limit]
    columns = {names.index(name): place for place, name in enumerate(kept)} | {BASE_COLUMN: BASE_COLUMN}
    manifest = replace(whole.manifest, pool=tuple(kept), verdict_files=()).with_questions(rows)
    cells = (
        replace(cell, column=columns[cell.column])
        for cell in each_cell(whole)
        if cell.question < len(rows) and cell.column in columns
    )
    _write_store(target, manifest, rows, cells)
    return Outcomes.load(target)


def _new_folder(out: str | Path) -> Path:
    target = Path(out)
    refuse_file(target)
    if shard_paths(target) or (target / QUESTIONS_FILE).exists():
        raise StoreError(f"{target} holds a store already; choose a new folder")
    return target


def _check_prompts(manifests: Mapping[str, Manifest]) -> None:
    """Refuse stores whose prompts were made in different ways; a store that does not tell fits any."""
    for name in _PROMPT_FACTS:
        told = [
            (where, run.facts[name] or None)
            for where, run in manifests.items()
            if name in run.facts and (name != MULTITURN or run.num_fewshot != 0)
        ]
        for where, value in told[1:]:
            first, expected = told[0]
            if value != expected:
                raise MismatchError(
                    f"the prompts of {first} and {where} differ: {name} is {expected!r} in the first and "
                    f"{value!r} in the second; merge stores that were swept with the same one"
                )


def _joined_rows(
    stores: Sequence[Sequence[StoredQuestion]],
) -> tuple[list[StoredQuestion], list[list[int]]]:
    """All questions, each once, and where those of each store went.

    A question that stands twice in one store (the same document) is told apart by its turn.
    """
    rows: list[StoredQuestion] = []
    places: dict[tuple[str, str, int], int] = {}
    maps = []
    for store in stores:
        turns: dict[tuple[str, str], int] = {}
        mine = []
        for row in store:
            name = (row.doc_hash, row.prompt_hash)
            turns[name] = turns.get(name, -1) + 1
            place = places.setdefault((*name, turns[name]), len(rows))
            if place == len(rows):
                rows.append(row)
            mine.append(place)
        maps.append(mine)
    prompts: dict[str, str] = {}
    for row in rows:
        if prompts.setdefault(row.doc_hash, row.prompt_hash) != row.prompt_hash:
            raise MismatchError(
                f"the stores ask the question {row.question[:60]!r} by different prompts "
                "(few-shot examples or chat template differ); sweep them alike"
            )
    return rows, maps


def _joined_cells(
    parts: Sequence[Outcomes], row_maps: Sequence[list[int]], names: list[str], prefer_first: bool
) -> Iterator[Cell]:
    written: dict[tuple[int, int], tuple[int, int]] = {}  # place: store it came from, hash of its content
    for number, (part, rows) in enumerate(zip(parts, row_maps, strict=True)):
        columns = [names.index(name) for name in part.manifest.pool]
        for cell in each_cell(part):
            column = BASE_COLUMN if cell.column == BASE_COLUMN else columns[cell.column]
            place = (rows[cell.question], column)
            content = hash((cell.text, cell.tokens, cell.finish, cell.correct, cell.extracted))
            owner, earlier = written.setdefault(place, (number, content))
            if owner == number:
                yield replace(cell, question=place[0], column=column)
            elif earlier != content and not prefer_first:
                heads = BASE if column == BASE_COLUMN else names[column]
                raise StoreError(
                    f"the stores contradict each other on question {place[0]} with {heads}; "
                    "merge with --prefer-first to take the first store's answer"
                )


def _write_store(
    folder: Path, manifest: Manifest, rows: Sequence[StoredQuestion], cells: Iterable[Cell]
) -> None:
    """A new store with one shard; its manifest comes last, so that it is whole or not there.

    The shard comes first: where another process writes to the folder too, only one of them gets the
    name, and the other leaves what it finds alone.
    """
    with ShardWriter(folder, manifest, Process(), name="0-merged") as writer:
        made = [writer.path]
        try:
            append_all(writer, cells)
            made.append(folder / QUESTIONS_FILE)
            write_atomic(made[-1], questions_text(rows))
            made.append(folder / MANIFEST_FILE)
            manifest.save(folder)
        except BaseException as error:
            for path in reversed(made):
                path.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise StoreError(f"cannot write to {folder}: {error.strerror}") from error
            raise


def append_all(writer: ShardWriter, cells: Iterable[Cell]) -> None:
    """Write cells in batches, so that few are in memory at a time."""
    batch: list[Cell] = []
    for cell in cells:
        batch.append(cell)
        if len(batch) == _BATCH:
            writer.append(batch)
            batch = []
    writer.append(batch)
