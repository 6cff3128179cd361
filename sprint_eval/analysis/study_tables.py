"""The study's tables, from its findings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from sprint_eval.analysis.findings import Catastrophe, Coverage, HeadTest, PairGain
from sprint_eval.analysis.impact import ALL, NO_PRUNE, Complete, Impact
from sprint_eval.analysis.outputs import KINDS
from sprint_eval.analysis.statistics import Gain
from sprint_eval.analysis.tables import Table, Value
from sprint_eval.heads import parse_entry

FEWEST = 30  # questions; an interval from fewer would be too narrow


def impact_table(impact: Impact, where: str) -> Table:
    """Pass@1 by head and subject, a block a layer, the no-prune row first (SPRINT, tables 1 to 4)."""
    counts = ["" if impact.counts is None else f" ({count})" for count in _counts(impact)]
    columns = ["layer", "head", *(f"{s}{n}" for s, n in zip(impact.subjects, counts, strict=True)), ALL]
    rows: list[list[Value]] = [["", NO_PRUNE, *map(float, impact.base), impact.overall_base]]
    bold: set[tuple[int, int]] = set()
    rules: set[int] = set()
    for layer in impact.layers:
        rules.add(len(rows))
        block = np.column_stack([impact.accuracy, impact.overall])[impact.rows(layer)]
        bases = [*impact.base, impact.overall_base]
        best = np.fmax.reduce(block, axis=0)  # NaN, without a warning, where nothing was measured
        for offset, j in enumerate(impact.rows(layer)):
            values = [None if np.isnan(value) else float(value) for value in block[offset]]
            places = (c for c, value in enumerate(values) if value == best[c] and value > bases[c])
            bold.update((len(rows), c + 2) for c in places)
            rows.append([layer, impact.heads[j].head, *values])
    caption = (
        f"Pass@1 with one head pruned ({where}). Bold: the best head of the layer, where it is above "
        "no-prune."
    )
    return Table(columns, rows, caption, frozenset(bold), frozenset(rules))


def impact_rows(impact: Impact) -> Table:
    """The same in long form: one row a head and subject."""
    columns = ("model", "task", "layer", "head", "subject", "n", "pass_at_1", "no_prune", "difference")
    rows: list[list[Value]] = []
    for j, head in enumerate(impact.heads):
        for s, subject in enumerate(impact.subjects):
            value, base = float(impact.accuracy[j, s]), float(impact.base[s])
            if np.isnan(value):
                continue
            count = None if impact.counts is None else int(impact.counts[s])
            facts: list[Value] = [impact.model, impact.task, head.layer, head.head, subject, count]
            rows.append([*facts, value, base, value - base])
    return Table(columns, rows, "Pass@1 by head and subject.")


def gain_table(cases: Sequence[tuple[str, Gain, Sequence[PairGain]]]) -> Table:
    """Biased and honest gain of the best head, overall and for every subject-layer pair."""
    columns = ("matrix", "layer", "subject", "n", "best head", "naive", "split-half", "low", "high")
    rows: list[list[Value]] = []
    rules = set()
    for label, overall, pairs in cases:
        rules.add(len(rows))
        rows.append([label, ALL, ALL, overall.n, None, *_gain(overall)])
        rows += [[label, p.layer, p.subject, p.gain.n, str(p.head), *_gain(p.gain)] for p in pairs]
    caption = (
        "Best pruned head minus no-prune in Pass@1. Naive: chosen on the questions it is measured on, biased "
        "upward. Split-half: chosen on a random half, measured on the other, with its 95 % interval "
        f"where there are {FEWEST} questions or more."
    )
    return Table(columns, rows, caption, rules=frozenset(rules))


def _gain(gain: Gain) -> list[Value]:
    if gain.n < FEWEST:
        return [gain.naive, gain.honest, None, None]
    return [gain.naive, gain.honest, gain.low, gain.high]


def interval(gain: Gain) -> str:
    """The gain's interval in points, to stand behind it; nothing where it would be too narrow."""
    return "" if gain.n < FEWEST else f" [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"


