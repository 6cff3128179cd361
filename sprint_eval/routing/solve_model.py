"""How likely each candidate is to solve a question, from the question's embedding: calibrated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

_ALPHAS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
_MAX_CALIBRATION_CELLS = 200_000


@dataclass(frozen=True)
class SolveModel:
    """``P(z_j = 1 | x)`` for all J candidates at once.

    A ridge regression of each column of Z on the embedding says by how much a question raises or
    lowers each candidate's rate. One logistic regression for all candidates, fitted to
    predictions that were made out of fold, turns these into probabilities::

        logit P(z_j = 1 | x) = a + b·logit m_j + c·δ̄(x) + d·(δ_j(x) − δ̄(x))

    with ``m_j`` the candidate's rate in training, ``δ_j(x)`` the ridge's deviation from it and
    ``δ̄`` its mean over candidates: c says how far easy questions can be told from hard ones, d how
    far it can be told *which* candidate suits a question. Where the embedding says nothing, c and
    d come out near 0 and the probabilities are the plain rates.

    Attributes:
        weights: of the ridge, ``[width, J]``.
        shared: their mean over candidates, ``[width]``, which gives δ̄.
        center: mean embedding in training, ``[width]``.
        rates: ``m_j``, smoothed, ``[J]``.
        calibration: a, b, c, d; ``[4]``.
        alpha: the ridge's strength, chosen out of fold.
    """

    weights: np.ndarray
    shared: np.ndarray
    center: np.ndarray
    rates: np.ndarray
    calibration: np.ndarray
    alpha: float

    def predict(self, embeddings: np.ndarray) -> np.ndarray:
        """Probabilities ``[m, J]``, in (0, 1), for embeddings ``[m, width]``."""
        centred = (embeddings - self.center).astype(np.float64)
        deviations, mean = centred @ self.weights, centred @ self.shared
        return _calibrated(deviations, mean, self.rates, self.calibration)

    def part(self, columns: np.ndarray) -> SolveModel:
        """The same for some of the candidates; what it says of these does not change."""
        return replace(self, weights=self.weights[:, columns], rates=self.rates[columns])

    def arrays(self) -> dict[str, np.ndarray]:
        """What is saved."""
        return {
            "solve_weights": self.weights,
            "solve_shared": self.shared,
            "solve_center": self.center,
            "solve_rates": self.rates,
            "solve_calibration": self.calibration,
        }

    @classmethod
    def restore(cls, arrays: Mapping[str, np.ndarray], alpha: float) -> SolveModel:
        """The model that was saved as these arrays."""
        return cls(
            weights=arrays["solve_weights"],
            shared=arrays["solve_shared"],
            center=arrays["solve_center"],
            rates=arrays["solve_rates"],
            calibration=arrays["solve_calibration"],
            alpha=alpha,
        )


def fit_solve_model(
    embeddings: np.ndarray, z: np.ndarray, folds: np.ndarray, seed: int
) -> tuple[SolveModel, np.ndarray]:
    """Fit on all questions, and say what it predicts for each when trained without its fold.

    Args:
        embeddings: ``[n, width]``.
        z: outcomes, 0 or 1, ``[n, J]``.
        folds: fold of each question, ``[n]``; twins share one.
        seed: of the sample of cells that calibration looks at.

    Returns:
        The model, and out-of-fold probabilities ``[n, J]``.
    """
    z = z.astype(np.float64)
    alpha, deviations, fold_rates = _out_of_fold(embeddings, z, folds)
    calibration = _fit_calibration(deviations, fold_rates, z, seed)
    ridge = _Ridge(embeddings, z)
    rates = smooth_rates(z.mean(axis=0), len(z))
    weights = ridge.weights(alpha).astype(np.float32)
    model = SolveModel(weights, weights.mean(axis=1), ridge.center, rates, calibration, alpha)
    return model, _calibrated(deviations, deviations.mean(axis=1), fold_rates, calibration)


def smooth_rates(rates: np.ndarray, count: float | np.ndarray) -> np.ndarray:
    """Rates of ``count`` trials with half a success and half a failure added: never 0 or 1."""
    smoothed: np.ndarray = (rates * count + 0.5) / (count + 1.0)
    return smoothed


def logit(probability: np.ndarray) -> np.ndarray:
    return np.log(probability) - np.log1p(-probability)


def _out_of_fold(
    embeddings: np.ndarray, z: np.ndarray, folds: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """The ridge strength with the least squared error out of fold, its deviations, the folds' rates."""
    fold_rates = np.empty_like(z)
    errors = dict.fromkeys(_ALPHAS, 0.0)
    ridges = {}
    for fold in np.unique(folds):
        inside, outside = folds == fold, folds != fold
        fold_rates[inside] = smooth_rates(z[outside].mean(axis=0), int(outside.sum()))
        ridges[fold] = ridge = _Ridge(embeddings[outside], z[outside])
        surprise = z[inside] - fold_rates[inside]
        for alpha in _ALPHAS:
            errors[alpha] += float(((surprise - ridge.predict(embeddings[inside], alpha)) ** 2).sum())
    best = min(_ALPHAS, key=lambda alpha: (errors[alpha], -alpha))
    deviations = np.empty_like(z)
    for fold, ridge in ridges.items():
        deviations[folds == fold] = ridge.predict(embeddings[folds == fold], best)
    return best, deviations, fold_rates


