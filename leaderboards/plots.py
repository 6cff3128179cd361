"""Plots for papers and pages, as PNG and SVG: intervals, Pass@k curves, score against cost."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sprint_eval.files import write_atomic
from sprint_eval.leaderboards.board import Board, rounded, score_name
from sprint_eval.leaderboards.columns import names_models
from sprint_eval.leaderboards.cost import COSTS, costs_of, pareto
from sprint_eval.leaderboards.scores import VALUE
from sprint_eval.leaderboards.standing import Standing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart with every common kind of colour blindness.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5bb5", "#4b4a47")
MARKERS = ("o", "s", "^", "D")
MAX_ROWS = 40
MAX_LINES = 12
_STYLE: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a857c",
    "axes.labelcolor": "#3c3a36",
    "axes.grid": True,
    "grid.color": "#e4e0d8",
    "axes.axisbelow": True,
    "figure.facecolor": "white",
    "svg.hashsalt": "sprint-eval",  # equal boards make equal files
    "svg.fonttype": "none",
}


def write_plots(folder: Path, board: Board) -> list[Path]:
    """Write ``<table>-intervals``, ``-curves`` and ``-cost`` for each table that has them.

    Returns:
        The files written; none where matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        return []
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    written = []
    with matplotlib.rc_context(rc=_STYLE), warnings.catch_warnings():
        # A name may hold letters that no font here has: a box is drawn, which needs no word each time.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        for standing in board.standings:
            for name, figure in _figures(standing):
                written += _save(folder / f"{standing.table.id}-{name}", figure)
                plt.close(figure)
    return written


def _save(stem: Path, figure: Figure) -> list[Path]:
    paths = []
    for suffix in (".png", ".svg"):
        buffer = io.BytesIO()
        metadata = {"Date": None} if suffix == ".svg" else {"Software": None}
        figure.savefig(buffer, format=suffix[1:], dpi=160, bbox_inches="tight", metadata=metadata)
        path = stem.with_suffix(suffix)
        write_atomic(path, buffer.getvalue())
        paths.append(path)
    return paths


def _figures(standing: Standing) -> Iterator[tuple[str, Figure]]:
    if np.isnan(standing.families[standing.headline].mean[:, standing.table.k - 1]).all():
        return
    yield "intervals", _intervals(standing)
    if standing.headline != VALUE and standing.table.k > 1:
        yield "curves", _curves(standing)
    key = next((cost.key for cost in COSTS[2::-1] if _known(standing, cost.key) > 1), None)
    if key is not None:
        yield "cost", _cost(standing, key)


def _known(standing: Standing, key: str) -> int:
    return sum(costs_of(row)[key] is not None for row in standing.rows)


def _plain(text: str, most: int = 48) -> str:
    """A name as matplotlib prints it: a dollar sign would start its own mathematics."""
    text = text if len(text) <= most else text[: most - 1] + "…"
    return text.replace("$", r"\$")


def _labels(standing: Standing, most: int = 48) -> list[str]:
    """The rows' names as they are printed, with the base model where there are several."""
    told = names_models(standing)
    labels = []
    for row in standing.rows:
        model = f" · {_plain(row.method.model, 24)}" if told and row.method.model else ""
        labels.append(_plain(row.name, most) + model)
    return labels


def _intervals(standing: Standing) -> Figure:
    import matplotlib.pyplot as plt

    rows = standing.rows[:MAX_ROWS]
    family, k = standing.families[standing.headline], standing.table.k
    figure, axes = plt.subplots(figsize=(7, 0.9 + 0.32 * len(rows)))
    for index in range(len(rows)):
        mean, low, high = (float(part[index, k - 1]) for part in (family.mean, family.low, family.high))
        colour = COLOURS[index % len(COLOURS)]
        if not np.isnan(low):
            axes.plot(
                [low, high], [index, index], color=colour, linewidth=2, alpha=0.55, solid_capstyle="round"
            )
        axes.plot([mean], [index], marker=MARKERS[index % 4], color=colour, linestyle="none")
    if standing.reference is not None and standing.reference < len(rows):
        axes.axvline(
            float(family.mean[standing.reference, k - 1]), color="#8a857c", linestyle=":", linewidth=1
        )
    axes.set_yticks(range(len(rows)), _labels(standing)[: len(rows)])
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(_plain(f"{score_name(standing, standing.headline, k)}, 95 % intervals over questions"))
    axes.set_title(_plain(standing.table.title, 90), loc="left", fontsize=10)
    return figure


def _curves(standing: Standing) -> Figure:
    import matplotlib.pyplot as plt

    family = standing.families[standing.headline]
    ks = np.arange(1, family.mean.shape[1] + 1)
    figure, axes = plt.subplots(figsize=(7, 4.2))
    for index, label in enumerate(_labels(standing)[:MAX_LINES]):
        colour = COLOURS[index % len(COLOURS)]
        style = ("-", "--", ":")[index // len(COLOURS) % 3]
        axes.plot(
            ks, family.mean[index], color=colour, linestyle=style, marker=MARKERS[index % 4], markersize=4.5,
            label=label,
        )  # fmt: skip
        if len(standing.rows) <= 6:
            axes.fill_between(ks, family.low[index], family.high[index], color=colour, alpha=0.1, linewidth=0)
    axes.set_xticks(ks if len(ks) <= 16 else ks[:: len(ks) // 8])
    axes.set_xlabel("candidates k")
    axes.set_ylabel("pass@k")
    axes.set_title(_plain(standing.table.title, 90), loc="left", fontsize=10)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def _cost(standing: Standing, key: str) -> Figure:
    import matplotlib.pyplot as plt

    cost = next(cost for cost in COSTS if cost.key == key)
    family, k = standing.families[standing.headline], standing.table.k
    points = [
        (costs_of(row)[key], rounded(float(family.mean[index, k - 1])))
        for index, row in enumerate(standing.rows)
    ]
    labels = _labels(standing, 24)
    front = pareto(points, standing.table.lower_is_better)
    figure, axes = plt.subplots(figsize=(7, 4.2))
    steps = sorted((x, y) for (x, y), first in zip(points, front, strict=True) if first and x is not None)
    if steps:
        axes.step(*zip(*steps, strict=True), where="post", color="#8a857c", linestyle="--", linewidth=1)
    for index, (x, y) in enumerate(points):
        if x is None or y is None:
            continue
        colour = COLOURS[index % len(COLOURS)]
        face = colour if front[index] else "white"
        axes.plot([x], [y], marker=MARKERS[index % 4], color=colour, markerfacecolor=face, linestyle="none")
        if index < MAX_LINES:
            axes.annotate(
                labels[index],
                (x, y),
                xytext=(6, 5),
                textcoords="offset points",
                fontsize=9,
            )
    axes.set_xlim(left=0)
    axes.margins(x=0.2)
    axes.set_xlabel(cost.about)
    axes.set_ylabel(_plain(score_name(standing, standing.headline, k)))
    axes.set_title(_plain(standing.table.title, 90), loc="left", fontsize=10)
    return figure