def test_table(tests: Sequence[HeadTest], part: Complete, where: str) -> Table:
    """Every head set against the base, the largest difference first."""
    columns = ("heads", "Pass@1", "low", "high", "difference", "fixed", "broken", "p", "p (Holm)")
    ordered = sorted(tests, key=lambda test: (-test.difference, _place(part, test.heads)))
    rows: list[list[Value]] = [
        [t.heads, t.accuracy, t.low, t.high, t.difference, t.fixed, t.broken, t.p, t.p_holm] for t in ordered
    ]
    bold = frozenset((r, 8) for r, test in enumerate(ordered) if test.p_holm < 0.05)
    caption = (
        f"Every head set against the base on the same questions ({where}; base "
        f"{part.base.mean():.3f}): Pass@1 "
        "with its 95 % interval (Wilson), questions it fixes and breaks, exact McNemar test, Holm's "
        "correction "
        f"for {len(tests)} tests. Bold: below 0.05."
    )
    return Table(columns, rows, caption, bold)


def _place(part: Complete, heads: str) -> int:
    return part.outcomes.manifest.pool.index(heads)


def coverage_table(found: Coverage, where: str) -> Table:
    """Shares of questions solved by base, best head, covers of k, and all."""
    rows: list[list[Value]] = [
        ["base", None, found.base, None],
        [f"best head set ({found.best_heads})", 1, found.best, None],
    ]
    shown = [k for k in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32) if k <= len(found.cover)]
    for k in shown:
        rows.append([f"greedy cover of {k}", k, float(found.cover[k - 1]), float(found.held_out[k - 1])])
    rows.append(["all head sets", None, found.everyone, None])
    first = ", ".join(found.order[:8])
    caption = (
        f"Share of questions solved by at least one of k head sets ({where}). Held out: cover chosen "
        "on one half "
        f"of the questions, measured on the other, mean of 20 halvings. The cover begins with {first}."
    )
    return Table(("variants", "k", "solved", "held out"), rows, caption)


def catastrophe_table(found: Sequence[Catastrophe], where: str, threshold: float) -> Table:
    """Heads that lose more than the threshold, and what their answers become."""
    columns = ["pruned", "Pass@1", "loss", "p (Holm)", *KINDS, "cut at limit", "tokens"]
    rows: list[list[Value]] = []
    for item in found:
        kinds = [item.kinds.get(kind) for kind in KINDS]
        facts: list[Value] = [item.heads, item.accuracy, item.loss, item.p_holm if len(rows) else None]
        rows.append([*facts, *kinds, item.truncated, round(item.tokens, 1)])
    caption = (
        f"Heads whose pruning loses more than {100 * threshold:.0f} points of Pass@1 ({where}), and "
        "what their "
        "answers are: right; wrong; malformed (no answer to extract or compare); repeating (half or "
        "more of the "
        "text is a loop of three turns or more); empty."
    )
    return Table(columns, rows, caption, rules=frozenset({1}))


def shared_table(found: Sequence[tuple[str, Sequence[HeadTest]]], threshold: float) -> Table:
    """Loss of every head that is catastrophic on some task, on each of the tasks that measured it."""
    losses = [{test.heads: -test.difference for test in tests} for _, tests in found]
    lost = {heads for mine in losses for heads, loss in mine.items() if loss > threshold}
    ordered = sorted(lost, key=lambda heads: (-_on(heads, losses, threshold), parse_entry(heads).heads))
    rows: list[list[Value]] = []
    for heads in ordered:
        values: Iterable[float | None] = [mine.get(heads) for mine in losses]
        measured = sum(heads in mine for mine in losses)
        rows.append([heads, *values, f"{_on(heads, losses, threshold)} of {measured}"])
    both = sum(all(mine.get(heads, 0.0) > threshold for mine in losses) for heads in lost)
    everywhere = [heads for heads in lost if all(heads in mine for mine in losses)]
    caption = (
        f"Loss of Pass@1 of heads that lose more than {100 * threshold:.0f} points on some task; "
        "empty where the "
        f"head was not measured. Of the {len(everywhere)} that all tasks measured, {both} are "
        "catastrophic on all."
    )
    return Table(["heads", *(label for label, _ in found), "catastrophic on"], rows, caption)


def _on(heads: str, losses: Sequence[dict[str, float]], threshold: float) -> int:
    return sum(mine.get(heads, 0.0) > threshold for mine in losses)


def _counts(impact: Impact) -> list[int]:
    return [0] * len(impact.subjects) if impact.counts is None else [int(count) for count in impact.counts]
