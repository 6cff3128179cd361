"""What a router has to beat: covers, draws and single heads chosen without looking at the question."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sprint_eval.errors import ArgumentError, TrainingError
from sprint_eval.heads import HeadSet
from sprint_eval.outcomes import Outcomes
from sprint_eval.routing.greedy import alike_groups, greedy_by_gain
from sprint_eval.routing.training_data import single_head_columns, stable_seed


def greedy_cover(z: np.ndarray) -> list[int]:
    """Columns that together solve the most rows, taken one by one by what each adds.

    Ties go to the lower column; it stops when no column solves anything new. The union of the
    first k is within 1 − 1/e of the best k columns' (Nemhauser et al. 1978).

    Args:
        z: outcomes, 0 or 1, ``[n, J]``.
    """
    unsolved = np.ones(len(z), bool)
    solved = np.asarray(z) == 1
    cover: list[int] = []
    while True:
        gains = solved[unsolved].sum(axis=0)
        if not len(gains) or gains.max() == 0:
            return cover
        best = int(gains.argmax())
        cover.append(best)
        unsolved &= ~solved[:, best]


def cover_order(z: np.ndarray) -> list[int]:
    """Every column: the greedy cover first, then the others by how many rows each solves alone."""
    cover = greedy_cover(z)
    alone = np.argsort(-(np.asarray(z) == 1).sum(axis=0), kind="stable")
    taken = set(cover)
    return cover + [int(j) for j in alone if int(j) not in taken]


def fixed_cover(outcomes: Outcomes, n: int, *, all_candidates: bool = False) -> list[HeadSet]:
    """The first ``n`` heads of the greedy cover of the training questions: no routing at all.

    Args:
        outcomes: of the training questions.
        n: how many.
        all_candidates: choose from every entry of the pool, the base, head sets and draws among
            them, as the rule ``mixed`` does with equal weights and no trust; else from the single heads.

    Raises:
        ArgumentError: ``n`` is below 1 or larger than the pool.
        TrainingError: no question was decoded with every candidate, or none is solved.
    """
    columns, z = _measured(outcomes, n, all_candidates)
    if all_candidates:
        alike, rates = alike_groups(outcomes.pool), np.full((1, z.shape[1]), 0.5)
        order = greedy_by_gain(z, np.ones((1, len(z)), np.float32), rates, n, 0.0, alike)[0]
    else:
        order = np.array(cover_order(z)[:n])
    return [outcomes.pool[int(columns[j])] for j in order]


def best_single_head(outcomes: Outcomes) -> HeadSet:
    """The head that solves the most training questions; the first of equals."""
    columns, z = _measured(outcomes, 1)
    return outcomes.pool[int(columns[int(z.sum(axis=0).argmax())])]


def random_heads_draw(
    outcomes: Outcomes, question_keys: Sequence[str], n: int, draw_seed: int
) -> list[list[HeadSet]]:
    """``n`` heads of the training questions' greedy cover at random, without repeats, a question.

    The paper's baseline "random heads". After a cover smaller than ``n`` come the next best single
    heads, in order, so that the first k are the same whatever ``n``. A draw depends on the seed and
    the question's key alone, not on the questions beside it, their order, or who asks: questions with
    one key get the same heads.

    Raises:
        ArgumentError: ``n`` is below 1 or larger than the pool.
        TrainingError: no question was decoded with every head, or none is solved.
    """
    columns, z = _measured(outcomes, n)
    order, covering = np.array(cover_order(z)), len(greedy_cover(z))
    draws = []
    for key in question_keys:
        generator = np.random.default_rng(stable_seed("random-heads", draw_seed, key))
        drawn = np.append(order[generator.permutation(covering)], order[covering:])[:n]
        draws.append([outcomes.pool[int(columns[j])] for j in drawn])
    return draws


def oracle(z: np.ndarray) -> np.ndarray:
    """True for rows that any column solves: the ceiling of every selection, bool ``[n]``."""
    return (np.asarray(z) == 1).any(axis=1)


def _measured(outcomes: Outcomes, n: int, all_candidates: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Pool indices of the candidates, the single heads unless all are asked for, and their complete rows."""
    columns = single_head_columns(outcomes.pool)
    if all_candidates or not len(columns):  # a pool may have no single heads
        columns = np.arange(len(outcomes.pool))
    if not 1 <= n <= len(columns):
        kind = "candidates" if all_candidates else "heads"
        raise ArgumentError(
            f"N = {n}: the pool has {len(columns)} {kind} to choose from, N must be 1 to that"
        )
    z = np.asarray(outcomes.z)[:, columns]
    z = z[(z >= 0).all(axis=1)]
    if not len(z):
        raise TrainingError(
            "no training question was decoded with every head of the pool; "
            "resume the sweep until it is complete"
        )
    if not z.any():
        raise TrainingError(f"no head of the pool solves any of the {len(z)} training questions")
    return columns, z
