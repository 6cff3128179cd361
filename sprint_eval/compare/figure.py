"""Pass@N against N, a panel a task: SPRINT's figure 4 with intervals."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sprint_eval.errors import DataError
from sprint_eval.files import write_atomic
from sprint_eval.intervals import widen_certain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DRAWS = 4000
# Okabe and Ito's colours, told apart with every common kind of colour blindness.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#4b4a47", "#7a5bb5")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e0d8",
    "axes.axisbelow": True,
    "figure.facecolor": "white",
    "svg.hashsalt": "sprint-eval",
    "svg.fonttype": "none",
}


@dataclass(frozen=True)
class Curve:
    """Pass@k of one method, k = 1 to N, with a 95 % interval over questions.

    Attributes:
        name: of the method.
        mean, low, high: ``[N]``.
        runs: how many seeds the mean is over.
    """

    name: str
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    runs: int = 1


@dataclass(frozen=True)
class Panel:
    """One task's curves; ``oracle`` is what any candidate of the pool reaches."""

    title: str
    curves: Sequence[Curve]
    questions: int
    oracle: float | None = None


def curve(name: str, scores: np.ndarray, draws: int = DRAWS) -> Curve:
    """A curve from outcomes of one or several runs of a method on the same questions.

    Runs are averaged a question at a time, then questions are drawn with replacement: the interval
    is about questions, which are what is sampled from the world.

    Args:
        scores: Pass@k outcomes, ``[runs, questions, N]``.
    """
    by_question = scores.mean(axis=0, dtype=np.float64)  # [questions, N]
    n = len(by_question)
    counts = np.random.default_rng(20_250_603).multinomial(n, np.full(n, 1 / n), size=draws)
    low, high = np.quantile(counts @ by_question / n, [0.025, 0.975], axis=0)
    widen_certain(low, high, by_question.T)
    return Curve(name, by_question.mean(axis=0), low, high, len(scores))


def write_figure(stem: Path, panels: Sequence[Panel]) -> list[Path]:
    """Write ``stem.png`` and ``stem.svg``; equal panels make equal files.

    Raises:
        DataError: there is nothing to draw, or matplotlib is not installed.
    """
    if not any(panel.curves for panel in panels):
        raise DataError("there is no curve to draw: no run has logged samples")
    try:
        import matplotlib
    except ImportError:
        raise DataError("the figure needs matplotlib; run: pip install 'sprint-eval[plots]'") from None
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(line.name for panel in panels for line in panel.curves))
    with matplotlib.rc_context(rc=_STYLE):
        figure, grid = plt.subplots(1, len(panels), figsize=(4.4 * len(panels) + 1.6, 3.8), squeeze=False)
        for axes, panel in zip(grid[0], panels, strict=True):
            _draw(axes, panel, names)
        handles: dict[str, Any] = {}
        for axes in grid[0]:
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
                handles.setdefault(label, handle)
        figure.legend(
            list(handles.values()), list(handles), loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False
        )
        figure.tight_layout()
        paths = []
        for suffix in (".png", ".svg"):
            buffer = io.BytesIO()
            metadata = {"Date": None} if suffix == ".svg" else {"Software": None}
            figure.savefig(buffer, format=suffix[1:], dpi=160, bbox_inches="tight", metadata=metadata)
            path = stem.parent / f"{stem.name}{suffix}"
            write_atomic(path, buffer.getvalue())
            paths.append(path)
        plt.close(figure)
    return paths


def _draw(axes: Axes, panel: Panel, names: list[str]) -> None:
    for line in panel.curves:
        place = names.index(line.name)
        colour = _COLOURS[place % len(_COLOURS)]
        style = ("-", "--", ":")[place // len(_COLOURS) % 3]
        ks = np.arange(1, len(line.mean) + 1)
        label = line.name if line.runs == 1 else f"{line.name} (mean of {line.runs})"
        axes.plot(
            ks,
            line.mean,
            color=colour,
            linestyle=style,
            marker=_MARKERS[place % 8],
            markersize=4,
            label=label,
        )
        axes.fill_between(ks, line.low, line.high, color=colour, alpha=0.09, linewidth=0)
        axes.set_xticks(ks if len(ks) <= 16 else ks[:: len(ks) // 8])
    if panel.oracle is not None:
        axes.axhline(panel.oracle, color="#8a857c", linestyle="--", linewidth=1, label="oracle over the pool")
    axes.set_xlabel("N")
    axes.set_ylabel("Pass@N")
    axes.set_title(
        f"{panel.title}\n{panel.questions} questions, 95 % intervals over them", loc="left", fontsize=9
    )
