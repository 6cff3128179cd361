"""Shapes that a speed is measured at."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from sprint_eval.pruning.speed import SHAPES, fitting, measure


@pytest.mark.parametrize(
    ("positions", "contexts"), [(271, set()), (272, {256}), (1039, {256}), (1040, {256, 1024})]
)
def test_only_contexts_that_a_model_has_positions_for_are_measured(tiny_model, positions, contexts):
    model = tiny_model("opt", max_position_embeddings=positions)
    assert {context for _, context in fitting(model)} == contexts
    if contexts == {256}:
        points = measure(model, model, fitting(model)[:1], pairs=1)
        assert [(point.what, point.context) for point in points] == [("prefill", 256), ("decode", 256)]


def test_all_shapes_fit_a_model_that_names_no_limit():
    config = SimpleNamespace(get_text_config=SimpleNamespace)
    assert fitting(SimpleNamespace(config=config)) == list(SHAPES)
