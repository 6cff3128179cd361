"""One table, written as CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sprint_eval.files import write_atomic
from sprint_eval.markdown import escape_markdown

Value = str | int | float | None
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


@dataclass(frozen=True)
class Table:
    """Rows under named columns.

    Attributes:
        columns: names.
        rows: values; shares are numbers, ``None`` is an empty cell.
        caption: a sentence or two, with the number of questions.
        bold: (row, column) places that stand out.
        rules: rows before which a line is drawn.
        digits: of shares and other fractions.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Value]]
    caption: str
    bold: frozenset[tuple[int, int]] = frozenset()
    rules: frozenset[int] = field(default_factory=frozenset)
    digits: int = 3

    def csv(self) -> str:
        """Full precision, one header line."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([["" if value is None else value for value in row] for row in self.rows])
        return buffer.getvalue()

    def markdown(self) -> str:
        """A pipe table with its caption above."""
        numeric = [self._numeric(c) for c in range(len(self.columns))]
        lines = [
            "| " + " | ".join(map(escape_markdown, self.columns)) + " |",
            "|" + "|".join("---:" if right else "---" for right in numeric) + "|",
        ]
        for r, row in enumerate(self.rows):
            cells = [escape_markdown(self.shown(value, c)) for c, value in enumerate(row)]
            cells = [f"**{cell}**" if (r, c) in self.bold and cell else cell for c, cell in enumerate(cells)]
            lines.append("| " + " | ".join(cells) + " |")
        return f"{escape_markdown(self.caption)}\n\n" + "\n".join(lines) + "\n"

    def latex(self, label: str) -> str:
        """A ``longtable`` in the style of booktabs; it breaks over pages where it must."""
        spec = "".join("r" if self._numeric(c) else "l" for c in range(len(self.columns)))
        head = " & ".join(map(escape_latex, self.columns)) + r" \\"
        lines = [
            "% needs \\usepackage{booktabs,longtable}",
            rf"\begin{{longtable}}{{{spec}}}",
            rf"\caption{{{escape_latex(self.caption)}}}\label{{tab:{label}}}\\",
            rf"\toprule {head} \midrule \endfirsthead",
            rf"\toprule {head} \midrule \endhead",
            r"\bottomrule \endlastfoot",
        ]
        for r, row in enumerate(self.rows):
            if r in self.rules:
                lines.append(r"\midrule")
            cells = [escape_latex(self.shown(value, c)) for c, value in enumerate(row)]
            cells = [
                rf"\textbf{{{cell}}}" if (r, c) in self.bold and cell else cell
                for c, cell in enumerate(cells)
            ]
            lines.append(" & ".join(cells) + r" \\")
        return "\n".join([*lines, r"\end{longtable}", ""])

    def save(self, folder: Path, name: str) -> None:
        """Write ``name.csv``, ``name.md`` and ``name.tex``."""
        write_atomic(folder / f"{name}.csv", self.csv())
        write_atomic(folder / f"{name}.md", self.markdown())
        write_atomic(folder / f"{name}.tex", self.latex(name))

    def shown(self, value: Value, column: int) -> str:
        """A value as people read it; p-values too small for the digits get an exponent."""
        if value is None:
            return ""
        if isinstance(value, float):
            if self.columns[column].startswith("p") and 0 < value < 10**-self.digits:
                return f"{value:.0e}".replace("e-0", "e-")
            text = f"{value:.{self.digits}f}"
            return text.lstrip("-") if float(text) == 0 else text
        return str(value)

    def _numeric(self, column: int) -> bool:
        values = [row[column] for row in self.rows if row[column] is not None]
        return bool(values) and all(isinstance(value, int | float) for value in values)


def escape_latex(text: str) -> str:
    """Text that LaTeX sets as it stands."""
    return "".join(_LATEX.get(char, char) for char in text)
