"""What a study finds in one outcome matrix, as plain values: gains, tests, coverage, catastrophes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sprint_eval.analysis.impact import Complete
from sprint_eval.analysis.outputs import count_kinds
from sprint_eval.analysis.statistics import Gain, best_head_gain, holm, mcnemar_exact, wilson
from sprint_eval.heads import Head
from sprint_eval.outcomes import BASE_COLUMN

_COVER_SPLITS = 20


@dataclass(frozen=True)
class PairGain:
    """Gain of the best head of a layer on a subject."""

    layer: int
    subject: str
    head: Head
    gain: Gain


@dataclass(frozen=True)
class HeadTest:
    """A head set against the base on the same questions.

    Attributes:
        heads: its text form.
        accuracy: Pass@1; ``low``, ``high`` its 95 % interval (Wilson).
        fixed: questions that it solves and the base does not; ``broken`` the reverse.
        p: exact McNemar; ``p_holm``: corrected for all head sets of the pool.
    """

    heads: str
    accuracy: float
    low: float
    high: float
    fixed: int
    broken: int
    difference: float
    p: float
    p_holm: float


@dataclass(frozen=True)
class Coverage:
    """Share of questions solved by at least one of some variants.

    Attributes:
        base, best, everyone: by the base, the best head set, any head set.
        best_heads: the best head set.
        order: head sets in the order of a greedy cover of all questions.
        cover: share solved by the first k of them, k = 1, 2, ...; chosen and measured on the same
            questions, so an oracle.
        held_out: share solved by the first k of a cover of one half, on the other half.
        n: questions.
    """

    base: float
    best: float
    everyone: float
    best_heads: str
    order: tuple[str, ...]
    cover: np.ndarray
    held_out: np.ndarray
    n: int


@dataclass(frozen=True)
class Catastrophe:
    """A head whose pruning costs more than the threshold, and what its answers become.

    Attributes:
        loss: accuracy of the base minus the head's.
        p_holm: of the difference, corrected for all heads.
        kinds: answers of each kind (see :mod:`sprint_eval.analysis.outputs`).
        truncated: share of answers cut at the token limit.
        tokens: mean tokens of an answer.
    """

    heads: str
    accuracy: float
    loss: float
    p_holm: float
    kinds: dict[str, int]
    truncated: float
    tokens: float


def overall_gain(part: Complete) -> Gain:
    """Gain of the best single head of the whole pool over all questions."""
    return best_head_gain(part.z[:, part.single], part.base)


def pair_gains(part: Complete) -> list[PairGain]:
    """Gains for every layer and every subject with two questions or more."""
    gains = []
    by_layer: dict[int, list[int]] = {}
    for j, head in zip(part.single, part.heads, strict=True):
        by_layer.setdefault(head.layer, []).append(j)
    for layer, columns in sorted(by_layer.items()):
        for subject in part.subject_names:
            rows = part.subjects == subject
            if rows.sum() < 2:
                continue
            z, base = part.z[np.ix_(rows, columns)], part.base[rows]
            gain = best_head_gain(z, base, splits=100, replicates=100)
            gains.append(PairGain(layer, subject, part.head_sets[columns[gain.best]].heads[0], gain))
    return gains


def head_tests(part: Complete) -> list[HeadTest]:
    """Every head set of the pool against the base, in the pool's order."""
    z, base = part.z == 1, part.base == 1
    fixed = (z & ~base[:, None]).sum(axis=0)
    broken = (~z & base[:, None]).sum(axis=0)
    p = mcnemar_exact(fixed, broken)
    adjusted = holm(p)
    accuracy = z.mean(axis=0)
    interval = wilson(z.sum(axis=0), len(z))
    return [
        HeadTest(
            str(heads),
            float(accuracy[j]),
            float(interval[j, 0]),
            float(interval[j, 1]),
            int(fixed[j]),
            int(broken[j]),
            float(accuracy[j] - base.mean()),
            float(p[j]),
            float(adjusted[j]),
        )
        for j, heads in enumerate(part.head_sets)
    ]


def coverage(part: Complete, most: int = 32, seed: int = 0) -> Coverage:
    """Oracle coverage, and that of a cover chosen on other questions."""
    from sprint_eval.routing.baselines import cover_order

    z = part.z == 1
    n, width = z.shape
    shown = min(most, width)
    order = cover_order(part.z)[:shown]
    rng = np.random.default_rng(seed)
    held_out = np.zeros(shown)
    for _ in range(_COVER_SPLITS):
        mixed = rng.permutation(n)
        for choose, measure in ((mixed[: n // 2], mixed[n // 2 :]), (mixed[n // 2 :], mixed[: n // 2])):
            chosen = cover_order(part.z[choose])[:shown]
            held_out += _cumulative(z[measure][:, chosen])
    best = int(z.mean(axis=0).argmax())
    names = [str(heads) for heads in part.head_sets]
    return Coverage(
        base=float(part.base.mean()),
        best=float(z[:, best].mean()),
        everyone=float(z.any(axis=1).mean()),
        best_heads=names[best],
        order=tuple(names[j] for j in order),
        cover=_cumulative(z[:, order]),
        held_out=held_out / (2 * _COVER_SPLITS),
        n=n,
    )


def _cumulative(z: np.ndarray) -> np.ndarray:
    """Share of rows with a right answer among the first k columns, ``[J]``."""
    return np.asarray(np.logical_or.accumulate(z, axis=1).mean(axis=0))


def catastrophes(part: Complete, tests: list[HeadTest], threshold: float) -> list[Catastrophe]:
    """Head sets that lose more than ``threshold`` (a share of the questions), the worst first.

    The first entry is the base itself, for comparison.
    """
    lost = [j for j, test in enumerate(tests) if -test.difference > threshold]
    lost.sort(key=lambda j: tests[j].difference)
    base = float(part.base.mean())
    found = [_catastrophe(part, BASE_COLUMN, "base", base, 0.0, 1.0)]
    for j in lost:
        test = tests[j]
        column = part.columns[j]
        found.append(_catastrophe(part, column, test.heads, test.accuracy, -test.difference, test.p_holm))
    return found


def _catastrophe(
    part: Complete, column: int, heads: str, accuracy: float, loss: float, p_holm: float
) -> Catastrophe:
    outcomes, rows = part.outcomes, part.rows
    kinds = count_kinds(outcomes.cell(int(i), column) for i in rows) if outcomes.has_texts else {}
    return Catastrophe(
        heads,
        accuracy,
        loss,
        p_holm,
        kinds,
        truncated=float(outcomes.truncated[rows, column].mean()),
        tokens=float(outcomes.tokens[rows, column].mean()),
    )
