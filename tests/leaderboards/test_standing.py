"""Tables' figures against the naive computation from per-question outcomes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from synthetic import FakeRun, board_of, five_methods, foreign, outcomes, write_run

from sprint_eval.intervals import exact_mean
from sprint_eval.leaderboards.board import make_board
from sprint_eval.leaderboards.pairs import compare
from sprint_eval.leaderboards.scores import unbiased
from sprint_eval.leaderboards.standing import Standing, _family
from sprint_eval.leaderboards.statistics import Resampling
from sprint_eval.leaderboards.words import verdict
from sprint_eval.passk import pass_at_k_unbiased


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Standing:
    folder = tmp_path_factory.mktemp("results")
    five_methods(folder, questions=80)
    return make_board([folder], reference="hf greedy").standings[0]


def test_unbiased_is_chen_et_al() -> None:
    correct = (np.random.default_rng(0).random((25, 6)) < 0.4).astype(np.int8)
    found = unbiased(correct)
    for row, values in zip(correct, found, strict=True):
        assert values == pytest.approx([pass_at_k_unbiased(6, int(row.sum()), k) for k in range(1, 7)])


def test_pairs_are_paired_differences(standing: Standing) -> None:
    pairs = standing.pairs[("pass", 3)]
    values = standing.scores["pass"][:, :, 2].astype(float)
    for first in range(5):
        for second in range(5):
            difference = values[first] - values[second]
            assert pairs.difference[first, second] == pytest.approx(difference.mean())
            b, c = int((difference > 0).sum()), int((difference < 0).sum())
            assert pairs.only is not None
            assert (pairs.only[first, second], pairs.only[second, first]) == (b, c)
            tail = sum(math.comb(b + c, i) for i in range(min(b, c) + 1)) / 2 ** (b + c)
            assert pairs.p[first, second] == pytest.approx(min(1, 2 * tail))
            expected = 2.801585 * difference.std(ddof=1) / math.sqrt(80)
            assert pairs.detectable[first, second] == pytest.approx(max(expected, 6 / 80), rel=1e-5)


def test_intervals_of_pairs_come_from_one_matrix_of_weights(standing: Standing) -> None:
    from sprint_eval.leaderboards.statistics import Resampling

    weights = np.concatenate(list(Resampling(80).blocks())) / 80
    values = standing.scores["pass"][:, :, 3]
    pairs = standing.pairs[("pass", 4)]
    for first, second in [(0, 1), (3, 0), (2, 4)]:
        draws = weights @ (values[first] - values[second])
        low, high = np.quantile(draws.astype(float), [0.025, 0.975])
        assert (pairs.low[first, second], pairs.high[first, second]) == pytest.approx((low, high), abs=1e-5)


def test_holm_runs_over_all_pairs_and_over_the_reference(standing: Standing) -> None:
    from statsmodels.stats.multitest import multipletests

    pairs = standing.pairs[("pass", 4)]
    upper = np.triu_indices(5, 1)
    assert pairs.holm[upper] == pytest.approx(multipletests(pairs.p[upper], method="holm")[1])
    assert pairs.holm == pytest.approx(pairs.holm.T)
    reference = standing.reference
    assert reference is not None
    assert standing.rows[reference].name == "hf greedy"
    others = [index for index in range(5) if index != reference]
    assert pairs.holm_reference is not None
    assert pairs.holm_reference[others] == pytest.approx(
        multipletests(pairs.p[reference, others], method="holm")[1]
    )


def test_mean_accuracy_is_compared_by_permutation(standing: Standing) -> None:
    pairs = standing.pairs[("unbiased", 1)]
    assert pairs.only is None
    values = standing.scores["unbiased"][:, :, 0].astype(float)
    rng = np.random.default_rng(0)
    difference = values[0] - values[1]
    signs = rng.integers(0, 2, size=(20_000, 80)) * 2 - 1
    expected = np.mean(np.abs(signs @ difference) >= abs(difference.sum()) - 1e-9)
    assert pairs.p[0, 1] == pytest.approx(expected, abs=0.02)


def test_a_score_without_spread_gets_an_exact_interval(tmp_path: Path) -> None:
    write_run(tmp_path, FakeRun(skill=1e-9, questions=20))
    family = make_board([tmp_path]).standings[0].families["pass"]
    assert family.mean[0, 0] == 0
    assert family.high[0, 0] == pytest.approx(1 - 0.025 ** (1 / 20))


def test_identical_methods_tie_and_are_not_called_certain(tmp_path: Path) -> None:
    for index, skill in enumerate((0.4, 0.4, 1 - 1e-9)):
        run = FakeRun(f"m{index}", skill=skill, seed=7 if index < 2 else 1, n=1, questions=30)
        write_run(tmp_path / str(index), run)
    standing = make_board([tmp_path]).standings[0]
    assert [row.name for row in standing.rows] == ["m2", "m0", "m1"]
    assert standing.rank_low[1:] == [2, 2]
    assert standing.rank_high[1:] == [3, 3]
    pairs = standing.pairs[("pass", 1)]
    assert pairs.p[1, 2] == 1
    assert pairs.high[1, 2] == -pairs.low[1, 2] == pytest.approx(1 - 0.025 ** (1 / 30))


def test_equal_answers_are_not_called_certain_beside_others(tmp_path: Path) -> None:
    """Mean accuracy is 0/1 for the two greedy runs alone; the sampling one makes the table's other."""
    greedy = FakeRun(seed=7, deterministic=True, questions=30)
    runs = (
        greedy,
        FakeRun("pruned-head", "pretrained=m,heads=base", seed=7, deterministic=True, questions=30),
        FakeRun(generation={"do_sample": True, "temperature": 0.6}, seed=8, questions=30),
    )
    standing = board_of(tmp_path, *runs).standings[0]
    first, second = (i for i, row in enumerate(standing.rows) if not row.name.endswith("T=0.6"))
    wanted = 1 - 0.025 ** (1 / 30)
    for pairs in (standing.pairs[("unbiased", 1)], standing.pairs[("pass", 1)]):
        assert (pairs.low[first, second], pairs.high[first, second]) == pytest.approx((-wanted, wanted))
        assert (pairs.low[second, first], pairs.high[second, first]) == pytest.approx((-wanted, wanted))
    assert standing.pairs[("unbiased", 1)].only is None, "the family is not 0/1"


