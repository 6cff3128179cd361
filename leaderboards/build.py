"""Write everything that one ``sprint-eval leaderboard`` call gives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sprint_eval.leaderboards.board import Board, make_board
from sprint_eval.leaderboards.markdown import write_markdown
from sprint_eval.leaderboards.site_build import write_site
from sprint_eval.leaderboards.tabular import board_records, write_csv


def build(
    paths: Sequence[Path],
    out: Path,
    *,
    reference: str | None = None,
    title: str = "Leaderboard",
    readme: Path | None = None,
) -> Board:
    """Read ``paths`` and write the leaderboard into ``out``.

    Args:
        reference: name or id of the method that all others are compared with.
        readme: a file to put the Markdown tables into, between markers.

    Raises:
        DataError: nothing readable was found.
        ArgumentError: the reference names no method.
    """
    board = make_board(paths, out, reference)
    out.mkdir(parents=True, exist_ok=True)
    write_markdown(out / "leaderboard.md", board)
    if readme is not None:
        write_markdown(readme, board)
    write_csv(out / "leaderboard.csv", board_records(board))
    write_site(out, board, title)
    return board
