"""The board as Markdown, between markers that a second run replaces, and as text for a terminal."""

from __future__ import annotations

from pathlib import Path

from sprint_eval.errors import DataError
from sprint_eval.files import write_atomic
from sprint_eval.leaderboards.board import Board
from sprint_eval.leaderboards.columns import Column, columns_of, names_models
from sprint_eval.leaderboards.standing import Standing
from sprint_eval.leaderboards.words import summary, verdict
from sprint_eval.markdown import escape_markdown

BEGIN = "<!-- sprint-eval leaderboard: begin -->"
END = "<!-- sprint-eval leaderboard: end -->"


def markdown(board: Board) -> str:
    """All tables, each with its verdict, and what was left out; no markers."""
    parts = [_table(standing) for standing in board.standings]
    parts.append(escape_markdown(summary(board)))
    if board.reading.problems:
        lines = [f"- {escape_markdown(str(problem))}" for problem in board.reading.problems[:50]]
        more = len(board.reading.problems) - len(lines)
        if more > 0:
            lines.append(f"- and {more:,} more")
        parts.append("Skipped:\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


def write_markdown(path: Path, board: Board) -> None:
    """Write the board into ``path``: between the markers if the file has them, else at its end.

    Raises:
        DataError: the file has one marker without the other, or is not UTF-8 text.
    """
    block = f"{BEGIN}\n\n{markdown(board)}\n{END}"
    try:
        text = path.read_bytes().decode("utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text: {error}") from error
    if "\r\n" in text:  # the file keeps its own line ends
        block = block.replace("\n", "\r\n")
    write_atomic(path, _replaced(path, text, block).encode("utf-8"))


def _replaced(path: Path, text: str, block: str) -> str:
    begins, ends = text.count(BEGIN), text.count(END)
    if begins == ends == 0:
        return f"{text.rstrip()}\n\n{block}\n" if text.strip() else f"{block}\n"
    if begins != 1 or ends != 1 or text.index(END) < text.index(BEGIN):
        raise DataError(
            f"{path} should hold the marker '{BEGIN}' and then '{END}', once each; mend it by hand"
        )
    head, rest = text.split(BEGIN)
    return head + block + rest.split(END)[1]


def _table(standing: Standing) -> str:
    columns = columns_of(standing)
    lines = [
        f"### {escape_markdown(standing.table.title)}",
        "",
        _about(standing),
        "",
        "| " + " | ".join(escape_markdown(column.title) for column in columns) + " |",
        "| " + " | ".join("---:" if column.numeric else ":---" for column in columns) + " |",
    ]
    for index in range(len(standing.rows)):
        lines.append("| " + " | ".join(_cell(column, index) for column in columns) + " |")
    return "\n".join([*lines, "", escape_markdown(verdict(standing))])


def _cell(column: Column, index: int) -> str:
    """Figures are ours and need no escapes, which keeps the source readable; names and notes are not."""
    text = column.cell(index)
    return text if column.numeric else escape_markdown(text)


def _about(standing: Standing) -> str:
    table = standing.table
    many = "an unknown number of" if table.questions is None else f"{table.questions:,}"
    questions = f"{many} question{'' if table.questions == 1 else 's'}"
    shots = table.settings["few-shot examples"]
    text = f"{questions}, {'?' if shots == 'default' else shots}-shot"
    model = standing.rows[0].method.model
    if model and not names_models(standing):
        text += f", {model}"
    if standing.letters and any(standing.letters):
        text += "; brackets are 95 % intervals over questions, ranks that a letter joins are not told apart"
    return escape_markdown(text[0].upper() + text[1:] + ".")


def terminal(board: Board) -> str:
    """The board for a terminal, columns aligned."""
    parts = []
    for standing in board.standings:
        parts.append(
            f"{standing.table.title}\n{_plain(columns_of(standing), len(standing.rows))}\n{verdict(standing)}"
        )
    return "\n\n".join(parts)


def _plain(columns: list[Column], rows: int) -> str:
    lines = [[column.title for column in columns]]
    lines += [[" ".join(column.cell(index).split()) for column in columns] for index in range(rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    text = []
    for line in lines:
        cells = [
            cell.rjust(width) if column.numeric else cell.ljust(width)
            for cell, width, column in zip(line, widths, columns, strict=True)
        ]
        text.append("  ".join(cells).rstrip())
    text.insert(1, "  ".join("─" * width for width in widths))
    return "\n".join(text)
