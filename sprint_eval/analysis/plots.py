"""The study's plots: readable at column width, safe for the colour-blind, as PNG and SVG."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sprint_eval.analysis.findings import Catastrophe, Coverage
from sprint_eval.analysis.impact import NO_PRUNE, Impact
from sprint_eval.analysis.outputs import KINDS
from sprint_eval.files import write_atomic

COLUMN = 3.4  # inches: one column of a two-column page
PAGE = 7.0
# Okabe and Ito's colours, told apart by all common kinds of colour vision.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, GREY = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#767676",
)
_KIND_COLOURS = dict(zip(KINDS, (GREEN, GREY, ORANGE, RED, "#000000"), strict=True))
_STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "figure.dpi": 100,
    "savefig.dpi": 300,
    "svg.fonttype": "none",
    "svg.hashsalt": "sprint-eval",
}


@dataclass(frozen=True)
class Violin:
    """One model's gains over its subject-layer pairs.

    Attributes:
        label: the model, and the task where several are shown.
        naive: best head minus no-prune of each pair.
        honest: gain of a head chosen on the other half of each pair's questions; empty if unknown.
        overall: the honest gain over all questions with its interval, or ``None``.
    """

    label: str
    naive: Sequence[float]
    honest: Sequence[float] = ()
    overall: tuple[float, float, float] | None = None


def save_figure(folder: Path, name: str, draw: Callable[[Any], Any]) -> None:
    """Draw with the study's style and write ``name.png`` and ``name.svg``.

    ``draw`` is given ``matplotlib.pyplot`` and returns the figure.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with plt.rc_context(_STYLE):
        figure = draw(plt)
        for suffix in ("png", "svg"):
            buffer = io.BytesIO()
            # No date in the file: the same study gives the same bytes.
            metadata = {"Date": None} if suffix == "svg" else None
            figure.savefig(buffer, format=suffix, bbox_inches="tight", pad_inches=0.03, metadata=metadata)
            write_atomic(folder / f"{name}.{suffix}", buffer.getvalue())
        plt.close(figure)


def heat_map(impact: Impact, layer: int) -> Callable[[Any], Any]:
    """Heads and no-prune against subjects for one layer (SPRINT, figure 5)."""
    rows = impact.rows(layer)
    values = np.vstack([impact.base, impact.accuracy[rows]])
    names = [NO_PRUNE] + [f"H{impact.heads[j].head}" for j in rows]
    subjects = _with_counts(impact)

    def draw(plt: Any) -> Any:
        tall = 1.2 + 0.17 * len(names)
        width = COLUMN if len(subjects) <= 9 else min(PAGE, 0.38 * len(subjects))
        figure, axes = plt.subplots(figsize=(width, tall), layout="constrained")
        low, high = float(np.nanmin(values)), max(0.05, float(np.nanmax(values)))
        image = axes.imshow(values, aspect="auto", cmap="cividis", vmin=low, vmax=high)
        axes.axhline(0.5, color="white", linewidth=1.5)
        axes.set_xticks(range(len(subjects)), subjects, rotation=35, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), names)
        axes.set_ylabel(f"pruned head of layer {layer}")
        axes.tick_params(length=0)
        size = 6 if len(names) <= 40 else 4.5
        for (r, c), value in np.ndenumerate(values):
            if not np.isnan(value):
                colour = "black" if value > (low + high) / 2 else "white"
                axes.text(c, r, f"{100 * value:.0f}", ha="center", va="center", fontsize=size, color=colour)
        bar = figure.colorbar(image, ax=axes, pad=0.02, aspect=30)
        bar.set_label("Pass@1")
        bar.outline.set_linewidth(0.4)
        return figure

    return draw


