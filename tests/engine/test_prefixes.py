"""Common prefixes of prompts, by tokens."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sprint_eval.engine.prefixes import SHORTEST, common_prefixes

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


TOKENS = st.lists(st.integers(0, 1), max_size=12).map(tuple)


@given(st.lists(st.integers(0, 1), min_size=1, max_size=24).map(tuple), TOKENS, TOKENS)
def test_two_prompts_share_all_that_they_have_in_common(
    start: tuple[int, ...], one: tuple[int, ...], other: tuple[int, ...]
) -> None:
    prompts = {start + one, start + other}
    least = min(map(len, prompts)) - 1
    common = next((n for n in range(least) if len({p[n] for p in prompts}) > 1), least)
    if common >= SHORTEST:
        assert common_prefixes(prompts) == dict.fromkeys(prompts, common)
    else:  # each stands alone: all but its last token, if that is worth it
        alone = {prompt: len(prompt) - 1 for prompt in prompts}
        assert common_prefixes(prompts) == {p: n if n >= SHORTEST else 0 for p, n in alone.items()}


@given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=24).map(tuple), min_size=1, max_size=12))
def test_a_prefix_leaves_a_token_out_and_is_worth_it(prompts: list[tuple[int, ...]]) -> None:
    found = common_prefixes(prompts)
    assert set(found) == set(prompts)
    for prompt, length in found.items():
        assert 0 <= length < len(prompt)
        assert length == 0 or length >= SHORTEST
