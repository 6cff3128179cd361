"""The study's report: a Markdown page over its files, and LaTeX for its figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sprint_eval.analysis.plots import save_figure
from sprint_eval.analysis.tables import Table, escape_latex
from sprint_eval.files import write_atomic
from sprint_eval.markdown import escape_markdown


@dataclass(frozen=True)
class Figure:
    """A figure's files, ``name.png`` and ``name.svg`` in ``folder``, and its caption."""

    folder: Path
    name: str
    caption: str


@dataclass
class Section:
    """A part of the report; adding to it writes the files.

    Attributes:
        title: its heading.
        text: paragraphs, shown before the rest; plain text, as the title is.
        body: Markdown of tables and figures, in order.
        latex: LaTeX of its figures.
    """

    title: str
    text: list[str]
    body: list[str] = field(default_factory=list)
    latex: list[str] = field(default_factory=list)

    def add_table(self, out: Path, folder: Path, name: str, table: Table, *, inline: bool = True) -> None:
        """Write a table in its three forms and show it, or a link to it where it is long."""
        table.save(folder, name)
        place = (folder / name).relative_to(out).as_posix()
        links = f"[CSV]({place}.csv), [Markdown]({place}.md), [LaTeX]({place}.tex)"
        shown = (
            table.markdown() if inline and len(table.rows) <= 60 else f"{escape_markdown(table.caption)}\n"
        )
        self.body.append(f"{shown}\n{links}\n")

    def add_csv(self, out: Path, folder: Path, name: str, table: Table) -> None:
        """Write a table as CSV alone."""
        write_atomic(folder / f"{name}.csv", table.csv())
        self.body.append(f"The same in long form: [CSV]({(folder / name).relative_to(out).as_posix()}.csv)\n")

    def add_figure(self, out: Path, figure: Figure, draw: Callable[[Any], Any]) -> None:
        """Draw a figure and show it."""
        save_figure(figure.folder, figure.name, draw)
        place = (figure.folder / figure.name).relative_to(out).as_posix()
        self.body.append(
            f"![{figure.name}]({place}.png)\n\n*{escape_markdown(figure.caption)}* ([SVG]({place}.svg))\n"
        )
        self.latex.append(
            "\\begin{figure}\n\\centering\n"
            f"\\includegraphics[width=\\columnwidth]{{{place}.png}}\n"
            f"\\caption{{{escape_latex(figure.caption)}}}\n"
            f"\\label{{fig:{place.replace('/', '-')}}}\n\\end{{figure}}\n"
        )


def write_report(out: Path, sections: list[Section]) -> Path:
    """Write ``study.md`` and ``figures.tex``; the path of the former."""
    parts = ["# Head-impact study\n"]
    for section in sections:
        parts.append(f"## {escape_markdown(section.title)}\n")
        parts += [f"{escape_markdown(text)}\n" for text in section.text]
        parts += section.body
    path = out / "study.md"
    write_atomic(path, "\n".join(parts))
    write_atomic(out / "figures.tex", "\n".join(text for section in sections for text in section.latex))
    return path
