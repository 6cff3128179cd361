"""From an outcome matrix to a router."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from sprint_eval.outcomes import Outcomes
from sprint_eval.routing.config import COVERAGE, MIXED, NEAREST, RouterConfig
from sprint_eval.routing.coverage import Predictions, fit_coverage
from sprint_eval.routing.embedder import Embedder, SentenceEmbedder, check_embeddings
from sprint_eval.routing.fit import fit_map
from sprint_eval.routing.greedy import alike_groups
from sprint_eval.routing.router import PROBE, Router, RouterCard
from sprint_eval.routing.selection import NearestRule, SelectionRule
from sprint_eval.routing.solve_model import fit_solve_model
from sprint_eval.routing.training_data import TrainingSet, key_groups, split_groups, training_set


def train_router(
    outcomes: Outcomes, config: RouterConfig | None = None, embedder: Embedder | None = None
) -> Router:
    """Train every selection rule on an outcome matrix's questions.

    Same outcomes, config and embedder, same router. Nothing but the training questions decides
    anything, hyperparameters included.

    Args:
        outcomes: questions x pool; incomplete and repeated questions are left out and counted.
        config: hyperparameters.
        embedder: φ; the default model when ``None``.

    Raises:
        TrainingError: there is nothing to learn from, or training diverged.
        DataError: the embedder gave vectors that are not finite.
    """
    config = config or RouterConfig()
    embedder = embedder or SentenceEmbedder()
    data = training_set(outcomes)
    vectors = np.asarray(embedder.encode([*data.questions, PROBE]), np.float32)
    check_embeddings(vectors, [*data.questions, PROBE], embedder.name)
    embeddings, probe = vectors[:-1], vectors[-1]
    started = time.perf_counter()
    tuning: dict[str, Any] = {}
    if config.tune:
        config, tuning["tuning"] = _tune(data, embeddings, config)
    rules, metrics = _train_rules(data, embeddings, config)
    metrics |= tuning
    metrics["training_seconds"] = round(time.perf_counter() - started, 3)
    manifest = outcomes.manifest
    card = RouterCard(
        model=manifest.model,
        model_fingerprint=manifest.model_fingerprint,
        embedder=embedder.name,
        selection=config.selection,
        question_keys=frozenset(data.all_keys),
        task=manifest.task,
        prompt_format=manifest.prompt_format,
        hyperparameters=config.to_json(),
        counts=data.counts,
        metrics=metrics,
        embedder_dtype=embedder.dtype,
    )
    return Router(data.pool, rules, card, probe, embedder)


def _train_rules(
    data: TrainingSet, embeddings: np.ndarray, config: RouterConfig
) -> tuple[dict[str, SelectionRule], dict[str, Any]]:
    """Every rule, trained, and what was measured on the way."""
    columns = data.single
    folds = split_groups(key_groups(data.keys), config.folds, config.seed)
    started = time.perf_counter()
    fitted = fit_map(embeddings, data.z[:, columns], list(data.keys), config)
    rules: dict[str, SelectionRule] = {NEAREST: NearestRule(fitted.projection, fitted.heads, columns)}
    metrics: dict[str, Any] = {
        "fit_seconds": round(time.perf_counter() - started, 3),
        "epoch": fitted.epoch,
        "epochs_run": fitted.epochs_run,
        "train_loss": fitted.train_loss,
        "validation_loss": fitted.validation_loss,
        "base_rate": _rate(data, "base"),
        "mean_head_rate": float(data.z[:, columns].mean()),
        "best_head_rate": float(data.z[:, columns].mean(axis=0).max()),
        "oracle_rate": float(data.z[:, columns].any(axis=1).mean()),
    }
    predictions = Predictions(*fit_solve_model(embeddings, data.z, folds, config.seed), folds)
    for name, chosen in ((COVERAGE, columns), (MIXED, np.arange(len(data.pool)))):
        if len(chosen) == len(columns) and COVERAGE in rules:  # nothing but single heads in the pool
            rules[name], metrics[name] = rules[COVERAGE], metrics[COVERAGE]
            continue
        rules[name], metrics[name] = fit_coverage(
            embeddings,
            data.z,
            chosen,
            predictions,
            config.seed,
            config.select_for,
            alike_groups([data.pool[int(j)] for j in chosen]),
        )
    return rules, metrics


def _tune(
    data: TrainingSet, embeddings: np.ndarray, config: RouterConfig
) -> tuple[RouterConfig, list[dict[str, Any]]]:
    from sprint_eval.routing.tuning import tune

    folds = split_groups(key_groups(data.keys), config.folds, config.seed)
    return tune(embeddings, data.z[:, data.single], list(data.keys), folds, config)


def _rate(data: TrainingSet, name: str) -> float | None:
    names = data.pool.names()
    return float(data.z[:, names.index(name)].mean()) if name in names else None
