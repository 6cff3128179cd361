"""Text forms of heads, head sets and pools."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sprint_eval.errors import HeadError
from sprint_eval.heads import Head, HeadLayout, HeadPool, HeadSet

LAYOUT = HeadLayout.uniform(30, 9)
heads = st.builds(Head, st.integers(0, 29), st.integers(0, 8))
head_sets = st.builds(lambda chosen: HeadSet(tuple(chosen)), st.lists(heads, max_size=4))


@given(head_sets)
def test_a_head_set_reads_back_as_itself(head_set: HeadSet) -> None:
    assert HeadSet.parse(str(head_set)) == head_set


@given(st.lists(head_sets, min_size=1, max_size=6, unique=True), st.sampled_from("/,"))
def test_a_pool_reads_back_as_itself(sets: list[HeadSet], separator: str) -> None:
    pool = HeadPool(tuple(sets))
    assert HeadPool.parse(str(pool).replace("/", separator), LAYOUT) == pool


@given(st.text(alphabet="L5H0+/,:*- base", max_size=16))
def test_any_text_is_a_pool_or_a_head_error(text: str) -> None:
    try:
        pool = HeadPool.parse(text, LAYOUT)
    except HeadError:
        return
    assert HeadPool.parse(str(pool), LAYOUT) == pool


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5/10:*", [f"L{layer}H{h}" for layer in (5, 10) for h in range(9)]),
        ("5,10:0", ["L5H0", "L10H0"]),
        ("3:2-4/base", ["L3H2", "L3H3", "L3H4", "base"]),
        ("28-29:0-1", ["L28H0", "L28H1", "L29H0", "L29H1"]),
        ("L3H2+L1H0/L1H0", ["L1H0+L3H2", "L1H0"]),
    ],
)
def test_pool_forms(text: str, expected: list[str]) -> None:
    assert HeadPool.parse(text, LAYOUT).names() == expected


def test_all_heads_of_uneven_layers() -> None:
    layout = HeadLayout((2, 0, 1))
    assert HeadPool.parse("*:*", layout).names() == ["L0H0", "L0H1", "L2H0"]
    assert HeadPool.single_heads(layout, [0]).names() == ["L0H0", "L0H1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("L30H0", "the model has layers 0 to 29"),
        ("30:*", "layer 30 is out of range: the model has layers 0 to 29"),
        ("L5H9", "layer 5 of the model has heads 0 to 8"),
        ("5:9", "head 9 is out of range: the model has heads 0 to 8"),
        ("5/10", "layers without ':heads'"),
        ("L5H0/L5H0", "stands twice in the pool"),
        ("L5H0+L5H0", "a head stands twice"),
        ("5:4-2", "runs backwards"),
        ("5:x", "a head is a number"),
        ("", "cannot read ''"),
        ("15H0", "a head looks like 'L15H0'"),
    ],
)
def test_bad_pools_say_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(HeadError, match=message.replace("'", ".")):
        HeadPool.parse(text, LAYOUT)


def test_a_head_set_knows_its_first_layer() -> None:
    head_set = HeadSet.parse("L7H1+L3H2+L3H0")
    assert head_set.first_layer == 3
    assert head_set.by_layer() == {3: (0, 2), 7: (1,)}
    assert HeadSet().first_layer is None
    assert HeadSet().is_base
