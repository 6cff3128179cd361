"""Common prefixes of prompts, by tokens."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sprint_eval.engine.prefixes import common_prefixes

SHOTS = tuple(range(100, 140))


def test_questions_behind_worked_examples_share_them() -> None:
    prompts = [(*SHOTS, 1, 2), (*SHOTS, 1, 3, 4), (*SHOTS, 9)]
    assert common_prefixes(prompts) == dict.fromkeys(prompts, 40)


def test_two_tasks_keep_their_own_prefix() -> None:
    other = tuple(range(200, 230))
    first = [(*SHOTS, 1), (*SHOTS, 2)]
    second = [(*other, 1), (*other, 2)]
    found = common_prefixes([*first, *second])
    assert [found[p] for p in first] == [40, 40]
    assert [found[p] for p in second] == [30, 30]


def test_one_prompt_alone_keeps_one_token_out() -> None:
    assert common_prefixes([SHOTS, SHOTS]) == {SHOTS: 39}
    assert common_prefixes([(1, 2, 3)]) == {(1, 2, 3): 0}


def test_a_prompt_that_is_the_beginning_of_another() -> None:
    prompts = [SHOTS, (*SHOTS, 7)]
    assert common_prefixes(prompts) == dict.fromkeys(prompts, 39)


@given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=24).map(tuple), min_size=1, max_size=12))
def test_equal_prefixes_mean_equal_tokens_within_a_cluster(prompts: list[tuple[int, ...]]) -> None:
    found = common_prefixes(prompts)
    assert set(found) == set(prompts)
    for prompt, length in found.items():
        assert 0 <= length < len(prompt)
        assert length == 0 or length >= 8
