"""The ``coverage`` and ``mixed`` rules: N candidates that fail on different questions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sprint_eval.routing.greedy import greedy_by_gain, pooled_probabilities, question_weights
from sprint_eval.routing.selection import Ranking
from sprint_eval.routing.solve_model import SolveModel

# Temperatures of the weights of training questions, in standard deviations of their similarity;
# None weighs all alike, which makes the rule a fixed greedy cover.
TEMPERATURES: tuple[float | None, ...] = (None, 2.0, 1.0, 0.5, 0.25)
TRUSTS = (0.0, 0.5, 1.0)
# Cross-validation and ranking hold [questions, n] arrays: blocks keep them small.
_BLOCK_CELLS = 4_000_000
_MAX_CV_QUESTIONS = 2_500


@dataclass(frozen=True)
class CoverageSettings:
    """What cross-validation chooses.

    Attributes:
        temperature: how quickly a training question's weight falls with its distance; ``None``: not.
        trust: how far the calibrated probabilities move the neighbours' rates, 0 to 1.
    """

    temperature: float | None
    trust: float


class CoverageRule:
    """Greedy choice by marginal gain in P(at least one of the set solves x).

    The gain of candidate j after the set S is P(all of S fail | x) · P(j solves | all of S fail, x);
    the first factor is the same for every j. The second comes from the rows of Z of similar
    training questions, where dependence between candidates shows as it is, moved by what the
    calibrated model knows of x beyond them::

        logit P(j | S fails, x) = logit r_j|S(x) + trust · (logit P(z_j = 1 | x) − logit r_j(x))

    ``r_j|S(x)`` is the rate of j among training questions that no member of S solves, each weighted
    by exp(similarity to x / temperature), ``r_j`` the same with S empty. With equal weights and no
    trust this is a fixed greedy cover of the training questions: cross-validation leaves it only
    for something that did better on questions held out. Its ties go to the candidate that solves
    more alone, those of the baseline (:func:`~sprint_eval.routing.baselines.greedy_cover`) to the
    first of the pool: the two may differ where gains are small counts.

    Draws by one setting are alike, and their rates and probabilities averaged: see ``greedy.py``.

    A candidate's weight for voting is its calibrated P(z_j = 1 | x).

    Args:
        embeddings: of the training questions, centred and of length 1, ``[n, width]``.
        center: mean embedding that was taken off, ``[width]``.
        scale: standard deviation of the training questions' similarity.
        z: their outcomes, ``[n, J]``.
        columns: pool index of each of the J candidates.
        model: calibrated probabilities.
        chosen: hyperparameters.
        alike: group of each candidate, ``[J]``; ``None`` where no two are alike.
    """

    def __init__(
        self,
        embeddings: np.ndarray,
        center: np.ndarray,
        scale: float,
        z: np.ndarray,
        columns: np.ndarray,
        model: SolveModel,
        chosen: CoverageSettings,
        alike: np.ndarray | None = None,
    ) -> None:
        self.embeddings = embeddings
        self.center = center
        self.scale = scale
        self.z = z
        self.columns = columns
        self.model = model
        self.chosen = chosen
        self.alike = alike

    def rank(self, embeddings: np.ndarray, n: int) -> Ranking:
        order, votes = [], []
        for rows in _blocks(len(embeddings), len(self.z)):
            block = embeddings[rows]
            probability = pooled_probabilities(self.model.predict(block), self.alike)
            similarity = _unit(block - self.center) @ self.embeddings.T / self.scale
            weights = question_weights(similarity, self.chosen.temperature)
            picked = greedy_by_gain(self.z, weights, probability, n, self.chosen.trust, self.alike)
            order.append(self.columns[picked])
            votes.append(np.take_along_axis(probability, picked, axis=1))
        return Ranking(np.concatenate(order), np.concatenate(votes))

    def arrays(self) -> dict[str, np.ndarray]:
        return {
            "embeddings": self.embeddings,
            "center": self.center,
            "z": self.z,
            "columns": self.columns,
            **({} if self.alike is None else {"alike": self.alike}),
            **self.model.arrays(),
        }

    def settings(self) -> dict[str, Any]:
        return {
            "temperature": self.chosen.temperature,
            "trust": self.chosen.trust,
            "similarity_scale": self.scale,
            "ridge_alpha": self.model.alpha,
        }

    @classmethod
    def restore(cls, arrays: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> CoverageRule:
        """The rule that was saved as these arrays and settings."""
        return cls(
            arrays["embeddings"],
            arrays["center"],
            float(settings["similarity_scale"]),
            arrays["z"],
            arrays["columns"],
            SolveModel.restore(arrays, float(settings["ridge_alpha"])),
            CoverageSettings(settings["temperature"], float(settings["trust"])),
            arrays.get("alike"),
        )


@dataclass(frozen=True)
class Predictions:
    """Calibrated probabilities of all candidates, for training several rules from one model.

    Attributes:
        model: trained on all questions.
        out_of_fold: what it says of each training question when trained without its fold, ``[n, J]``.
        folds: fold of each question, ``[n]``; twins share one.
    """

    model: SolveModel
    out_of_fold: np.ndarray
    folds: np.ndarray


def fit_coverage(
    embeddings: np.ndarray,
    z: np.ndarray,
    columns: np.ndarray,
    predictions: Predictions,
    seed: int,
    select_for: int,
    alike: np.ndarray | None = None,
) -> tuple[CoverageRule, dict[str, Any]]:
    """Train the rule on all questions, its hyperparameters chosen by cross-validation on the same.

    Args:
        embeddings: of the training questions, ``[n, width]``.
        z: outcomes of all candidates of the pool, ``[n, J]``.
        columns: the candidates that the rule may choose.
        predictions: of all candidates.
        seed: of samples taken where there are very many questions.
        select_for: hyperparameters are judged by mean Pass@k, k = 1 to this.
        alike: group of each of these candidates, from :func:`~sprint_eval.routing.greedy.alike_groups`.

    Returns:
        The rule, and mean Pass@k out of fold: of the choice, and of this rule's own greedy cover.
    """
    z, out_of_fold = z[:, columns], predictions.out_of_fold[:, columns]
    out_of_fold = pooled_probabilities(out_of_fold, alike)
    model, folds = predictions.model.part(columns), predictions.folds
    center = embeddings.mean(axis=0)
    units = _unit(embeddings - center)
    scale = _similarity_scale(units, seed)
    rows = np.arange(len(z))
    if len(rows) > _MAX_CV_QUESTIONS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, _MAX_CV_QUESTIONS, replace=False))
    scores = _cross_validate(
        units[rows], z[rows], out_of_fold[rows], folds[rows], scale, min(select_for, z.shape[1]), alike
    )
    # The first of equals: candidates stand in order of how far they leave the fixed cover.
    chosen = max(scores, key=lambda settings: scores[settings])
    rule = CoverageRule(
        units, center, scale, np.ascontiguousarray(z, np.uint8), columns, model, chosen, alike
    )
    metrics = {
        "cv_mean_pass": scores[chosen],
        "cv_mean_pass_fixed_cover": scores[CoverageSettings(None, 0.0)],
    }
    return rule, metrics


def mean_pass(order: np.ndarray, z: np.ndarray) -> float:
    """Mean Pass@k, k = 1 to N, of columns ``order`` ``[m, N]`` on outcomes ``z`` ``[m, J]``."""
    right = np.take_along_axis(z, order, axis=1).astype(bool)
    return float(np.logical_or.accumulate(right, axis=1).mean())


def _cross_validate(
    units: np.ndarray,
    z: np.ndarray,
    probability: np.ndarray,
    folds: np.ndarray,
    scale: float,
    n: int,
    alike: np.ndarray | None,
) -> dict[CoverageSettings, float]:
    """Mean Pass@k out of fold for every choice of hyperparameters, simplest first."""
    grid = [CoverageSettings(temperature, trust) for temperature in TEMPERATURES for trust in TRUSTS]
    orders = {settings: np.empty((len(z), n), np.int64) for settings in grid}
    for fold in np.unique(folds):
        inside, outside = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        for block in _blocks(len(inside), len(outside)):
            rows = inside[block]
            similarity = units[rows] @ units[outside].T / scale
            for temperature in TEMPERATURES:
                weights = question_weights(similarity, temperature)
                for trust in TRUSTS:
                    orders[CoverageSettings(temperature, trust)][rows] = greedy_by_gain(
                        z[outside], weights, probability[rows], n, trust, alike
                    )
    return {settings: mean_pass(orders[settings], z) for settings in grid}


def _unit(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(norms, 1e-12)).astype(np.float32)


def _similarity_scale(units: np.ndarray, seed: int) -> float:
    """Standard deviation of the similarity of two different training questions."""
    generator = np.random.default_rng(seed)
    first = generator.integers(0, len(units), 20_000)
    second = generator.integers(0, len(units), 20_000)
    different = first != second
    values = (units[first] * units[second]).sum(axis=1)[different]
    return max(float(values.std()), 1e-6) if len(values) else 1.0


def _blocks(count: int, width: int) -> Iterator[slice]:
    size = max(1, _BLOCK_CELLS // max(width, 1))
    for start in range(0, count, size):
        yield slice(start, start + size)
