"""The tables as LaTeX with booktabs, and a document around them that compiles on its own."""

from __future__ import annotations

import unicodedata

from sprint_eval.leaderboards.board import Board
from sprint_eval.leaderboards.columns import columns_of
from sprint_eval.leaderboards.standing import Standing
from sprint_eval.leaderboards.words import verdict

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
    for index in range(len(standing.rows)):
        # A cell that starts with a bracket would be read as the argument of the line break before it.
        cells = (escape(column.cell(index)) for column in columns)
        lines.append(" & ".join(f"{{}}{cell}" if cell.startswith("[") else cell for cell in cells) + " \\\\")
    lines += ["\\bottomrule", "\\end{tabular}}", "\\end{table}", ""]
    return "\n".join(lines)
