"""What the figures say, in plain words."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sprint_eval.leaderboards import statistics
from sprint_eval.leaderboards.board import Board, score_name
from sprint_eval.leaderboards.pairs import Pairs
from sprint_eval.leaderboards.standing import Standing
from sprint_eval.leaderboards.tables import Row


def figure(value: float, digits: int = 3) -> str:
    """A score, or a dash where there is none."""
    return "–" if np.isnan(value) else f"{value:.{digits}f}"


def signed(value: float, digits: int = 3) -> str:
    """A difference with its sign, a real minus."""
    return f"{value:+.{digits}f}".replace("-", "−")


def verdict(standing: Standing) -> str:
    """Who leads, whether these questions can tell, what they could not have shown, and whom not to trust."""
    pairs = standing.headline_pairs()
    if pairs is None and logged(standing):
        return "This metric has no value a question, so there are no intervals and no comparison."
    if pairs is None:
        return "No samples were logged (lm_eval --log_samples), so there are no intervals and no comparison."
    ranked = [index for index in range(len(standing.rows)) if standing.letters[index]]
    return _lead(standing, pairs, ranked) + _doubts([standing.rows[index] for index in ranked])


def logged(standing: Standing) -> bool:
    """Whether any of a table's runs logged samples, be it that they hold no value of its metric."""
    return any(row.run.header.samples_path is not None for row in standing.rows)


def _doubts(rows: list[Row]) -> str:
    """The notes that cast doubt on the score of rows that are compared."""
    doubted = [f"{row.name} ({', '.join(row.serious)})" for row in rows if row.serious]
    return f" In doubt: {_listing(doubted)}." if doubted else ""


def _lead(standing: Standing, pairs: Pairs, ranked: list[int]) -> str:
    table, rows = standing.table, standing.rows
    name = score_name(standing, standing.headline, table.k)
    if len(ranked) < 2:
        return f"Only one method has {name} on {_these(table.questions)}: there is nothing to compare."
    upper = [(first, second) for place, first in enumerate(ranked) for second in ranked[place + 1 :]]
    shown = [pair for pair in upper if pairs.holm[pair] < statistics.LEVEL]
    best = rows[ranked[0]].name
    if not shown:
        return (
            f"{_count(table.questions or 0, 'question')} cannot tell these {len(ranked)} methods apart at "
            f"{name}: no pair differs at p < {statistics.LEVEL:g} after Holm's correction. "
            f"{_missed(pairs.detectable[tuple(zip(*upper, strict=True))])}"
        )
    behind = [second for second in ranked[1:] if pairs.holm[ranked[0], second] < statistics.LEVEL]
    tied = [rows[index].name for index in ranked[1:] if index not in behind]
    if not tied:
        return f"{best} is ahead of all others at {name}{_gap(standing, ranked[0], behind[0])}."
    most = "lowest" if table.lower_is_better else "highest"
    lead = f"{best} has the {most} {name}, not shown to differ from {_listing(tied)}"
    if not behind:
        return f"{lead}; {len(shown)} of {len(upper)} pairs further down do differ."
    others = _listing([rows[index].name for index in behind])
    return f"{lead}; ahead of {others}{_gap(standing, ranked[0], behind[0])}."


def _these(questions: int | None) -> str:
    return "this one question" if questions == 1 else f"these {questions:,} questions"


def _missed(detectable: npt.NDArray[np.float64]) -> str:
    """What the typical pair could not have shown; NaN stands for a pair that shows nothing."""
    known = detectable[~np.isnan(detectable)]
    if not known.size:
        return "No difference, however large, would show reliably with so few."
    return f"A true difference under about {figure(float(np.median(known)), 2)} would mostly stay hidden."


def _gap(standing: Standing, first: int, second: int) -> str:
    pairs = standing.headline_pairs()
    assert pairs is not None
    low, high = pairs.low[first, second], pairs.high[first, second]
    interval = "" if np.isnan(low) else f"95 % interval {signed(low)} to {signed(high)}, "
    return (
        f" ({signed(pairs.difference[first, second])} over {standing.rows[second].name}, "
        f"{interval}Holm p = {p_text(pairs.holm[first, second])})"
    )


def p_text(p: float) -> str:
    """A p-value as papers print it."""
    if np.isnan(p):
        return "–"
    if p < 1e-4:
        return f"{p:.0e}".replace("e-0", "e-")
    return f"{p:.3f}" if p >= 0.001 else f"{p:.4f}"


def _listing(names: list[str], most: int = 4) -> str:
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def summary(board: Board) -> str:
    """What was read and what was left out, counted aloud."""
    reading = board.reading
    rows = sum(len(standing.rows) for standing in board.standings)
    older = sum(len(row.repeats) for standing in board.standings for row in standing.rows)
    parts = [
        f"{_count(reading.files, 'results file')} read",
        f"{_count(rows, 'row')} in {_count(len(board.standings), 'table')}",
    ]
    if older:
        parts.append(f"{_count(older, 'older run')} of the same left out")
    if reading.problems:
        parts.append(f"{_count(len(reading.problems), 'file or part', 'files or parts')} skipped")
    if reading.others:
        parts.append(f"{_count(len(reading.others), 'other file')} ignored")
    return ", ".join(parts) + "."


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
