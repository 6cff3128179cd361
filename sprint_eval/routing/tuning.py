"""Hyperparameters of SPRINT, Eq. 1 by cross-validation on the training questions."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sprint_eval.routing.config import RouterConfig
from sprint_eval.routing.coverage import mean_pass
from sprint_eval.routing.fit import fit_map
from sprint_eval.routing.selection import NearestRule

GRID: Mapping[str, Sequence[Any]] = {
    "dimension": (32, 128),
    "spread": (0.0, 0.1, 1.0),
    "learning_rate": (1e-2, 3e-3),
}


def tune(
    embeddings: np.ndarray,
    z: np.ndarray,
    keys: list[str],
    folds: np.ndarray,
    config: RouterConfig,
    grid: Mapping[str, Sequence[Any]] = GRID,
) -> tuple[RouterConfig, list[dict[str, Any]]]:
    """The config of the grid with the highest mean Pass@k out of fold, k = 1 to ``select_for``.

    Equal scores go to the config that stands first; the given one stands before the grid.

    Args:
        embeddings: of the training questions, ``[n, width]``.
        z: their outcomes, ``[n, J]``.
        keys: identity of each question; twins stay together in every split.
        folds: fold of each question, ``[n]``.
        config: what the grid does not vary.
        grid: values of :class:`RouterConfig` fields to try in every combination.

    Returns:
        The config, and a row a config tried: its values and ``mean_pass``.
    """
    combinations = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    given = {name: getattr(config, name) for name in grid}
    table = []
    for values in [given, *(row for row in combinations if row != given)]:
        tried = dataclasses.replace(config, **values)
        table.append(values | {"mean_pass": _out_of_fold_pass(embeddings, z, keys, folds, tried)})
    best = max(table, key=lambda row: row["mean_pass"])
    return dataclasses.replace(config, **{name: best[name] for name in grid}), table


def _out_of_fold_pass(
    embeddings: np.ndarray, z: np.ndarray, keys: list[str], folds: np.ndarray, config: RouterConfig
) -> float:
    n = min(config.select_for, z.shape[1])
    order = np.empty((len(z), n), np.int64)
    for fold in np.unique(folds):
        inside, outside = folds == fold, np.flatnonzero(folds != fold)
        fitted = fit_map(embeddings[outside], z[outside], [keys[i] for i in outside], config)
        rule = NearestRule(fitted.projection, fitted.heads, np.arange(z.shape[1]))
        order[inside] = rule.rank(embeddings[inside], n).order
    return mean_pass(order, z)
