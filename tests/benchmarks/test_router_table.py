"""The protocol's rules as ``router_table.py`` applies them: verdicts, families, seeds and refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from sprint_eval.intervals import exact_difference
from sprint_eval.leaderboards.statistics import holm, permutation_p

QUESTIONS, DEPTH = 80, 8
NEVER = DEPTH + 1


@pytest.fixture(scope="module")
def table(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("router_table")


def passed(*solved: tuple[int, int]) -> np.ndarray:
    """Pass@1..8 a question: of each ``(questions, k)`` so many are solved from the k-th candidate on."""
    first = np.full(QUESTIONS, NEVER)
    start = 0
    for count, k in solved:
        first[start : start + count] = k
        start += count
    return (first[:, None] <= np.arange(1, DEPTH + 1)).astype(float)


def methods(table: ModuleType, routed: np.ndarray, **others: np.ndarray) -> dict[str, Any]:
    """Both routed methods alike, and every baseline: ``random``, ``cover``, …, the rest solve nothing."""
    curves = {
        name: others.get(name.replace("-", "_").replace(".", "_"), passed()) for name in table.BASELINES
    }
    curves.update(dict.fromkeys(table.ROUTED, routed))
    return {
        name: table.tables.Method(curve, {}, np.zeros(DEPTH), table.SEEDS.get(name, 1))
        for name, curve in curves.items()
    }


def compared(table: ModuleType, found: dict[str, Any]) -> list[dict[str, Any]]:
    return table.tables.compare(found, table.ROUTED, table.BASELINES)


def check_complete(table: ModuleType, found: dict[str, Any]) -> None:
    table.tables.check_complete("setting", found, (*table.ROUTED, *table.BASELINES), table.SEEDS)


def verdict(table: ModuleType, found: dict[str, Any]) -> list[str]:
    """Of ``nearest``: the claim's line, then the two against the fixed cover."""
    lines = [
        line
        for line in table.verdicts(table.tables.compare(found, table.ROUTED, table.BASELINES))
        if line.startswith("- **nearest**")
    ]
    assert len(lines) == 3
    return lines


def test_ahead_of_all_at_every_n_confirms_the_claim(table: ModuleType) -> None:
    claim, at_4, at_8 = verdict(table, methods(table, passed((40, 1))))
    assert "claim is confirmed here" in claim
    assert "8 of 8 against random" in claim
    assert "behind at none" in claim
    assert "is ahead of the fixed cover at N = 4: +0.500" in at_4
    assert "is ahead of the fixed cover at N = 8: +0.500" in at_8


def test_ahead_at_six_of_eight_is_enough_and_at_five_is_not(table: ModuleType) -> None:
    assert "confirmed" in verdict(table, methods(table, passed((40, 3))))[0]
    claim = verdict(table, methods(table, passed((40, 4))))[0]
    assert "not shown" in claim
    assert "5 of 8 against random" in claim


@pytest.mark.parametrize("name", ["random", "sample_0_1", "sample_0_6", "sample_0_9"])
def test_one_of_the_papers_baselines_level_with_it_leaves_the_claim_unconfirmed(
    table: ModuleType, name: str
) -> None:
    routed = passed((40, 1))
    assert "confirmed" not in verdict(table, methods(table, routed, **{name: routed}))[0]


@pytest.mark.parametrize("name", ["greedy", "best", "cover"])
def test_other_baselines_have_no_say_in_the_claim(table: ModuleType, name: str) -> None:
    routed = passed((40, 1))
    assert "confirmed" in verdict(table, methods(table, routed, **{name: routed}))[0]


def test_level_with_random_heads_refutes_the_claim(table: ModuleType) -> None:
    claim = verdict(table, methods(table, passed((40, 1)), random=passed((40, 1))))[0]
    assert "claim is refuted here" in claim
    assert "above 0 at 0 of 8." in claim


def test_behind_random_heads_at_one_n_refutes_what_is_not_confirmed(table: ModuleType) -> None:
    claim = verdict(table, methods(table, passed((32, 2)), random=passed((30, 1))))[0]
    assert "claim is refuted here" in claim
    assert "behind at 1 against random" in claim
    assert "above 0 at 7 of 8" in claim


def test_what_is_confirmed_is_not_asked_whether_it_is_refuted(table: ModuleType) -> None:
    claim = verdict(table, methods(table, passed((50, 2)), random=passed((20, 1))))[0]
    assert "claim is confirmed here" in claim
    assert "behind at 1 against random" in claim


def test_a_lead_too_small_to_show_is_not_shown(table: ModuleType) -> None:
    claim, at_4, _ = verdict(table, methods(table, passed((2, 1)), cover=passed((1, 1))))
    assert "claim is not shown here" in claim
    assert claim.endswith("above 0 at 8 of 8.")
    assert "is not shown ahead of the fixed cover" in at_4
    assert "(detectable: " in at_4


