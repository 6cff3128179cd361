"""Padded buckets hold every run once, and little padding."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sprint_eval.engine.buckets import _PADDING, _SMALL, Buckets, _similar
from sprint_eval.engine.cells import Runs
from sprint_eval.engine.stages import Stage

SIZES = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 300)), min_size=1, max_size=40)


def runs_of(sizes: list[tuple[int, int]]) -> Runs:
    """Runs one behind the other, so wide and with so much before them; slots tell them apart."""
    widths, before = np.array(sizes).T
    past = [1000 * number + np.arange(sum(size)) for number, size in enumerate(sizes)]
    return Runs(np.cumsum(widths) - widths, widths, widths + before, np.concatenate(past))


@settings(deadline=None)
@given(SIZES)
def test_padding_is_bounded(sizes: list[tuple[int, int]]) -> None:
    runs = runs_of(sizes)
    groups = _similar(runs)
    assert sorted(run for group in groups for run in group) == list(range(len(runs)))
    for group in groups:
        widths, lengths = runs.widths[group], runs.lengths[group]
        padded = len(group) * widths.max() * lengths.max()
        assert len(group) == 1 or padded <= max(_PADDING * (widths * lengths).sum(), _SMALL)


@settings(deadline=None, max_examples=30)
@given(SIZES)
def test_what_was_padded_comes_back_in_order(sizes: list[tuple[int, int]]) -> None:
    """Each token finds its own row again, its place in its past, and that past's slots."""
    runs = runs_of(sizes)
    buckets = Buckets.of(stage_of(runs))
    tokens = torch.cat([bucket.queries for bucket in buckets.members]).index_select(0, buckets.unpad)
    assert tokens.tolist() == list(range(runs.widths.sum()))
    flat = torch.cat([bucket.query_positions.flatten() for bucket in buckets.members])
    places = flat.index_select(0, buckets.unpad).tolist()
    assert places == [before + i for width, before in sizes for i in range(width)]
    rows = [row for b in buckets.members for row in b.context.unflatten(0, (b.lengths[0], b.lengths[2]))]
    pasts = [past.tolist() for past in np.split(runs.past, runs.offsets[1:])]
    order = [run for group in _similar(runs) for run in group]
    for row, run in zip(rows, order, strict=True):
        assert row[: len(pasts[run])].tolist() == pasts[run]


def stage_of(runs: Runs) -> Stage:
    none = torch.zeros(0, dtype=torch.int64)
    rows = int(runs.widths.sum())
    return Stage(
        segment=0,
        layer=0,
        tokens=torch.arange(rows),
        rows=rows,
        from_previous=(none, none),
        same=False,
        from_store=(none, none),
        from_prefix=[],
        slots=torch.arange(rows),
        pruned=(none, none),
        spans=[],
        prefixes=[],
        runs=runs,
        empty=False,
    )
