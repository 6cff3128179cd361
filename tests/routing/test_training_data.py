"""Which questions a router learns from, and what it refuses."""

import numpy as np
import pytest

from sprint_eval.errors import TrainingError
from sprint_eval.heads import HeadPool, HeadSet
from sprint_eval.routing.training_data import key_groups, split_groups, stable_seed, training_set


def test_repeats_and_incomplete_rows_are_left_out_and_counted(make_outcomes):
    questions = ["How many?", "how  many?", "Which one?", "Where?"]
    z = [[1, 0], [1, 0], [0, -1], [0, 1]]
    data = training_set(make_outcomes(z, questions, keys=["a", "a", "b", "c"]))
    assert data.questions == ("How many?", "Where?")
    assert data.z.tolist() == [[1, 0], [0, 1]]
    assert data.counts == {"offered": 4, "incomplete": 1, "repeated": 1, "used": 2, "solvable": 2}
    assert data.all_keys == ("a", "b", "c")  # a guard must know what was left out too


def test_the_base_becomes_a_candidate_where_it_was_measured(make_outcomes):
    z = [[1, 0], [0, 1]]
    with_base = training_set(make_outcomes(z, base=[1, 0]))
    assert with_base.pool.names() == ["L0H0", "L0H1", "base"]
    assert with_base.z.tolist() == [[1, 0, 1], [0, 1, 0]]
    assert with_base.single.tolist() == [0, 1]
    assert training_set(make_outcomes(z)).pool.names() == ["L0H0", "L0H1"]
    listed = HeadPool(tuple(map(HeadSet.parse, ["base", "L0H0", "L0H1"])))
    kept = training_set(make_outcomes([[1, 1, 0], [0, 0, 1]], pool=listed, base=[1, 0]))
    assert kept.pool == listed


@pytest.mark.parametrize(
    ("z", "message"),
    [
        (np.zeros((0, 3)), "no question"),
        (np.zeros((4, 3)), "no head of the pool solves any of the 4"),
        (np.ones((4, 3)), "by all heads or by none"),
        (np.repeat([[1], [0]], 3, axis=1), "by all heads or by none"),
        (np.array([[1], [0]]), "two or more"),
        (-np.ones((4, 3)), "none of the 4 questions has been decoded"),
    ],
)
def test_nothing_to_learn_is_an_error(make_outcomes, z, message):
    with pytest.raises(TrainingError, match=message):
        training_set(make_outcomes(z))


def test_one_question_however_often_is_not_enough(make_outcomes):
    with pytest.raises(TrainingError, match="one question up to its numbers"):
        training_set(make_outcomes([[1, 0], [0, 1]], ["2 apples", "3 apples"], keys=["a", "a"]))


def test_twins_stay_together_in_every_split():
    keys = [f"k{i // 3}" for i in range(90)]
    parts = split_groups(key_groups(keys), 5, seed=3)
    assert np.bincount(parts).tolist() == [18] * 5
    assert all(len(set(parts[3 * i : 3 * i + 3])) == 1 for i in range(30))
    assert parts.tolist() == split_groups(key_groups(keys), 5, seed=3).tolist()
    assert parts.tolist() != split_groups(key_groups(keys), 5, seed=4).tolist()


def test_seeds_tell_their_parts_apart():
    assert stable_seed("a", "b") == stable_seed("a", "b") != stable_seed("ab", "")