def layer_map(impact: Impact) -> Callable[[Any], Any]:
    """Accuracy change of every head, layers against heads."""
    layers = impact.layers
    heads = sorted({head.head for head in impact.heads})
    change = np.full((len(layers), len(heads)), np.nan)
    for head, value in zip(impact.heads, impact.overall - impact.overall_base, strict=True):
        change[layers.index(head.layer), heads.index(head.head)] = value

    def draw(plt: Any) -> Any:
        tall = min(6.5, 0.8 + 0.14 * len(layers))
        wide = COLUMN if len(heads) <= 16 else PAGE
        figure, axes = plt.subplots(figsize=(wide, max(1.4, tall)), layout="constrained")
        # One catastrophic head must not wash out all others: the scale ends at the 98th percentile.
        limit = max(0.01, float(np.nanpercentile(np.abs(change), 98)))
        image = axes.imshow(100 * change, aspect="auto", cmap="PuOr", vmin=-100 * limit, vmax=100 * limit)
        axes.set_facecolor("#dddddd")
        axes.set_xticks(_some(len(heads)), [heads[i] for i in _some(len(heads))])
        axes.set_yticks(_some(len(layers)), [layers[i] for i in _some(len(layers))])
        axes.set_xlabel("head")
        axes.set_ylabel("layer")
        beyond = np.abs(change) > limit
        for r, c in zip(*np.nonzero(beyond), strict=True):
            axes.text(c, r, f"{100 * change[r, c]:+.0f}", ha="center", va="center", fontsize=5, color="white")
        bar = figure.colorbar(image, ax=axes, pad=0.02, extend="both", aspect=30)
        bar.set_label("Δ Pass@1 (points)")
        bar.outline.set_linewidth(0.4)
        return figure

    return draw


def violins(models: Sequence[Violin]) -> Callable[[Any], Any]:
    """Gain of the best head over no-prune by subject-layer pair (SPRINT, figure 2), and the honest one."""

    def draw(plt: Any) -> Any:
        width = COLUMN if len(models) <= 3 else PAGE
        figure, axes = plt.subplots(figsize=(width, 2.5), layout="constrained")
        for place, model in enumerate(models):
            both = bool(len(model.honest))
            _violin(axes, model.naive, place - 0.2 * both, ORANGE)
            if both:
                _violin(axes, model.honest, place + 0.2, BLUE)
            if model.overall is not None:
                middle, low, high = (100 * value for value in model.overall)
                errors = [[middle - low], [high - middle]]
                axes.errorbar(
                    place + 0.43, middle, yerr=errors, fmt="D", color="black", ms=3, lw=1, capsize=2, zorder=4
                )
        axes.axhline(0, color="black", linewidth=0.6, linestyle=(0, (4, 2)), zorder=0)
        axes.set_xlim(-0.6, len(models) - 0.4 + 0.1)
        axes.set_xticks(range(len(models)), [_literal(model.label) for model in models])
        axes.set_ylabel("best pruned head − no prune\n(points of Pass@1)")
        _violin_legend(plt, axes, models)
        return figure

    return draw


def _violin(axes: Any, values: Sequence[float], place: float, colour: str) -> None:
    points = 100 * np.asarray(values, float)
    if len(np.unique(points)) > 1:
        parts = axes.violinplot([points], positions=[place], widths=0.36, showextrema=False)
        for body in parts["bodies"]:
            body.set(facecolor=colour, alpha=0.35, edgecolor=colour, linewidth=0.8)
    jitter = np.random.default_rng(0).uniform(-0.06, 0.06, len(points))
    axes.scatter(place + jitter, points, s=4, color=colour, linewidths=0, alpha=0.8, zorder=2)
    low, middle, high = np.percentile(points, [25, 50, 75])
    axes.vlines(place, low, high, color="black", linewidth=2, zorder=3)
    axes.scatter([place], [middle], s=12, color="white", edgecolors="black", linewidths=0.8, zorder=4)


