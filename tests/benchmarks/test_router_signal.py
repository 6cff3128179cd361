"""What ``router_signal.py`` calls signal and worth, against a library's AUC and made-up outcomes."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score


@pytest.fixture(scope="module")
def signal(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("router_signal")


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=40))
def test_auc_is_the_librarys_ties_included(signal: ModuleType, cells: list[tuple[int, bool]]) -> None:
    scores, truth = np.array([s for s, _ in cells], float), np.array([t for _, t in cells])
    if truth.all() or not truth.any():
        assert np.isnan(signal.auc(scores, truth))
    else:
        assert signal.auc(scores, truth) == pytest.approx(roc_auc_score(truth, scores))


def test_within_a_question_its_difficulty_says_nothing(signal: ModuleType) -> None:
    """Scores that are a question's own alone tie among its heads, though they order the questions well."""
    generator = np.random.default_rng(0)
    ease = generator.uniform(0.05, 0.95, 200)
    truth = generator.random((200, 12)) < ease[:, None]
    scores = np.repeat(ease[:, None], 12, axis=1)
    assert signal.auc(scores.ravel(), truth.ravel()) > 0.7
    assert signal.within_question_auc(scores, truth) == 0.5


def test_pairs_of_a_question_weigh_as_many_as_they_are(signal: ModuleType) -> None:
    scores = np.array([[3.0, 2.0, 1.0, 0.0], [0.0, 1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0]])
    truth = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1]])  # 4 of 4 pairs, 0 of 3, none
    assert signal.within_question_auc(scores, truth) == pytest.approx(4 / 7)


def test_beyond_averages_a_heads_mean_says_nothing(signal: ModuleType) -> None:
    """A fold's model that knows how good each head is, and nothing of the question, has no signal left."""
    generator = np.random.default_rng(1)
    good = generator.uniform(0.2, 0.8, 10)
    truth = (generator.random((300, 10)) < good).astype(int)
    folds = np.arange(300) % 3
    predicted = np.broadcast_to(good, truth.shape) + 0.01 * folds[:, None]
    found = signal.aucs(predicted, truth, folds)
    assert found["within question"] > 0.6
    assert found["within question, beyond averages"] == 0.5
    knowing = np.clip(predicted + 0.1 * (truth - 0.5), 0.01, 0.99)
    assert signal.aucs(knowing, truth, folds)["within question, beyond averages"] > 0.9


def test_worth_grows_with_the_predictor_up_to_the_oracle(signal: ModuleType) -> None:
    z = np.random.default_rng(2).random((400, 20)) < 0.15
    rows = signal.worth(z, 4)
    assert [row["auc"] for row in rows] == [*signal.AUCS, 1.0]
    first = [row["pass"][0] for row in rows]
    assert first == sorted(first)
    assert rows[0]["pass"][0] == pytest.approx(z.mean(), abs=0.01), "AUC 0.5 draws heads at random"
    assert rows[-1]["pass"] == [round(z.any(axis=1).mean(), 4)] * 4
    for row in rows:
        assert row["pass"] == sorted(row["pass"])


def test_the_first_k_columns_of_an_order_count(signal: ModuleType) -> None:
    z = np.array([[False, True, False], [False, False, False]])
    order = np.array([[2, 0, 1], [1, 0, 2]])
    assert signal.passes(order, z).tolist() == [[False, False, True], [False] * 3]


def test_a_difference_is_paired(signal: ModuleType) -> None:
    values = np.zeros((50, 2))
    values[:10, 0] = 1.0
    found = signal.difference(values)
    assert found["mean"] == [0.2, 0.0]
    assert found["p"] == [round(2 / 2**10, 4), 1.0]
    assert found["low"][0] > 0
    assert found["low"][1] == found["high"][1] == 0.0
