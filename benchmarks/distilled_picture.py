"""A picture of a table of ``distilled_table.py``: each student's difference to its teacher and its interval.

    python benchmarks/distilled_picture.py docs/results/distilled-asdiv docs/results/distilled-rg_math

writes ``differences.png`` and ``differences.svg`` into each folder.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

from sprint_eval.errors import exit_on_error
from sprint_eval.files import read_json, write_atomic

COLOURS = {"headline": "#0072b2", "ablation": "#d55e00"}
STYLE: dict[str, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "x",
    "grid.color": "#e4e0d8",
    "axes.axisbelow": True,
    "svg.hashsalt": "sprint-eval",
    "svg.fonttype": "none",
}


def main() -> None:
    """Draw each folder's table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path)
    with exit_on_error():
        for folder in parser.parse_args().folders:
            draw(folder, read_json(folder / "table.json", "the table"))


def draw(folder: Path, table: dict[str, Any]) -> None:
    """A line a student, top to bottom as in the table; ticks for single seeds where there are several."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = table["rows"]
    with matplotlib.rc_context(rc=STYLE):
        figure, axes = plt.subplots(figsize=(7.5, 1.1 + 0.27 * len(rows)))
        for place, row in enumerate(rows):
            colour = COLOURS["ablation" if row["label"].startswith("25 %, ") else "headline"]
            ends = [100 * row["low"], 100 * row["high"]]
            axes.plot(ends, [place, place], color=colour, linewidth=1.5)
            axes.plot(100 * row["difference"], place, "o", color=colour, markersize=5)
            if len(row["accuracies"]) > 1:
                seeds = [100 * (value - row["teacher"]) for value in row["accuracies"]]
                axes.plot(seeds, [place] * len(seeds), "|", color="#4b4a47", markersize=9)
        axes.axvline(0.0, color="#4b4a47", linewidth=1)
        axes.axvline(-100 * rows[0]["margin"], color="#4b4a47", linewidth=1, linestyle=":")
        axes.set_yticks(range(len(rows)), [row["label"] for row in rows])
        axes.invert_yaxis()
        teacher = f"accuracy less the teacher's {100 * table['teacher']:.1f} %, points"
        axes.set_xlabel(f"{teacher}; 95 % intervals, ticks: seeds")
        axes.set_title(folder.name, loc="left", fontsize=9)
        figure.tight_layout()
        for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
            write_atomic(folder / f"differences.{kind}", buffer.getvalue())
        plt.close(figure)


if __name__ == "__main__":
    main()