def test_the_other_reading_of_the_refutation_is_told(table: ModuleType) -> None:
    claim = verdict(table, methods(table, passed((2, 4))))[0]
    assert "not shown" in claim
    assert "above 0 at 5 of 8; read as" in claim
    assert "the protocol's rule says refuted." in claim


def test_behind_the_cover_is_called_so(table: ModuleType) -> None:
    _, at_4, at_8 = verdict(table, methods(table, passed((2, 1)), cover=passed((40, 1))))
    assert "is behind the fixed cover at N = 4: -0.475" in at_4
    assert "is behind" in at_8


def test_rounding_of_a_mean_over_seeds_is_no_difference(table: ModuleType) -> None:
    level = passed((40, 1))
    claim = verdict(table, methods(table, level + 1e-12, random=level))[0]
    assert "above 0 at 0 of 8" in claim


def test_holm_is_over_a_methods_own_family(table: ModuleType) -> None:
    found = methods(table, passed((4, 1), (9, 3)), random=passed((3, 1), (4, 5)), cover=passed((12, 2)))
    found["coverage"] = table.tables.Method(passed((40, 1)), {}, np.zeros(DEPTH), 3)
    rows = table.tables.compare(found, table.ROUTED, table.BASELINES)
    for method in table.ROUTED:
        family = [row for row in rows if row["method"] == method]
        assert len(family) == len(table.BASELINES) * DEPTH == 56
        np.testing.assert_allclose([row["holm"] for row in family], holm([row["p"] for row in family]))
    row = next(r for r in rows if (r["method"], r["baseline"], r["n"]) == ("nearest", "random", 3))
    differences = found["nearest"].passed[:, 2] - found["random"].passed[:, 2]
    assert row["difference"] == pytest.approx(differences.mean()) == pytest.approx(10 / QUESTIONS)
    assert row["p"] == permutation_p(differences)
    assert row["low"] < row["difference"] < row["high"]
    assert row["holm"] > row["p"]


def test_where_two_never_differ_nothing_is_called_detectable(table: ModuleType) -> None:
    level = passed((40, 1))
    rows = compared(table, methods(table, level, random=level))
    line = next(
        text for text in table.tables.difference_table(rows) if text.startswith("| nearest | random | 1 |")
    )
    most = exact_difference(0, 0, len(level))[1]
    assert line == f"| nearest | random | 1 | +0.000 [-{most:.3f}, +{most:.3f}] | 1.000 |  |"
    assert "nan" not in "\n".join(table.tables.difference_table(rows))


@pytest.mark.parametrize(("name", "seeds"), [("nearest", 2), ("random", 4), ("cover", 3), ("greedy", 0)])
def test_other_seeds_than_the_protocols_are_refused(table: ModuleType, name: str, seeds: int) -> None:
    found = methods(table, passed((4, 1)))
    check_complete(table, found)
    if seeds:
        found[name] = table.tables.Method(found[name].passed, {}, np.zeros(DEPTH), seeds)
    else:
        del found[name]
    with pytest.raises(SystemExit, match=f"setting: {seeds} runs of {name}, the protocol asks for"):
        check_complete(table, found)


@pytest.mark.parametrize(
    ("label", "method"),
    [
        ("nearest-0", "nearest"),
        ("nearest", "nearest"),
        ("coverage-2", "coverage"),
        ("sample-0.6-0", "sample-0.6"),
        ("sample-0.6", "sample-0.6"),
        ("random-1", "random"),
        ("mixed-1", "mixed"),
        ("cover", "cover"),
        ("oracle", "oracle"),
        ("coverall", "coverall"),
    ],
)
def test_a_trailing_number_is_a_seed(table: ModuleType, label: str, method: str) -> None:
    assert table.tables.method_of(label) == method


def test_seeds_are_averaged_question_by_question(table: ModuleType, tmp_path: Path) -> None:
    """Whatever the order of a file's lines."""
    from synthetic import FakeRun, outcomes, write_run

    runs = [FakeRun(skill=0.4, seed=seed, heads=["L1H0"]) for seed in (1, 2, 3)]
    for seed, run in enumerate(runs):
        write_run(tmp_path / f"nearest-{seed}", run)
    (samples,) = (tmp_path / "nearest-1").glob("samples_*.jsonl")
    samples.write_text("".join(reversed(samples.read_text(encoding="utf-8").splitlines(keepends=True))))
    write_run(tmp_path / "greedy", FakeRun(seed=4, deterministic=True, info={"deterministic": True}))

    found = table.tables.read_methods(tmp_path)
    assert {name: method.seeds for name, method in found.items()} == {"nearest": 3, "greedy": 1}
    wanted = np.mean([np.maximum.accumulate(outcomes(run), axis=1) for run in runs], axis=0)
    assert len(np.unique(wanted, axis=0)) > 5, "questions differ, so that a wrong order is seen"
    assert sorted(map(tuple, found["nearest"].passed)) == sorted(map(tuple, wanted))
    assert found["nearest"].tokens.tolist() == [24, 49, 75, 102]
    assert found["greedy"].tokens.tolist() == [24, 24, 24, 24], "one answer stands at every k"
