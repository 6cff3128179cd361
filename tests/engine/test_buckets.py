"""Padded buckets hold every run once, and little padding."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sprint_eval.engine.buckets import _PADDING, _SMALL, Buckets, _similar
from sprint_eval.engine.cells import Run
from sprint_eval.engine.plan import Stage

SIZES = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 300)), min_size=1, max_size=40)


def runs_of(sizes: list[tuple[int, int]]) -> list[Run]:
    """Runs one behind the other, so wide and with so much before them; slots tell them apart."""
    runs, start = [], 0
    for number, (width, before) in enumerate(sizes):
        runs.append(Run(start, width, 1000 * number + np.arange(before + width)))
        start += width
    return runs


@settings(deadline=None)
@given(SIZES)
def test_padding_is_bounded(sizes: list[tuple[int, int]]) -> None:
    runs = runs_of(sizes)
    groups = _similar(runs)
    assert sorted(id(run) for group in groups for run in group) == sorted(id(run) for run in runs)
    for group in groups:
        padded = len(group) * max(run.width for run in group) * max(len(run.past) for run in group)
        true = sum(run.width * len(run.past) for run in group)
        assert len(group) == 1 or padded <= max(_PADDING * true, _SMALL)


@settings(deadline=None, max_examples=30)
@given(SIZES)
def test_what_was_padded_comes_back_in_order(sizes: list[tuple[int, int]]) -> None:
    """Each token finds its own row again, its place in its past, and that past's slots."""
    runs = runs_of(sizes)
    buckets = Buckets.of(stage_of(runs))
    tokens = torch.cat([bucket.queries for bucket in buckets.members]).index_select(0, buckets.unpad)
    assert tokens.tolist() == list(range(sum(run.width for run in runs)))
    flat = torch.cat([bucket.query_positions.flatten() for bucket in buckets.members])
    places = flat.index_select(0, buckets.unpad).tolist()
    assert places == [len(run.past) - run.width + i for run in runs for i in range(run.width)]
    rows = [row for b in buckets.members for row in b.context.unflatten(0, (b.lengths[0], b.lengths[2]))]
    kept = {tuple(run.past.tolist()) for run in runs}
    assert {tuple(row.tolist())[: len(past)] for row, past in zip(rows, in_order(runs), strict=True)} == kept


def in_order(runs: list[Run]) -> list[np.ndarray]:
    return [run.past for group in _similar(runs) for run in group]


def stage_of(runs: list[Run]) -> Stage:
    none = torch.zeros(0, dtype=torch.int64)
    rows = sum(run.width for run in runs)
    return Stage(
        segment=0,
        tokens=torch.arange(rows),
        rows=rows,
        from_previous=(none, none),
        same=False,
        from_store=(none, none),
        from_prefix=[],
        slots=torch.arange(rows),
        spans=[],
        prefixes=[],
        runs=runs,
        empty=False,
    )