def _violin_legend(plt: Any, axes: Any, models: Sequence[Violin]) -> None:
    from matplotlib.patches import Patch

    handles: list[Any] = [Patch(facecolor=ORANGE, alpha=0.6, label="chosen on the same questions")]
    if any(len(model.honest) for model in models):
        handles.append(Patch(facecolor=BLUE, alpha=0.6, label="chosen on the other half"))
    if any(model.overall is not None for model in models):
        marker = plt.Line2D(
            [], [], color="black", marker="D", ms=3, lw=1, label="other half, all heads and questions, 95 %"
        )
        handles.append(marker)
    if len(handles) > 1:
        axes.legend(handles=handles, frameon=False, loc="lower left", bbox_to_anchor=(0, 1.0), borderpad=0)


def coverage_curves(found: Coverage) -> Callable[[Any], Any]:
    """Share of questions solved by a cover of k head sets."""

    def draw(plt: Any) -> Any:
        figure, axes = plt.subplots(figsize=(COLUMN, 2.9), layout="constrained")
        k = np.arange(1, len(found.cover) + 1)
        axes.plot(
            k, found.cover, color=ORANGE, marker="o", ms=2.5, lw=1.2, label="greedy cover, same questions"
        )
        axes.plot(k, found.held_out, color=BLUE, marker="s", ms=2.5, lw=1.2, label="greedy cover, other half")
        lines = (
            ("all head sets", found.everyone, ":"),
            ("best head", found.best, "-."),
            ("base", found.base, "--"),
        )
        for label, value, style in lines:
            axes.axhline(value, color="black", lw=0.8, linestyle=style, label=f"{label} ({value:.2f})")
        axes.set_xlabel("head sets k")
        axes.set_ylabel("share of questions solved")
        axes.set_xscale("log", base=2)
        ticks = [t for t in (1, 2, 4, 8, 16, 32, 64) if t <= len(k)]
        axes.set_xticks(ticks, [str(t) for t in ticks])
        axes.minorticks_off()
        lowest = min(found.base, *found.cover, *found.held_out)
        highest = max(found.base, *found.cover, *found.held_out, found.everyone)
        axes.set_ylim(max(0.0, 0.9 * lowest - 0.02), min(1.0, highest * 1.04 + 0.01))
        figure.legend(frameon=False, loc="outside lower center", ncols=2, columnspacing=1.0)
        return figure

    return draw


def output_kinds(found: Sequence[Catastrophe], most: int = 15) -> Callable[[Any], Any]:
    """What the answers of the base and of catastrophic heads are."""
    shown = list(found[: most + 1])

    def draw(plt: Any) -> Any:
        figure, axes = plt.subplots(figsize=(COLUMN, 0.75 + 0.2 * len(shown)), layout="constrained")
        left = np.zeros(len(shown))
        for kind in KINDS:
            values = np.array([item.kinds[kind] / max(1, sum(item.kinds.values())) for item in shown])
            axes.barh(
                range(len(shown)), values, left=left, color=_KIND_COLOURS[kind], label=kind, height=0.75
            )
            left += values
        axes.set_yticks(range(len(shown)), [item.heads for item in shown])
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.set_xlabel("share of answers")
        axes.set_ylabel("pruned")
        axes.legend(
            frameon=False,
            ncols=len(KINDS),
            loc="lower left",
            bbox_to_anchor=(-0.12, 1.0),
            columnspacing=0.8,
            handlelength=0.8,
            handletextpad=0.3,
            borderpad=0,
        )
        return figure

    return draw


def _with_counts(impact: Impact) -> list[str]:
    subjects = [_literal(subject) for subject in impact.subjects]
    if impact.counts is None:
        return subjects
    return [f"{subject} ({count})" for subject, count in zip(subjects, impact.counts, strict=True)]


def _literal(text: str) -> str:
    """Text in which a dollar sign begins no mathematics."""
    return text.replace("$", r"\$")


def _some(count: int, most: int = 16) -> list[int]:
    """Evenly spaced indices, few enough for labels."""
    step = max(1, -(-count // most))
    return list(range(0, count, step))
