"""The tables as LaTeX with booktabs, and a document around them that compiles on its own."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from sprint_eval.leaderboards.board import Board
from sprint_eval.leaderboards.columns import Column, columns_of
from sprint_eval.leaderboards.standing import Standing
from sprint_eval.leaderboards.tables import Row
from sprint_eval.leaderboards.words import verdict

_STAR = "\\textsuperscript{*}"  # of a row whose notes cast doubt on its score
_ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "–": "--",
    "−": r"\ensuremath{-}",
    "…": r"\ldots{}",
    "×": r"\ensuremath{\times}",
    "·": r"\ensuremath{\cdot}",
}


def latex(board: Board) -> str:
    """One ``table`` environment a table; needs ``booktabs`` and ``graphicx`` in the document."""
    return "\n".join(_tables(board))


def _tables(board: Board) -> list[str]:
    return [_table(standing) for standing in board.standings]


def document(board: Board) -> str:
    """The same, as a document that ``pdflatex`` compiles."""
    return (
        "\\documentclass{article}\n"
        "\\usepackage[utf8]{inputenc}\n"
        "\\usepackage{booktabs}\n\\usepackage{graphicx}\n\\usepackage[margin=2cm]{geometry}\n"
        # LaTeX holds back some fifty tables at most until it has put them on pages.
        "\\begin{document}\n" + "\\clearpage\n".join(_tables(board)) + "\\end{document}\n"
    )


def escape(text: str) -> str:
    """Text that LaTeX prints as it is; what a plain font lacks is put in the nearest letters, or ``?``."""
    made = []
    for character in " ".join(text.split()):
        if character in _ESCAPES:
            made.append(_ESCAPES[character])
        elif " " <= character <= "~":
            made.append(character)
        else:
            plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode("ascii")
            made.append("".join(_ESCAPES.get(letter, letter) for letter in plain) or "?")
    return "".join(made)


def _table(standing: Standing) -> str:
    columns = [column for column in columns_of(standing) if column.title != "Notes"]
    shape = "".join("r" if column.numeric else "l" for column in columns)
    lines = [
        "\\begin{table}[p]",
        "\\centering",
        f"\\caption{{{escape(standing.table.title)}. {escape(verdict(standing))}}}",
        f"\\label{{tab:{standing.table.id}}}",
        "\\resizebox{\\linewidth}{!}{%",
        f"\\begin{{tabular}}{{{shape}}}",
        "\\toprule",
        " & ".join(escape(column.title) for column in columns) + " \\\\",
        "\\midrule",
    ]
    for index, row in enumerate(standing.rows):
        cells = [_cell(column, index, starred=bool(row.serious)) for column in columns]
        lines.append(" & ".join(cells) + " \\\\")
    lines += ["\\bottomrule", "\\end{tabular}}", *_footnote(standing.rows), "\\end{table}", ""]
    return "\n".join(lines)


def _cell(column: Column, index: int, starred: bool) -> str:
    text = escape(column.cell(index))
    # A cell that starts with a bracket would be read as the argument of the line break before it.
    text = f"{{}}{text}" if text.startswith("[") else text
    return text + _STAR if starred and column.title == "Method" else text


def _footnote(rows: Sequence[Row]) -> list[str]:
    """Under the table, what casts doubt on the scores of the rows with a star."""
    doubted: dict[str, list[str]] = {}
    for row in rows:
        if row.serious:
            doubted.setdefault("; ".join(row.serious), []).append(row.name)
    said = [f"{', '.join(names)}: {words}." for words, names in doubted.items()]
    return [f"\\par\\smallskip{{\\footnotesize {_STAR} {escape(' '.join(said))}\\par}}"] if said else []
