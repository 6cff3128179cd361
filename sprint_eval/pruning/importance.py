"""How much each head matters: the scores by which heads are pruned (DPKD).

A score is a float64 array with one number a head, in the order of ``layout.heads()``; the lowest
are pruned first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from sprint_eval.errors import ArgumentError, DataError
from sprint_eval.heads import HeadLayout
from sprint_eval.pruning.projections import head_blocks, layer_projections

if TYPE_CHECKING:
    from torch import nn

Scores = np.ndarray
"""``[heads]`` float64, in the order of ``HeadLayout.heads()``."""

Direction = Literal["focused", "diffuse"]
"""Which heads the entropy term holds to be important: the paper's text says focused (low entropy)
ones, its formula as printed keeps the diffuse (high entropy) ones."""


def weight_norms(model: nn.Module) -> Scores:
    """DPKD's w: Frobenius norm of the head's output columns times that of its value rows.

    With grouped-query attention, the heads of a group share their value rows.

    Raises:
        UnsupportedModelError: a model whose projections are fused or not plain linear layers.
    """
    layout, layers = layer_projections(model, "the weight norm of a head")
    norms: list[float] = []
    for layer in layers:
        if layer is None:
            continue
        output = head_blocks(layer.output.weight.detach().double(), layout.head_dim, 1).norm(dim=1)
        values = head_blocks(layer.values.weight.detach().double(), layout.head_dim, 0).norm(dim=1)
        norms.extend((output * values[layer.kv_of_query()]).tolist())
    return np.array(norms)


def normalize(scores: Scores) -> Scores:
    """Scores on [0, 1] over all heads; all zero where every head has the same.

    Raises:
        DataError: a score is not finite.
    """
    if not np.isfinite(scores).all():
        raise DataError(
            f"{int((~np.isfinite(scores)).sum())} of {len(scores)} head scores are not finite; "
            "the model's weights or attention hold NaN or infinity"
        )
    low, high = scores.min(), scores.max()
    return np.zeros_like(scores) if high == low else (scores - low) / (high - low)


def combine(norms: Scores, entropies: Scores, alpha: float = 0.5, direction: Direction = "focused") -> Scores:
    """DPKD's S = α·w + (1 − α)·H, both terms normalised to [0, 1] over all heads.

    Args:
        norms: weight norms, ``[heads]``.
        entropies: mean relative attention entropies, ``[heads]``.
        alpha: share of the weight norm, in [0, 1].
        direction: ``"focused"`` turns the entropy around, so that low entropy counts as important.

    Raises:
        ArgumentError: alpha or direction out of range, or arrays of different lengths.
    """
    if not 0.0 <= alpha <= 1.0:
        raise ArgumentError(f"alpha = {alpha}: expected a share between 0 (entropy only) and 1 (norm only)")
    if direction not in get_args(Direction):
        raise ArgumentError(
            f"direction '{direction}' is unknown: expected {' or '.join(get_args(Direction))}"
        )
    if norms.shape != entropies.shape:
        raise ArgumentError(
            f"{len(norms)} weight norms and {len(entropies)} entropies: expected one each a head"
        )
    entropy = normalize(entropies)
    return alpha * normalize(norms) + (1.0 - alpha) * (1.0 - entropy if direction == "focused" else entropy)


def causal_scores(outcomes: Any, layout: HeadLayout) -> Scores:
    """What pruning each head does to answers: the share of them that it changes.

    An answer is changed if the answer extracted from it, or its verdict, is not the base's; in a matrix
    without texts, if its verdict is not. For a head's column only the questions that are decoded, in it
    and by the base, count. Changes for the better count as those for the worse: that one head's loss
    makes a wrong answer right is mostly chance, and by the difference in accuracy those heads would go
    first that upset most answers (``docs/results/distilled-rg_math/causal``).

    Args:
        outcomes: an outcome matrix whose pool has every head on its own.

    Raises:
        DataError: a head has no column, or no decoded question.
    """
    single = {
        head_set.heads[0]: column for column, head_set in enumerate(outcomes.pool) if len(head_set) == 1
    }
    heads = list(layout.heads())
    missing = [head for head in heads if head not in single]
    if missing:
        raise DataError(
            f"the outcomes have no column for {len(missing)} of {len(heads)} heads (the first is "
            f"{missing[0]}); sweep the pool '*:*' for a causal score"
        )
    columns = [single[head] for head in heads]
    known = (np.asarray(outcomes.z)[:, columns] >= 0) & (np.asarray(outcomes.base) >= 0)[:, None]
    counts = known.sum(axis=0)
    if not counts.all():
        head = heads[int(np.argmin(counts))]
        raise DataError(f"no question is decoded for {head} and the base; finish the sweep first")
    changed = np.asarray(outcomes.z)[:, columns] != np.asarray(outcomes.base)[:, None]
    if outcomes.has_texts:
        changed |= _other_answers(outcomes, columns, known)
    shares: Scores = (changed & known).sum(axis=0) / counts
    return shares


def _other_answers(outcomes: Any, columns: list[int], known: np.ndarray) -> np.ndarray:
    """Whether a variant's extracted answer is not the base's: bool ``[n, heads]``."""
    other = np.zeros_like(known)
    for row in np.flatnonzero(known.any(axis=1)):
        answer = outcomes.cell(row, -1).extracted
        for index in np.flatnonzero(known[row]):
            other[row, index] = outcomes.cell(row, columns[index]).extracted != answer
    return other
