"""Joint training of θ and V: safe, deterministic, and better than its start."""

import dataclasses

import numpy as np
import pytest

from sprint_eval.errors import TrainingError
from sprint_eval.routing.config import RouterConfig
from sprint_eval.routing.fit import _validation_rows, fit_map
from sprint_eval.routing.training_data import key_groups, split_groups

SMALL = RouterConfig(dimension=8, epochs=60)


@pytest.fixture
def problem(embedder, random_z):
    texts = [f"topic {i % 4}, number {i}" for i in range(60)]
    z = random_z(60, 6, rate=0.1)
    z[np.arange(60), np.arange(60) % 4] = 1  # head j solves topic j
    return embedder.encode(texts), z, texts


def test_same_seed_same_weights_and_another_seed_others(problem):
    first, second = fit_map(*problem, SMALL), fit_map(*problem, SMALL)
    np.testing.assert_array_equal(first.projection, second.projection)
    np.testing.assert_array_equal(first.heads, second.heads)
    other = fit_map(*problem, dataclasses.replace(SMALL, seed=1))
    assert not np.allclose(first.heads, other.heads)


def test_training_lowers_the_loss_and_keeps_the_best_step(problem):
    start = fit_map(*problem, dataclasses.replace(SMALL, epochs=1))
    end = fit_map(*problem, SMALL)
    assert end.validation_loss < start.validation_loss
    assert 1 < end.epoch <= end.epochs_run <= 60
    stopped = fit_map(*problem, dataclasses.replace(SMALL, epochs=2000, patience=5))
    assert stopped.epochs_run == stopped.epoch + 5 < 2000


def test_no_validation_part_where_nothing_could_be_said(embedder):
    texts = [f"topic {i}, number {i}" for i in range(6)]
    z = np.zeros((6, 3), np.int8)
    z[0, 0] = 1  # the only question that tells heads apart
    fitted = fit_map(embedder.encode(texts), z, texts, SMALL)
    assert fitted.validation_loss is None
    assert fitted.epoch == fitted.epochs_run == 60


def held_back(fraction: float, keys: list[str]) -> np.ndarray:
    """Rows held back of questions that all tell two heads apart."""
    z = np.tile(np.array([1, 0], np.int8), (len(keys), 1))
    return _validation_rows(z, keys, RouterConfig(seed=3, validation_fraction=fraction))


@pytest.mark.parametrize(("fraction", "count"), [(0.4, 24), (0.45, 27), (0.3, 18), (0.05, 3), (1e-9, 1)])
def test_the_share_asked_for_is_held_back(fraction, count):
    assert held_back(fraction, [str(i) for i in range(60)]).sum() == count


@pytest.mark.parametrize("parts", [2, 3, 7, 10, 49])
def test_a_whole_part_of_so_many_is_the_part_that_published_routers_held_back(parts):
    keys = [f"k{i % 187}" for i in range(300)]
    first = split_groups(key_groups(keys), parts, seed=3) == 0
    assert held_back(1 / parts, keys).tolist() == first.tolist()


@pytest.mark.parametrize(
    ("spread", "rate", "stops"),
    [(1e12, 1.0, False), (1e30, 1e3, True), (0.1, 1e20, True), (1e4, 1e35, True)],
)
def test_ten_thousand_silly_steps_stay_finite_or_stop_with_an_error(spread, rate, stops):
    generator = np.random.default_rng(0)
    config = RouterConfig(
        dimension=4, spread=spread, learning_rate=rate, epochs=10_000, patience=0, validation_fraction=0.2
    )
    embeddings = generator.normal(size=(10, 5)).astype(np.float32)
    z = (generator.random((10, 4)) < 0.5).astype(np.int8)
    if stops:
        with pytest.raises(TrainingError, match="lower the learning rate"):
            fit_map(embeddings, z, [str(i) for i in range(10)], config)
        return
    fitted = fit_map(embeddings, z, [str(i) for i in range(10)], config)
    assert fitted.epochs_run == 10_000
    assert np.isfinite(fitted.projection).all()
    assert np.isfinite(fitted.heads).all()
    assert np.linalg.norm(fitted.heads, axis=1).max() <= config.max_norm * 1.001


def test_without_the_bound_the_second_term_would_grow_for_ever(problem):
    """Guards the test above: the same λ does reach the bound that the projection keeps."""
    config = dataclasses.replace(SMALL, spread=1e4, epochs=300, patience=0)
    tight = fit_map(*problem, dataclasses.replace(config, max_norm=1.0))
    loose = fit_map(*problem, dataclasses.replace(config, max_norm=1e6))
    assert np.linalg.norm(tight.heads, axis=1).max() == pytest.approx(1.0, rel=1e-3)
    assert np.linalg.norm(loose.heads, axis=1).max() > 1.5
