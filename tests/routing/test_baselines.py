"""Covers and draws, against their definitions."""

import itertools

import numpy as np
import pytest

from sprint_eval.errors import ArgumentError, TrainingError
from sprint_eval.heads import HeadPool, HeadSet, parse_entry
from sprint_eval.routing import (
    best_single_head,
    cover_order,
    fixed_cover,
    greedy_cover,
    oracle,
    random_heads_draw,
)


def test_cover_takes_what_adds_most_and_stops():
    z = np.array([[1, 0, 0, 1], [1, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]])
    assert greedy_cover(z) == [0, 1]
    assert cover_order(z) == [0, 1, 2, 3]  # then by their own rates: 2/6, 1/6


def test_ties_go_to_the_lower_column():
    assert greedy_cover(np.array([[1, 1, 1], [0, 0, 0]])) == [0]
    assert greedy_cover(np.array([[0, 1, 1]])) == [1]


def test_nothing_solved_or_no_question_gives_an_empty_cover():
    assert greedy_cover(np.zeros((3, 2), int)) == []
    assert greedy_cover(np.zeros((0, 2), int)) == []


@pytest.mark.parametrize("seed", range(5))
def test_greedy_cover_is_within_its_bound_of_the_best_set(seed):
    z = (np.random.default_rng(seed).random((40, 7)) < 0.25).astype(int)
    order = cover_order(z)
    assert sorted(order) == list(range(7))
    for k in (1, 2, 3):
        best = max(z[:, list(c)].any(axis=1).sum() for c in itertools.combinations(range(7), k))
        assert z[:, order[:k]].any(axis=1).sum() >= (1 - 1 / np.e) * best


def test_fixed_cover_and_best_head_name_heads(make_outcomes):
    z = np.array([[0, 1, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 1, 0], [1, 0, 0, 1, 0]])
    outcomes = make_outcomes(z)
    assert [str(h) for h in fixed_cover(outcomes, 4)] == ["L0H1", "L0H3", "L0H0", "L0H2"]
    assert str(best_single_head(outcomes)) == "L0H1"
    assert oracle(z).tolist() == [True] * 4
    with pytest.raises(ArgumentError, match="5 heads"):
        fixed_cover(outcomes, 6)


def test_only_single_heads_and_complete_rows_count(make_outcomes):
    pool = HeadPool(tuple(map(HeadSet.parse, ["base", "L0H0", "L0H0+L0H1", "L0H1"])))
    z = np.array([[1, 0, 1, 1], [1, 1, 1, 0], [1, 0, 1, 1], [1, 1, 1, -1], [1, 1, 1, -1], [1, 1, 1, -1]])
    outcomes = make_outcomes(z, pool=pool)
    assert str(best_single_head(outcomes)) == "L0H1"
    with pytest.raises(ArgumentError, match="2 heads"):
        fixed_cover(outcomes, 3)


def test_a_cover_of_all_candidates_takes_base_sets_and_draws_too(make_outcomes):
    pool = HeadPool(tuple(map(parse_entry, ["L0H0", "base~T0.9K40P0.95D1", "L0H0+L0H1", "base", "L0H1"])))
    z = np.array([[1, 0, 0, 0, 1], [0, 1, 0, 0, 1], [0, 1, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 1, 0, 0]])
    outcomes = make_outcomes(z, pool=pool)
    names = [str(candidate) for candidate in fixed_cover(outcomes, 5, all_candidates=True)]
    assert names == ["base~T0.9K40P0.95D1", "L0H0+L0H1", "L0H1", "L0H0", "base"]  # ties by what each solves
    assert [str(head) for head in fixed_cover(outcomes, 2)] == ["L0H1", "L0H0"]
    with pytest.raises(ArgumentError, match="5 candidates"):
        fixed_cover(outcomes, 6, all_candidates=True)


def test_a_cover_of_all_candidates_is_fooled_by_no_lucky_draw(make_outcomes):
    names = ["L0H0", "L0H1", "base~T0.9K40P0.95D1", "base~T0.9K40P0.95D2", "base~T0.9K40P0.95D3"]
    z = np.zeros((8, 5), int)
    z[:3, 4] = 1  # the last draw, and only this one
    z[5:7, 0] = 1
    outcomes = make_outcomes(z, pool=HeadPool(tuple(map(parse_entry, names))))
    chosen = [str(candidate) for candidate in fixed_cover(outcomes, 2, all_candidates=True)]
    assert chosen == ["L0H0", "base~T0.9K40P0.95D1"]


def test_draws_depend_on_seed_and_key_alone(make_outcomes, random_z):
    outcomes = make_outcomes(random_z(n=80, count=12, rate=0.1))
    keys = [f"{i:016x}" for i in range(30)]
    draws = random_heads_draw(outcomes, keys, 3, 5)
    backwards = random_heads_draw(outcomes, keys[::-1], 3, 5)[::-1]
    assert draws == backwards == [random_heads_draw(outcomes, [key], 3, 5)[0] for key in keys]
    assert draws != random_heads_draw(outcomes, keys, 3, 6)
    assert all(len(set(draw)) == 3 for draw in draws)
    assert len({tuple(draw) for draw in draws}) > 10
    cover = {outcomes.pool[j] for j in greedy_cover(outcomes.z)}
    assert {head for draw in draws for head in draw} == cover != set(outcomes.pool)


def test_a_small_cover_is_filled_with_the_next_best(make_outcomes):
    z = np.array([[1, 0, 1, 0], [1, 0, 1, 0], [1, 1, 0, 0]])
    outcomes = make_outcomes(z)
    draws = random_heads_draw(outcomes, [f"{i:016x}" for i in range(20)], 2, 0)
    assert {str(head) for draw in draws for head in draw} == {"L0H0", "L0H2"}
    assert len(random_heads_draw(outcomes, ["k"], 4, 0)[0]) == 4


def test_the_cover_comes_before_what_it_is_filled_with(make_outcomes):
    """So the first k are the same whatever N, and no worse for asking for more."""
    z = np.zeros((40, 6), int)
    z[:, 0] = np.arange(40) < 30
    z[:, 1] = np.arange(40) >= 25
    z[:4, 2:] = 1
    outcomes = make_outcomes(z)
    keys = [f"{i:016x}" for i in range(30)]
    draws = random_heads_draw(outcomes, keys, 6, 0)
    for n in (1, 2, 3):
        assert random_heads_draw(outcomes, keys, n, 0) == [draw[:n] for draw in draws]
    covers = {tuple(map(str, draw[:2])) for draw in draws}
    assert covers == {("L0H0", "L0H1"), ("L0H1", "L0H0")}


def test_nothing_to_choose_from_is_an_error(make_outcomes):
    with pytest.raises(TrainingError, match="solves any"):
        fixed_cover(make_outcomes(np.zeros((3, 2))), 1)
    with pytest.raises(TrainingError, match="complete"):
        random_heads_draw(make_outcomes(-np.ones((3, 2))), ["k"], 1, 0)
