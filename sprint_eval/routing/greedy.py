"""Greedy choice of candidates by marginal gain, with draws of one setting taken for alike.

Draws by one setting differ in nothing but their seed: the rate of any of them among some questions is
an estimate of one and the same number. Averaged over those not taken yet it is a better one, and no draw
looks better than a head for having been lucky on the training questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sprint_eval.draws import Draw
from sprint_eval.heads import HeadSet
from sprint_eval.routing.solve_model import logit, smooth_rates


def alike_groups(candidates: Sequence[HeadSet]) -> np.ndarray | None:
    """A number a candidate, ``[J]``: draws that differ in their number alone share one.

    Returns:
        ``None`` where no two candidates are alike.
    """
    kinds = [replace(one, number=1) if isinstance(one, Draw) else one for one in candidates]
    numbers: dict[HeadSet, int] = {}
    groups = np.array([numbers.setdefault(kind, len(numbers)) for kind in kinds], np.int64)
    return groups if len(numbers) < len(kinds) else None


def pooled(values: np.ndarray, free: np.ndarray, alike: np.ndarray | None) -> np.ndarray:
    """Values of alike candidates replaced by their mean over those still free.

    Args:
        values: ``[m, J]``.
        free: which candidates are not taken yet, bool ``[m, J]``.
        alike: group of each candidate, ``[J]``; ``None`` leaves all as they are.

    Returns:
        ``[m, J]``; what stands at candidates that are not free is of no meaning.
    """
    if alike is None:
        return values
    averaged = values.copy()
    for group in np.flatnonzero(np.bincount(alike) > 1):
        columns = np.flatnonzero(alike == group)
        count = np.maximum(free[:, columns].sum(axis=1, keepdims=True), 1)
        averaged[:, columns] = (values[:, columns] * free[:, columns]).sum(axis=1, keepdims=True) / count
    return averaged


def pooled_probabilities(probability: np.ndarray, alike: np.ndarray | None) -> np.ndarray:
    """Probabilities ``[m, J]``, those of alike candidates by the mean of their log-odds."""
    if alike is None:
        return probability
    odds = pooled(logit(probability), np.ones(probability.shape, bool), alike)
    return 1.0 / (1.0 + np.exp(-odds))


def greedy_by_gain(
    z: np.ndarray,
    weights: np.ndarray,
    probability: np.ndarray,
    n: int,
    trust: float,
    alike: np.ndarray | None = None,
) -> np.ndarray:
    """The first ``n`` columns for each question by marginal gain: see :class:`CoverageRule`.

    Args:
        z: outcomes of training questions, ``[t, J]``.
        weights: of each training question for each question, from :func:`question_weights`, ``[m, t]``.
        probability: calibrated P(z_j = 1 | x), ``[m, J]``.
        trust: how far ``probability`` moves the rates.
        alike: group of each column, ``[J]``: those of one group are taken for equally good.

    Returns:
        Columns ``[m, n]``, best first, none twice in a row.
    """
    outcomes = z.astype(np.float32)
    failed_by = np.ascontiguousarray(1.0 - outcomes.T)  # [J, t]
    taken = np.zeros((len(weights), outcomes.shape[1]), bool)
    solved = pooled(weights @ outcomes, ~taken, alike)
    rates = smooth_rates_of(solved, weights.sum(axis=1, keepdims=True))
    tilt = trust * (logit(probability) - logit(rates)) if trust else 0.0
    # Equal gains, above all where nothing is left to gain, go to the higher rate. Rounding comes
    # first: equal sums may differ in their last bits by the order of summation.
    preference = 1e-7 * rates
    picked = np.empty((len(weights), n), np.int64)
    everyone = np.arange(len(weights))
    left = weights.copy()
    for k in range(n):
        solved = pooled(left @ outcomes, ~taken, alike)
        gains = smooth_rates_of(solved, left.sum(axis=1, keepdims=True))
        scores = np.round(logit(gains) + tilt, 6) + preference
        scores[taken] = -np.inf
        picked[:, k] = best = scores.argmax(axis=1)
        taken[everyone, best] = True
        left *= failed_by[best]
    return picked


def smooth_rates_of(solved: np.ndarray, total: np.ndarray) -> np.ndarray:
    """``solved / total``, kept off 0 and 1, in float64."""
    total = total.astype(np.float64)
    return smooth_rates(np.clip(solved / np.maximum(total, 1e-9), 0.0, 1.0), total)


def question_weights(similarity: np.ndarray, temperature: float | None) -> np.ndarray:
    """Weights of training questions for each question, ``[m, t]``.

    A row sums to its effective number of questions, ``(Σw)² / Σw²``: how far a rate among them can
    be trusted.

    Args:
        similarity: in standard deviations, ``[m, t]``.
        temperature: on the same scale; ``None`` weighs all alike.
    """
    if temperature is None:
        return np.ones(similarity.shape, np.float32)
    weights = np.exp((similarity - similarity.max(axis=1, keepdims=True)) / temperature)
    effective = weights.sum(axis=1) / (weights**2).sum(axis=1)
    return (weights * effective[:, None]).astype(np.float32)
