"""DPKD's schedule (Eq. 5) and the choice of heads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sprint_eval.errors import ArgumentError
from sprint_eval.heads import Head, HeadLayout
from sprint_eval.pruning.schedule import Schedule, check_ratio, lowest_heads, pruned_count


def test_equation_5():
    schedule = Schedule(target=0.3, steps=10, start=0.1, power=3)
    assert [schedule.ratio(t) for t in (0, 5, 10, 99)] == pytest.approx([0.1, 0.1 + 0.2 * 0.125, 0.3, 0.3])
    assert [Schedule(0.3, 4, power=1).count(t, 270) for t in range(5)] == [0, 20, 40, 60, 81]


def test_rounding_loses_no_head():
    assert [pruned_count(tenths / 10, 30) for tenths in range(10)] == list(range(0, 30, 3))
    assert pruned_count(0.29, 100) == 29


@pytest.mark.parametrize(
    "kwargs",
    [
        {"target": 1.0},
        {"target": 0.2, "start": 0.3},
        {"target": 0.2, "power": 0.0},
        {"target": 0.2, "steps": 0},
    ],
)
def test_impossible_schedules_are_refused(kwargs):
    with pytest.raises(ArgumentError):
        Schedule(**{"steps": 5, **kwargs})


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 0.74), st.floats(0.3, 8), st.integers(1, 40))
def test_pruning_is_monotone_and_leaves_the_floor(seed, target, power, steps):
    layout = HeadLayout((4, 3, 5, 8))
    rng = np.random.default_rng(seed)
    schedule = Schedule(target, steps, power=power)
    pruned = lowest_heads(rng.random(20), layout, 0)
    for step in range(steps + 1):
        wanted = schedule.count(step, 20)
        after = lowest_heads(rng.random(20), layout, wanted, pruned)  # refreshed scores
        assert set(pruned) <= set(after)
        assert len(after) == max(wanted, len(pruned))
        assert all(len(gone) < layout.heads_per_layer[layer] for layer, gone in after.by_layer().items())
        pruned = after
    assert len(pruned) == pruned_count(target, 20)


def test_lowest_scores_go_first_and_ties_to_the_first_head():
    layout = HeadLayout.uniform(2, 3)
    scores = np.array([0.5, 0.1, 0.5, 0.0, 0.0, 0.0])
    assert str(lowest_heads(scores, layout, 3)) == "L0H1+L1H0+L1H1"
    assert str(lowest_heads(scores, layout, 3, floor=0)) == "L1H0+L1H1+L1H2"
    assert str(lowest_heads(scores, layout, 1, [Head(0, 0)])) == "L0H0"


def test_a_ratio_that_would_empty_a_layer_is_refused():
    layout = HeadLayout.uniform(2, 3)
    check_ratio(4 / 6, layout)
    with pytest.raises(
        ArgumentError, match=r"takes 5 of 6 heads and 4 can go .* keeps 1; lower the ratio to 0.667"
    ):
        check_ratio(5 / 6, layout)
    check_ratio(5 / 6, layout, floor=0)
    with pytest.raises(ArgumentError, match="5 heads cannot go"):
        lowest_heads(np.zeros(6), layout, 5)
    with pytest.raises(ArgumentError, match="4 scores for a model of 6 heads"):
        lowest_heads(np.zeros(4), layout, 1)
