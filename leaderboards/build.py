"""Write everything that one ``sprint-eval leaderboard`` call gives."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sprint_eval.errors import ArgumentError, DataError, SprintError
from sprint_eval.files import write_atomic, write_json
from sprint_eval.leaderboards.board import Board, make_board
from sprint_eval.leaderboards.discover import (
    OUTPUT_FOLDERS,
    OUTPUT_MARK,
    OUTPUT_SCHEMA,
    find_files,
    made_folders,
)
from sprint_eval.leaderboards.latex import document, latex
from sprint_eval.leaderboards.markdown import write_markdown
from sprint_eval.leaderboards.plots import write_plots
from sprint_eval.leaderboards.publish_hub import write_hub_results
from sprint_eval.leaderboards.publish_records import write_records
from sprint_eval.leaderboards.reader import Cache
from sprint_eval.leaderboards.site_build import board_record, replaced, table_record, write_site
from sprint_eval.leaderboards.tabular import (
    board_records,
    pair_records,
    write_csv,
    write_outcomes,
    write_parquet,
)


def build(
    paths: Sequence[Path],
    out: Path,
    *,
    reference: str | None = None,
    title: str = "Leaderboard",
    readme: Path | None = None,
    instances: bool = True,
    plots: bool = True,
    cache: Cache | None = None,
) -> Board:
    """Read ``paths`` and write the leaderboard into ``out``.

    Args:
        paths: folders and files of lm-eval.
        reference: name or id of the method that all others are compared with.
        title: the page's heading.
        readme: a file to put the Markdown tables into, between markers.
        instances: whether the every_eval_ever records hold a line a question, with all texts.
        plots: whether to draw plots, where matplotlib is installed.
        cache: samples that an earlier call read.

    Raises:
        DataError: nothing readable was found, a file went away meanwhile, or ``out`` cannot be written.
        ArgumentError: the reference names no method, or ``out`` holds somebody else's of what is replaced.
    """
    folders = _check_out(out, OUTPUT_FOLDERS if plots else OUTPUT_FOLDERS - {"plots"})
    board = make_board(paths, reference, cache=cache)
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_markdown(out / "leaderboard.md", board)
        if readme is not None:
            write_markdown(readme, board)
        _write(out, board, title, instances, plots, folders)
    except OSError as error:
        raise DataError(f"{error.filename or out}: {error.strerror or error}") from error
    return board


def _check_out(out: Path, making: frozenset[str]) -> list[str]:
    """A build replaces whole folders: those of a leaderboard, never a user's own of the same name.

    Returns:
        The folders that are a leaderboard's once this build has made its own.
    """
    ours = made_folders(out)
    for name in sorted(making - ours if ours else making | {OUTPUT_MARK}):
        if (out / name).exists():
            raise ArgumentError(
                f"{out} has a '{name}' that no leaderboard made and that would be replaced; "
                "give another folder to write to"
            )
    return sorted(making | {name for name in ours if (out / name).exists()})


def _write(out: Path, board: Board, title: str, instances: bool, plots: bool, folders: list[str]) -> None:
    """Everything but the Markdown; ``folders`` are a leaderboard's, and later builds may replace them."""
    records, pairs = board_records(board), pair_records(board)
    write_csv(out / "leaderboard.csv", records)
    write_csv(out / "pairs.csv", pairs)
    write_parquet(out / "leaderboard.parquet", records)
    write_parquet(out / "pairs.parquet", pair_records(board, every=True))
    write_outcomes(out / "outcomes.parquet", board)
    write_atomic(out / "leaderboard.tex", latex(board))
    write_atomic(out / "leaderboard-document.tex", document(board))
    write_json(out / OUTPUT_MARK, _json(board, pairs) | {"folders": folders})
    if plots:
        with replaced(out / "plots") as folder:
            write_plots(folder, board)
    with replaced(out / "records") as folder:
        write_records(folder, board, instances)
    with replaced(out / "eval_results") as folder:
        write_hub_results(folder, board)
    write_site(out, board, title)


def _json(board: Board, pairs: list[dict[str, object]]) -> dict[str, object]:
    tables = [table_record(standing, {}) for standing in board.standings]
    for table in tables:
        table.pop("parts")
    return {**board_record(board), "schema": OUTPUT_SCHEMA, "tables": tables, "pairs": pairs}


def watch(
    paths: Sequence[Path],
    make: Callable[[Cache], Board],
    told: Callable[[Board | SprintError], None],
    every: float,
    rounds: int | None = None,
) -> None:
    """Build again whenever a result file appears or changes, and has then kept still for one look.

    Args:
        make: builds once, reading only what the cache lacks.
        told: hears of each build, or of why there was none.
        every: seconds between looks.
        rounds: how many looks to take; for ever by default, until the user interrupts.
    """
    cache = Cache()
    built: object = None
    last: object = None
    while rounds is None or rounds > 0:
        rounds = None if rounds is None else rounds - 1
        seen = _signature(paths)
        if seen != built and (seen == last or last is None):
            try:
                told(make(cache))
            except SprintError as error:  # the reference, too, may be a run that is not there yet
                told(error)
            built = seen
        last = seen
        if rounds is None or rounds > 0:
            time.sleep(every)


def _signature(paths: Sequence[Path]) -> object:
    """What there is to read: every file with its size and time of change."""
    try:
        found = find_files(paths)
    except DataError as error:
        return str(error)
    signature = []
    for path in sorted([*found.results, *found.samples.values()]):
        try:
            status = path.stat()
        except OSError:
            continue
        signature.append((str(path), status.st_size, status.st_mtime_ns))
    return tuple(signature)
