"""Head scores against definitions written out."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from sprint_eval.architectures import attention_layout
from sprint_eval.errors import ArgumentError, DataError, UnsupportedModelError
from sprint_eval.heads import HeadLayout, HeadPool
from sprint_eval.outcomes import Outcomes
from sprint_eval.pruning.importance import causal_scores, combine, normalize, weight_norms


def test_weight_norm_is_that_of_output_columns_times_value_rows(tiny_model):
    model = tiny_model("llama")
    expected = []
    for layer in model.model.layers:
        for head in range(4):
            columns = layer.self_attn.o_proj.weight[:, 16 * head : 16 * head + 16]
            rows = layer.self_attn.v_proj.weight[16 * (head // 2) : 16 * (head // 2) + 16]
            expected.append((columns.double().norm() * rows.double().norm()).item())
    assert weight_norms(model) == pytest.approx(expected)


def test_weight_norm_refuses_fused_projections(tiny_model):
    with pytest.raises(UnsupportedModelError, match="'gpt2' fuses"):
        weight_norms(tiny_model("gpt2"))


def test_combine_normalises_both_terms():
    norms, entropies = np.array([2.0, 4.0, 6.0]), np.array([0.1, 0.5, 0.3])
    assert combine(norms, entropies, 1.0) == pytest.approx([0, 0.5, 1])
    assert combine(norms, entropies, 0.0, "focused") == pytest.approx([1, 0, 0.5])
    assert combine(norms, entropies, 0.0, "diffuse") == pytest.approx([0, 1, 0.5])
    assert combine(norms, entropies, 0.3, "diffuse") == pytest.approx([0, 0.15 + 0.7, 0.3 + 0.35])
    # Scale does not matter: neither term can drown the other.
    assert combine(norms * 1e6, entropies, 0.3) == pytest.approx(combine(norms, entropies, 0.3))


def test_combine_refuses_what_makes_no_sense():
    ones = np.ones(3)
    with pytest.raises(ArgumentError, match="alpha"):
        combine(ones, ones, 1.5)
    with pytest.raises(ArgumentError, match="direction"):
        combine(ones, ones, 0.5, "sideways")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="2 weight norms and 3"):
        combine(np.ones(2), ones)
    with pytest.raises(DataError, match="1 of 3 head scores"):
        normalize(np.array([1.0, np.nan, 2.0]))
    assert normalize(ones).tolist() == [0, 0, 0]


def test_causal_score_is_the_share_of_answers_that_change():
    layout = HeadLayout.uniform(1, 3)
    pool = HeadPool.parse("L0H2/L0H0/L0H1/L0H0+L0H1", layout)
    z = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [-1, 1, 1, 1], [1, 0, 0, 0]], dtype=np.int8)
    base = np.array([1, 0, 1, -1], dtype=np.int8)
    outcomes = Outcomes.from_arrays(z, ["a", "b", "c", "d"], pool, base=base)
    # H0 changes none of three verdicts, H1 that of question 0, H2 one of two, for the better.
    assert causal_scores(outcomes, layout) == pytest.approx([0, 1 / 3, 1 / 2])


def test_causal_score_reads_answers_where_there_are_any():
    layout = HeadLayout.uniform(1, 3)
    z, base = np.zeros((2, 3), dtype=np.int8), np.zeros(2, dtype=np.int8)
    answers = {-1: "7", 0: "7", 1: "8", 2: None}  # all of them wrong; H2's second question is not decoded
    z[1, 2] = -1

    def cell(row: int, column: int) -> SimpleNamespace:
        assert column < 0 or z[row, column] >= 0, "a cell that is not there is not asked for"
        return SimpleNamespace(extracted=answers[column] if row == 0 else "7")

    outcomes = SimpleNamespace(z=z, base=base, pool=HeadPool.single_heads(layout), has_texts=True, cell=cell)
    assert causal_scores(outcomes, layout).tolist() == [0.0, 0.5, 1.0]


def test_causal_score_refuses_gaps(tiny_model):
    layout = attention_layout(tiny_model("llama")).heads
    pool = HeadPool.parse("0:*", layout)
    z, base = np.ones((2, 4), dtype=np.int8), np.ones(2, dtype=np.int8)
    with pytest.raises(DataError, match=r"no column for 8 of 12 heads \(the first is L1H0\)"):
        causal_scores(Outcomes.from_arrays(z, ["a", "b"], pool, base=base), layout)
    one = HeadLayout.uniform(1, 4)
    with pytest.raises(DataError, match="no question is decoded for L0H0"):
        causal_scores(Outcomes.from_arrays(-z, ["a", "b"], pool, base=base), one)