class _Ridge:
    """Ridge regression of deviations from the mean, for any strength from one decomposition."""

    def __init__(self, embeddings: np.ndarray, z: np.ndarray) -> None:
        self.center: np.ndarray = embeddings.mean(axis=0)
        centred = (embeddings - self.center).astype(np.float64)
        self._values, self._vectors = np.linalg.eigh(centred.T @ centred)
        self._projected = self._vectors.T @ (centred.T @ (z - z.mean(axis=0)))

    def weights(self, alpha: float) -> np.ndarray:
        """``(XᵀX + αI)⁻¹ XᵀZ``, ``[width, J]``."""
        shrunk: np.ndarray = self._vectors @ (self._projected / (self._values + alpha)[:, None])
        return shrunk

    def predict(self, embeddings: np.ndarray, alpha: float) -> np.ndarray:
        """Deviations ``[m, J]``."""
        deviations: np.ndarray = (embeddings - self.center) @ self.weights(alpha)
        return deviations


def _fit_calibration(deviations: np.ndarray, rates: np.ndarray, z: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression

    cells = np.arange(z.size)
    if z.size > _MAX_CALIBRATION_CELLS:
        cells = np.sort(np.random.default_rng(seed).choice(z.size, _MAX_CALIBRATION_CELLS, replace=False))
    rows = cells // z.shape[1]
    labels, mean = z.reshape(-1)[cells], deviations.mean(axis=1)[rows]
    if len(np.unique(labels)) < 2:
        return np.array([0.0, 1.0, 0.0, 0.0])
    features = np.column_stack([logit(rates.reshape(-1)[cells]), mean, deviations.reshape(-1)[cells] - mean])
    fitted = LogisticRegression(C=1e4, max_iter=1000).fit(features, labels)
    # Out-of-fold predictions of pure noise lean the wrong way by a hair: no use is the least of uses.
    slopes = np.maximum(fitted.coef_[0], 0.0)
    return np.concatenate([fitted.intercept_, slopes])


def _calibrated(
    deviations: np.ndarray, mean: np.ndarray, rates: np.ndarray, calibration: np.ndarray
) -> np.ndarray:
    a, b, c, d = calibration
    scores = a + b * logit(rates) + (c - d) * mean[:, None] + d * deviations
    return 1.0 / (1.0 + np.exp(-np.clip(scores, -30.0, 30.0)))
