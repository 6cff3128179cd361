"""The rules of ``protocol-mixed.md`` as ``mixed_table.py`` applies them."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from sprint_eval.heads import HeadPool, parse_entry
from sprint_eval.outcomes import Outcomes

QUESTIONS, DEPTH = 80, 8
RATES = {"sample-0.6": 0.4, "sample-0.9": 0.5}


@pytest.fixture(scope="module")
def table(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("mixed_table")


def passed(questions: int, k: int = 1) -> np.ndarray:
    """Pass@1..8: the first so many questions are solved from the k-th candidate on."""
    solved = np.zeros((QUESTIONS, DEPTH))
    solved[:questions, k - 1 :] = 1
    return solved


def verdict(table: ModuleType, mixed: np.ndarray, **others: np.ndarray) -> list[str]:
    """The lines for ``mixed`` against baselines that solve nothing unless they are given."""
    curves = {
        name: others.get(name.replace("-", "_").replace(".", "_"), passed(0)) for name in table.BASELINES
    }
    curves["mixed"] = mixed
    methods: dict[str, Any] = {
        name: table.tables.Method(curve, {}, np.zeros(DEPTH), table.SEEDS.get(name, 1))
        for name, curve in curves.items()
    }
    table.tables.check_complete("some", methods, ("mixed", *table.BASELINES), table.SEEDS)
    found = table.tables.compare(methods, ("mixed",), table.BASELINES)
    assert len(found) == len(table.BASELINES) * DEPTH
    lines: list[str] = table.verdicts(found, RATES)
    return lines


def test_ahead_of_either_kind_confirms_the_claim(table: ModuleType) -> None:
    lines = verdict(table, passed(40), mixed_cover=passed(40))
    assert "claim is confirmed" in lines[0]
    assert "ahead of the cover at 8" in lines[0]
    assert "is ahead of the fixed cover of heads at N = 4: +0.500" in lines[1]
    assert "is not shown ahead of the fixed cover of all candidates at N = 8: +0.000" in lines[4]


def test_ahead_of_one_kind_only_is_not_shown(table: ModuleType) -> None:
    lines = verdict(table, passed(40), sample_0_9=passed(38))
    assert "claim is not shown" in lines[0]
    assert "of sample-0.9 at 0" in lines[0]


def test_ahead_at_five_of_eight_is_not_nearly_all(table: ModuleType) -> None:
    assert "claim is not shown" in verdict(table, passed(40, 4))[0]
    assert "claim is confirmed" in verdict(table, passed(40, 3))[0]


def test_behind_a_sampling_somewhere_refutes(table: ModuleType) -> None:
    lines = verdict(table, passed(40), sample_0_9=passed(70))
    assert "claim is refuted" in lines[0]
    assert "8 (sample-0.9)" in lines[0]
    assert lines[-1].startswith("- **mixed** is behind the better sampling at N = 8: -0.375")


def test_behind_the_mixed_cover_refutes_nothing_but_is_said(table: ModuleType) -> None:
    lines = verdict(table, passed(40), mixed_cover=passed(70))
    assert "claim is confirmed" in lines[0]
    assert "is behind the fixed cover of all candidates at N = 4" in lines[3]


def test_the_better_sampling_is_told_by_the_training_questions(table: ModuleType) -> None:
    lines = verdict(table, passed(40), sample_0_6=passed(40))
    assert "the better sampling is sample-0.9" in lines[5]
    assert "is ahead of the better sampling at N = 4: +0.500" in lines[6]
    pool = ["L0H0", "base~T0.6K40P0.95D1", "base~T0.9K40P0.95D1", "base~T0.9K40P0.95D2"]
    z = np.array([[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1], [1, 0, 1, 1]])
    outcomes = Outcomes.from_arrays(z, list("abcd"), HeadPool(tuple(map(parse_entry, pool))))
    assert table.training_rates(outcomes) == {"sample-0.6": 0.25, "sample-0.9": 0.75}


@pytest.mark.parametrize(("name", "seeds"), [("mixed", 1), ("sample-0.6", 1), ("cover", 3), ("greedy", 0)])
def test_another_number_of_seeds_is_refused(table: ModuleType, name: str, seeds: int) -> None:
    given = {
        other: table.tables.Method(passed(1), {}, np.zeros(DEPTH), table.SEEDS.get(other, 1))
        for other in ("mixed", *table.BASELINES)
    }
    given[name] = table.tables.Method(passed(1), {}, np.zeros(DEPTH), seeds)
    with pytest.raises(SystemExit, match=f"{seeds} runs of {name}"):
        table.tables.check_complete("some", given, ("mixed", *table.BASELINES), table.SEEDS)


def test_labels_of_mixed_and_its_cover_are_told_apart(table: ModuleType) -> None:
    labels = ["mixed-0", "mixed-2", "mixed-cover", "cover", "sample-0.6-1"]
    expected = ["mixed", "mixed", "mixed-cover", "cover", "sample-0.6"]
    assert [table.tables.method_of(label) for label in labels] == expected
