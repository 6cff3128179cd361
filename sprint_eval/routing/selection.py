"""Selection rules: from a question's embedding to a ranked list of candidates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np


class Ranking(NamedTuple):
    """The first N candidates for each of m questions.

    Attributes:
        order: indices into the pool, best first, ``[m, N]``, none twice in a row.
        weights: probability-like weight of each for voting, in [0, 1], ``[m, N]``.
    """

    order: np.ndarray
    weights: np.ndarray


class SelectionRule(Protocol):
    """One way to choose N candidates for a question.

    A rule is its arrays and its settings: both are saved, and rebuild it.
    """

    @property
    def columns(self) -> np.ndarray:
        """Indices of the pool entries that the rule may choose."""

    def rank(self, embeddings: np.ndarray, n: int) -> Ranking:
        """The first ``n`` candidates for each embedding ``[m, width]``."""

    def arrays(self) -> dict[str, np.ndarray]:
        """What is saved of the rule, by name."""

    def settings(self) -> dict[str, Any]:
        """The rest of it: plain values for ``router.json``."""


class NearestRule:
    """The paper's rule: the N heads with the smallest ``‖q − v_j‖²``, ``q = θ φ(x)``.

    A candidate's weight is its share of ``exp(−‖q−v_j‖²)`` over all candidates: the softmax that
    SPRINT, Eq. 1 trains.

    Args:
        projection: θ as ``[width, p]``.
        heads: ``v_j``, ``[J, p]``.
        columns: pool index of each ``v_j``, ``[J]``.
    """

    def __init__(self, projection: np.ndarray, heads: np.ndarray, columns: np.ndarray) -> None:
        self.projection = projection
        self.heads = heads
        self.columns = columns

    def rank(self, embeddings: np.ndarray, n: int) -> Ranking:
        queries = embeddings.astype(np.float64) @ self.projection.astype(np.float64)
        heads = self.heads.astype(np.float64)
        # −‖q−v‖² up to ‖q‖², which is the same for every head.  [m, J]
        scores = 2.0 * queries @ heads.T - (heads**2).sum(axis=1)
        order = first_n(scores, n)
        weights = np.take_along_axis(softmax(scores), order, axis=1)
        return Ranking(self.columns[order], weights)

    def arrays(self) -> dict[str, np.ndarray]:
        return {"projection": self.projection, "heads": self.heads, "columns": self.columns}

    def settings(self) -> dict[str, Any]:
        return {}

    @classmethod
    def restore(cls, arrays: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> NearestRule:
        """The rule that was saved as these arrays."""
        return cls(arrays["projection"], arrays["heads"], arrays["columns"])


def first_n(scores: np.ndarray, n: int) -> np.ndarray:
    """Columns of the ``n`` largest scores of each row, best first; ties go to the lower column."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :n]


def softmax(scores: np.ndarray) -> np.ndarray:
    """Row-wise, without overflow."""
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)