@pytest.mark.parametrize("bounded", [True, False])
def test_one_difference_throughout_is_as_sure_as_the_score_s_bounds_allow(bounded: bool) -> None:
    values = np.array([[0.2, 0.9] * 20, [0.1, 0.8] * 20, [0.5, 0.3] * 20], np.float32)
    boot = np.repeat(values.mean(axis=1)[:, None], 50, axis=1)
    pairs = compare("unbiased" if bounded else "value", 1, values, boot, None)
    ends = (pairs.low[0, 1], pairs.high[0, 1])
    assert (-pairs.high[1, 0], -pairs.low[1, 0]) == pytest.approx(ends, nan_ok=True)
    if bounded:
        assert ends == pytest.approx(exact_mean(0.1, 40, -1.0))
        assert pairs.low[0, 2] == pairs.high[0, 2], "as the draws have it: these differ"
    else:
        # The bootstrap of float32 means may differ by rounding; equal differences must be equal in binary.
        same = compare("value", 1, values[[0, 0]], boot[[0, 0]], None)
        assert np.isnan([same.low[0, 1], same.high[0, 1], same.low[1, 0]]).all()


@pytest.mark.parametrize(("name", "exact"), [("unbiased", True), ("value", False)])
def test_one_value_throughout_has_an_interval_where_bounds_are_known(name: str, exact: bool) -> None:
    values = np.stack([np.full(40, 0.5), np.linspace(0, 1, 40)])[:, :, None].astype(np.float32)
    family, _ = _family(name, values, Resampling(40, draws=200))
    found = (family.low[0, 0], family.high[0, 0])
    assert found == pytest.approx(exact_mean(0.5, 40, 0.0)) if exact else np.isnan(found).all()
    assert family.low[1, 0] < 0.5 < family.high[1, 0]


def test_few_questions_are_said_to_be_few(tmp_path: Path) -> None:
    five_methods(tmp_path, questions=6)
    text = verdict(make_board([tmp_path]).standings[0])
    assert "6 questions cannot tell these 5 methods apart" in text
    assert "No difference, however large" in text


def test_verdict_names_leader_and_gap(tmp_path: Path) -> None:
    write_run(
        tmp_path / "a", FakeRun("pruned-head", "pretrained=m,heads=L1H1", skill=0.9, questions=200, seed=1)
    )
    write_run(tmp_path / "b", FakeRun(skill=0.2, questions=200, seed=2))
    standing = make_board([tmp_path]).standings[0]
    assert verdict(standing).startswith("pruned-head L1H1 is ahead of all others at pass@4 (+0.")
    assert standing.letters == ["a", "b"]
    assert (standing.rank_low, standing.rank_high) == ([1, 2], [1, 2])


def test_a_leader_in_doubt_is_said_to_be(tmp_path: Path) -> None:
    told = {"router_trained_on_test": True}
    runs = (
        FakeRun("sprint-router", "pretrained=m,router=r", told, skill=0.9, questions=200, seed=1),
        FakeRun(skill=0.2, questions=200, seed=2),
    )
    text = verdict(board_of(tmp_path, *runs).standings[0])
    assert text.startswith("sprint-router is ahead of all others")
    assert text.endswith(" In doubt: sprint-router (router trained on test questions).")


def test_a_lead_without_an_interval_is_said_without_one(tmp_path: Path) -> None:
    """Every question two points better, on a scale that has no end."""
    for name, value in (("one", 3.5), ("two", 1.5)):
        foreign(tmp_path / name, name, [value] * 12, ("none",))
    text = verdict(make_board([tmp_path]).standings[0])
    assert text.startswith(
        "hf greedy (one) is ahead of all others at exact_match (+2.000 over hf greedy (two), Holm"
    )


def test_majority_is_what_the_first_k_say(tmp_path: Path) -> None:
    run = FakeRun(questions=50, seed=4, n=3)
    write_run(tmp_path, run)
    family = make_board([tmp_path]).standings[0].families["maj"]
    correct = outcomes(run)
    # The wrong candidates differ, so of three a right answer wins with two votes or by being first.
    won = [sum(row) >= 2 or (sum(row) == 1 and row[0]) for row in correct.tolist()]
    assert family.mean[0, 2] == pytest.approx(np.mean(won))
