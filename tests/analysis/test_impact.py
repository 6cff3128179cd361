"""Accuracies by head, subject and layer, from outcomes and from a published table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sprint_eval.analysis.impact import complete_part, impact_from_csv, impact_of
from sprint_eval.analysis.study_tables import impact_table
from sprint_eval.errors import DataError
from sprint_eval.heads import Head, HeadLayout, HeadPool
from sprint_eval.outcomes import Outcomes

LAYOUT = HeadLayout.uniform(2, 2)


def matrix(n: int = 12, pool: str = "*:*", seed: int = 0) -> Outcomes:
    rng = np.random.default_rng(seed)
    heads = HeadPool.parse(pool, LAYOUT)
    z = rng.integers(0, 2, (n, len(heads)))
    names = [f"q{i}" for i in range(n)]
    return Outcomes.from_arrays(
        z, names, heads, base=rng.integers(0, 2, n), subjects=["ab"[i % 3 > 0] for i in range(n)]
    )


def test_accuracies_equal_a_loop():
    outcomes = matrix()
    impact = impact_of(complete_part(outcomes))
    assert impact.subjects == ("a", "b")
    assert impact.counts.tolist() == [4, 8]
    for j, head in enumerate(impact.heads):
        column = outcomes.pool.names().index(str(head))
        for s, subject in enumerate(impact.subjects):
            mine = [outcomes.z[i, column] for i in range(12) if outcomes.subjects[i] == subject]
            assert impact.accuracy[j, s] == pytest.approx(np.mean(mine))
        assert impact.overall[j] == pytest.approx(outcomes.z[:, column].mean())
    assert impact.overall_base == pytest.approx(outcomes.base.mean())


def test_best_gains_equal_a_loop():
    outcomes = matrix()
    impact = impact_of(complete_part(outcomes))
    found = {(layer, subject): gain for layer, subject, _, gain in impact.best_gains()}
    assert len(found) == 4
    for (layer, subject), gain in found.items():
        rows = [i for i in range(12) if outcomes.subjects[i] == subject]
        columns = [j for j, heads in enumerate(outcomes.pool) if heads.heads[0].layer == layer]
        best = max(outcomes.z[rows, j].mean() for j in columns)
        assert gain == pytest.approx(best - outcomes.base[rows].mean())


def test_incomplete_questions_and_sets_of_heads_are_left_out():
    outcomes = matrix(pool="L0H0/L0H0+L1H1/L1H0")
    outcomes.z[3, 1] = -1
    outcomes.base[5] = -1
    part = complete_part(outcomes)
    assert part.rows.tolist() == [i for i in range(12) if i not in (3, 5)]
    assert part.heads == (Head(0, 0), Head(1, 0))
    assert impact_of(part).n == 10


def test_nothing_to_study():
    outcomes = matrix()
    outcomes.z[:, 0] = -1
    with pytest.raises(DataError, match="0 of 12 questions are decoded"):
        complete_part(outcomes)
    with pytest.raises(DataError, match="prunes exactly one head"):
        complete_part(matrix(pool="L0H0+L1H1"))


CSV = """head,subject,layer,pass_at_1
0,Algebra,5,0.4
1,Algebra,5,0.3
0,Algebra,9,0.2
1,Algebra,9,0.35
none,Algebra,5,0.33
none,Algebra,9,0.33
"""


def test_a_published_table(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(CSV)
    impact = impact_from_csv(path, "model")
    assert impact.layers == [5, 9]
    assert impact.counts is None
    assert impact.base.tolist() == [0.33]
    gains = {layer: (str(head), round(gain, 3)) for layer, _, head, gain in impact.best_gains()}
    assert gains == {5: ("L5H0", 0.07), 9: ("L9H1", 0.02)}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("none,Algebra,9,0.33", "none,Algebra,9,0.34", "no-prune of Algebra is 0.34 here and 0.33 before"),
        ("1,Algebra,9", "0,Algebra,9", "L9H0 stands twice for Algebra"),
        ("0.35", "35", "pass_at_1 = 35.0 is no share"),
        ("0.35", "many", "line 5: expected a head"),
        ("pass_at_1", "accuracy", "lacks columns"),
        ("none,", "7,", "rows with head 'none'"),
    ],
)
def test_a_published_table_that_is_wrong(tmp_path, old, new, said):
    path = tmp_path / "t.csv"
    path.write_text(CSV.replace(old, new))
    with pytest.raises(DataError, match=said):
        impact_from_csv(path)


def test_a_published_table_with_gaps_or_from_a_spreadsheet(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    more = "0,Geometry,5,0.5\nnone,Geometry,5,0.4\n"  # nothing of layer 9
    path.write_bytes(b"\xef\xbb\xbf" + (CSV + more).encode())
    impact = impact_from_csv(path)
    assert [(layer, subject) for layer, subject, *_ in impact.best_gains()] == [
        (5, "Algebra"),
        (5, "Geometry"),
        (9, "Algebra"),
    ]
    assert "| 9 | 0 | 0.200 |  |  |" in impact_table(impact, "t").markdown()


@pytest.mark.parametrize("content", ["é".encode("latin-1"), CSV.encode() + b"0\n"])
def test_a_published_table_that_cannot_be_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"no CSV file in UTF-8|line 8: expected a head, a subject"):
        impact_from_csv(path)


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="cannot read"):
        impact_from_csv(tmp_path / "none.csv")
