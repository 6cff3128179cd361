"""Cross-validation chooses what does better out of fold, on training questions alone."""

import numpy as np

from sprint_eval.routing import RouterConfig, train_router
from sprint_eval.routing.training_data import split_groups
from sprint_eval.routing.tuning import tune

QUESTIONS = [f"topic {i % 4}, number {i}" for i in range(80)]


def planted(random_z):
    z = random_z(80, 6, rate=0.1)
    z[np.arange(80), np.arange(80) % 4] = 1
    return z


def test_a_config_that_learns_beats_one_that_cannot(embedder, random_z):
    config = RouterConfig(epochs=30, dimension=8, learning_rate=1e-7)
    folds = split_groups(np.arange(80), 4, 0)
    chosen, table = tune(
        embedder.encode(QUESTIONS),
        planted(random_z),
        QUESTIONS,
        folds,
        config,
        {"learning_rate": (1e-7, 3e-2)},
    )
    assert chosen.learning_rate == 3e-2
    assert chosen.dimension == 8
    assert [row["learning_rate"] for row in table] == [1e-7, 3e-2]
    assert table[1]["mean_pass"] > table[0]["mean_pass"] + 0.1


def test_the_router_says_what_was_tried(make_outcomes, embedder, random_z):
    config = RouterConfig(epochs=5, folds=2, tune=True)
    router = train_router(make_outcomes(planted(random_z), QUESTIONS), config, embedder)
    table = router.card.metrics["tuning"]
    assert len(table) == 12
    best = max(table, key=lambda row: row["mean_pass"])
    assert {name: router.card.hyperparameters[name] for name in ("dimension", "spread")} == {
        name: best[name] for name in ("dimension", "spread")
    }
