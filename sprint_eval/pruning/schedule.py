"""How many heads are pruned when, and which (DPKD, Eq. 5)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from sprint_eval.errors import ArgumentError
from sprint_eval.heads import Head, HeadLayout, HeadSet

# Products such as 0.1 * 30 fall short of a whole number, or pass it, by rounding alone.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Schedule:
    """Share of heads pruned at step t of T: p_t = p_min + (p_max − p_min)·(t/T)^n (DPKD, Eq. 5).

    Attributes:
        target: p_max, the share at the last step, in [0, 1).
        steps: T, at least 1.
        start: p_min, the share at step 0.
        power: n; the paper warns that a large one makes training unstable, since nearly all heads
            then go in the last steps.
    """

    target: float
    steps: int
    start: float = 0.0
    power: float = 3.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.start <= self.target < 1.0:
            raise ArgumentError(
                f"pruning from a share of {self.start} to {self.target}: expected 0 <= start <= target < 1"
            )
        if self.steps < 1:
            raise ArgumentError(f"a schedule of {self.steps} steps: expected 1 or more")
        if not (math.isfinite(self.power) and self.power > 0):
            raise ArgumentError(f"power = {self.power}: expected a finite value above 0")

    def ratio(self, step: int) -> float:
        """p_t; steps beyond the last stay at the target."""
        progress = min(max(step, 0) / self.steps, 1.0)
        return self.start + (self.target - self.start) * progress**self.power

    def count(self, step: int, total: int) -> int:
        """⌊p_t·total⌋."""
        return pruned_count(self.ratio(step), total)


def pruned_count(ratio: float, total: int) -> int:
    """⌊ratio·total⌋, with no head lost to rounding."""
    return math.floor(ratio * total + _ROUNDING)


def check_ratio(ratio: float, layout: HeadLayout, floor: int = 1) -> None:
    """Refuse a share of heads that cannot go without emptying a layer.

    Args:
        floor: heads that each layer keeps; 0 lets layers lose all.

    Raises:
        ArgumentError: names the largest share that can go.
    """
    most = sum(max(count - floor, 0) for count in layout.heads_per_layer)
    wanted = pruned_count(ratio, layout.num_heads)
    if wanted > most:
        raise ArgumentError(
            f"a ratio of {ratio} takes {wanted} of {layout.num_heads} heads and {most} can go while every "
            f"layer keeps {floor}; lower the ratio to {most / layout.num_heads:.3f} or allow empty layers"
        )


def lowest_heads(
    scores: np.ndarray,
    layout: HeadLayout,
    count: int,
    pruned: Iterable[Head] = (),
    floor: int = 1,
) -> HeadSet:
    """``count`` heads to prune: those pruned already, then the lowest scores; ties go to the first head.

    Args:
        scores: ``[heads]``, in the order of ``layout.heads()``.
        pruned: heads that stay pruned (the schedule is monotone). If they are more than ``count``,
            they are the answer.
        floor: heads that each layer keeps.

    Raises:
        ArgumentError: the scores do not fit the layout, or so many heads cannot go.
    """
    heads = list(layout.heads())
    if len(scores) != len(heads):
        raise ArgumentError(f"{len(scores)} scores for a model of {len(heads)} heads")
    chosen = set(pruned)
    left = list(layout.heads_per_layer)
    for head in chosen:
        left[head.layer] -= 1
    for index in np.argsort(scores, kind="stable"):
        if len(chosen) >= count:
            break
        head = heads[int(index)]
        if head not in chosen and left[head.layer] > floor:
            chosen.add(head)
            left[head.layer] -= 1
    if len(chosen) < count:
        raise ArgumentError(f"{count} heads cannot go while every layer keeps {floor}; lower the ratio")
    return HeadSet(tuple(chosen))
