"""Greedy choice by marginal gain: the formula, the fixed cover it becomes, and draws that are alike."""

import numpy as np
import pytest

from sprint_eval.heads import parse_entry
from sprint_eval.routing import cover_order
from sprint_eval.routing.greedy import (
    alike_groups,
    greedy_by_gain,
    pooled,
    pooled_probabilities,
    question_weights,
    smooth_rates_of,
)


def one_question(z, n, alike=None):
    """The choice for a question that all training questions are equally near to, without trust."""
    weights = np.ones((1, len(z)), np.float32)
    return greedy_by_gain(z, weights, np.full((1, z.shape[1]), 0.5), n, 0.0, alike)[0].tolist()


def test_equal_weights_and_no_trust_are_a_fixed_cover_whose_ties_go_to_the_better_head():
    z = (np.random.default_rng(0).random((301, 9)) < 0.3).astype(np.int8)
    similarity = np.random.default_rng(1).normal(size=(5, 301))
    probability = np.random.default_rng(2).random((5, 9))
    order = greedy_by_gain(z, question_weights(similarity, None), probability, 9, 0.0)
    assert (order == order[0]).all()
    solved = np.logical_or.accumulate(z[:, order[0]].astype(bool), axis=1).sum(axis=0)
    expected = np.logical_or.accumulate(z[:, cover_order(z)].astype(bool), axis=1).sum(axis=0)
    assert solved[:4].tolist() == expected[:4].tolist()
    assert sorted(order[0]) == list(range(9))
    left, rates = np.ones(len(z), bool), z.mean(axis=0)
    ties = 0
    for chosen in order[0][: int((solved < solved[-1]).sum()) + 1]:
        gains = z[left].sum(axis=0)
        best = np.flatnonzero(gains == gains.max())
        ties += len(best) > 1
        assert chosen == best[rates[best].argmax()]
        left &= z[:, chosen] == 0
    assert ties > 0


@pytest.mark.parametrize(("temperature", "trust"), [(0.5, 0.0), (1.0, 0.7)])
def test_greedy_gain_equals_the_formula_written_out(temperature, trust):
    generator = np.random.default_rng(3)
    z = (generator.random((40, 5)) < 0.4).astype(np.int8)
    similarity = generator.normal(size=(3, 40))
    probability = generator.uniform(0.05, 0.9, size=(3, 5))
    found = greedy_by_gain(z, question_weights(similarity, temperature), probability, 5, trust)
    for q in range(3):
        w = np.exp((similarity[q] - similarity[q].max()) / temperature)
        w *= w.sum() / (w**2).sum()
        chosen = []
        for k in range(5):
            failed = ~z[:, chosen].astype(bool).any(axis=1)
            scores = {}
            for j in range(5):
                rate = (w @ z[:, j] + 0.5) / (w.sum() + 1)
                after = ((w * failed) @ z[:, j] + 0.5) / ((w * failed).sum() + 1)
                odds = np.log(after / (1 - after))
                p = probability[q, j]
                odds += trust * (np.log(p / (1 - p)) - np.log(rate / (1 - rate)))
                scores[j] = odds
            best = max((j for j in range(5) if j not in chosen), key=scores.get)
            if (w * failed).sum() < 1e-6:
                break
            chosen.append(best)
            assert found[q, k] == best


def test_smoothing_keeps_rates_off_0_and_1():
    assert smooth_rates_of(np.array([0.0]), np.array([0.0]))[0] == 0.5
    assert 0 < smooth_rates_of(np.array([0.0]), np.array([9.0]))[0] < 0.1


def test_draws_of_one_setting_are_alike_and_nothing_else_is():
    names = ["base", "L0H0", "base~T0.6K40P0.95D1", "base~T0.9K40P0.95D1", "base~T0.6K40P0.95D2", "L0H1"]
    groups = alike_groups([parse_entry(name) for name in names])
    assert groups is not None
    assert groups[2] == groups[4]
    assert len(set(groups.tolist())) == 5
    assert alike_groups([parse_entry(name) for name in names[:4]]) is None


def test_a_lucky_draw_is_no_better_than_its_kind():
    # The third draw was right three times of eight, the other two never: together less than the head.
    z = np.zeros((8, 4), np.int8)
    z[:3, 2] = 1
    z[6:, 3] = 1
    assert one_question(z, 1) == [2]
    assert one_question(z, 4, np.array([0, 0, 0, 1])) == [3, 0, 1, 2]


def test_what_is_left_of_a_kind_is_judged_by_the_draws_left():
    # Each of three draws solves two questions, the head one: it comes when no draw is left.
    z = np.zeros((9, 4), np.int8)
    for draw in range(3):
        z[2 * draw : 2 * draw + 2, draw] = 1
    z[8, 3] = 1
    assert one_question(z, 4, np.array([0, 0, 0, 1])) == [0, 1, 2, 3]
    free = np.array([[False, True, True, True]])
    found = pooled(np.array([[9.0, 1.0, 3.0, 5.0]]), free, np.array([0, 0, 0, 1]))
    assert found[0, 1:].tolist() == [2.0, 2.0, 5.0]


@pytest.mark.parametrize("seed", range(3))
def test_groups_of_one_change_nothing(seed):
    generator = np.random.default_rng(seed)
    z = (generator.random((50, 7)) < 0.3).astype(np.int8)
    weights = question_weights(generator.normal(size=(4, 50)), 1.0)
    probability = generator.uniform(0.05, 0.9, size=(4, 7))
    plain = greedy_by_gain(z, weights, probability, 7, 0.5)
    assert (greedy_by_gain(z, weights, probability, 7, 0.5, np.arange(7)) == plain).all()
    assert (pooled_probabilities(probability, None) == probability).all()


def test_probabilities_of_a_kind_are_one():
    found = pooled_probabilities(np.array([[0.2, 0.8, 0.3]]), np.array([0, 0, 1]))
    assert found[0].tolist() == pytest.approx([0.5, 0.5, 0.3])
