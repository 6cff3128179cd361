"""Segments and keys: which requests share a state where."""

from __future__ import annotations

from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from sprint_eval.engine.segments import Segments
from sprint_eval.heads import Head, HeadSet

head_sets = st.lists(st.builds(Head, st.integers(0, 5), st.integers(0, 1)), max_size=3, unique=True).map(
    lambda heads: HeadSet(tuple(heads))
)


def test_layers_are_cut_where_a_head_is_pruned() -> None:
    segments = Segments([HeadSet(), HeadSet.parse("L2H0"), HeadSet.parse("L2H1+L4H0")], 6)
    assert segments.starts == (0, 2, 4)
    assert segments.ends == (2, 4, 6)
    assert segments.of_layer == (0, 0, 1, 1, 2, 2)


def test_variants_share_keys_until_they_part() -> None:
    texts = ["base", "L2H0", "L2H0+L4H1", "L4H1"]
    segments = Segments(map(HeadSet.parse, texts), 6)
    base, two, both, four = (segments.keys(HeadSet.parse(text)) for text in texts)
    assert base[0] is two[0] is both[0] is four[0]
    assert two[1] is both[1]
    assert base[1] is four[1]
    assert base[1] is not two[1]
    assert len({base[2], two[2], both[2], four[2]}) == 4
    assert both[2].pruned_in(4) == [1]
    assert both[2].pruned_in(2) == [0]
    assert both[2].pruned_in(5) == ()


@given(st.lists(head_sets, min_size=1, max_size=8))
def test_in_working_order_equal_keys_stand_together(sets: list[HeadSet]) -> None:
    segments = Segments(sets, 6)
    ordered = sorted(sets, key=segments.order)
    for segment in range(len(segments)):
        runs = [key for key, _ in groupby(segments.keys(heads)[segment] for heads in ordered)]
        assert len(runs) == len(set(runs))
