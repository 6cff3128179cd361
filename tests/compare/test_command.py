"""The command around the runs: the oracle's line, the oracle alone, and the reference."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sprint_eval.cli import main
from sprint_eval.commands.compare import panels_of
from sprint_eval.compare.plan import Run
from sprint_eval.heads import HeadPool
from sprint_eval.leaderboards.board import make_board
from sprint_eval.outcomes import Outcomes

# The generator of result folders is the leaderboard tests' own.
sys.path.insert(0, str(Path(__file__).parent.parent / "leaderboards"))

from synthetic import TASK, FakeRun, outcomes, write_run

MODEL = {"model_fingerprint": "one", "method": "pruned-head", "pool": ["base"]}
GREEDY = FakeRun("pruned-head", "pretrained=m,heads=base", MODEL, seed=1, questions=12)
ORACLE = FakeRun("pruned-head", "pretrained=m,pool=L0H0/L0H1", MODEL, seed=2, questions=12, n=6)


def panel(out, oracle, *ranked):
    """The only panel of these runs, written as ``compare`` lays them."""
    runs = [Run(TASK, "oracle", "oracle", out / "oracle" / TASK / "oracle", (), oracle=True)]
    write_run(runs[0].folder, oracle)
    for index, run in enumerate(ranked):
        runs.append(Run(TASK, "greedy", f"greedy-{index}", out / "results" / TASK / f"greedy-{index}", ()))
        write_run(runs[-1].folder, run)
    (found,) = panels_of(make_board([out / "results"]), runs, 4)
    return found


def test_an_oracle_of_the_panel_s_own_questions_is_drawn(tmp_path):
    drawn = panel(tmp_path, ORACLE, GREEDY)
    assert drawn.questions == 12
    assert drawn.oracle == outcomes(ORACLE).any(axis=1).mean()


@pytest.mark.parametrize(
    "change",
    [
        {"questions": 5},
        {"info": {**MODEL, "model_fingerprint": "another"}},
        {"num_fewshot": 3},
        {"generation": {"max_gen_toks": 9}},
    ],
)
def test_an_oracle_of_other_questions_settings_or_models_is_not(tmp_path, change):
    assert panel(tmp_path, replace(ORACLE, **change), GREEDY).oracle is None


def test_an_oracle_of_one_of_several_models_is_not(tmp_path):
    other = replace(GREEDY, info={**MODEL, "model_fingerprint": "another"}, date=1.7e9)
    assert panel(tmp_path, ORACLE, GREEDY, other).oracle is None


@pytest.fixture
def harness(monkeypatch):
    """In place of lm_eval and of the outcomes; keeps the arguments of its runs."""
    pool = HeadPool.from_names(["L0H0", "L0H1"])
    given = Outcomes.from_arrays(np.eye(2, dtype=np.int8), ["question 0", "question 1"], pool)
    monkeypatch.setattr(Outcomes, "load", lambda folder: given)
    ran = []

    def execute(arguments, log, processes=1):
        ran.append(arguments)
        folder = Path(arguments[arguments.index("--output_path") + 1])
        args = arguments[arguments.index("--model_args") + 1]
        write_run(folder, replace(GREEDY, args=args, date=GREEDY.date + len(ran)))
        return 0

    monkeypatch.setattr("sprint_eval.compare.runner.run_lm_eval", execute)
    return ran


def compare(out, *more):
    line = ["compare", "--model", "m", "--tasks", "not_one_of_ours", "--out", str(out), "--n", "2"]
    return main([*line, "--outcomes", "z", *more])


def test_the_oracle_alone_makes_no_leaderboard_and_is_printed(tmp_path, harness, capsys):
    assert compare(tmp_path, "--methods", "oracle") == 0
    solved = outcomes(GREEDY).any(axis=1).mean()
    assert f"{TASK}: any of the pool solves {solved:.3f} of 12 questions" in capsys.readouterr().out
    assert not (tmp_path / "site").exists()
    assert compare(tmp_path, "--methods", "greedy") == 0
    assert (tmp_path / "site" / "index.html").is_file()
    assert b"oracle over the pool" in (tmp_path / "figure4.svg").read_bytes()


@pytest.mark.parametrize(
    ("reference", "methods", "said"),
    [
        ("greedy", ["greedy", "cover"], "its names begin with base, pruned-head"),
        ("hf greedy", ["greedy"], "its names begin with base, pruned-head"),
        ("basement", ["greedy"], "its names begin with base, pruned-head"),
        ("base greedy", ["oracle"], "it will have none"),
    ],
)
def test_an_unknown_reference_is_refused_before_anything_runs(
    tmp_path, harness, capsys, reference, methods, said
):
    with pytest.raises(SystemExit) as caught:
        compare(tmp_path, "--methods", *methods, "--reference", reference)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err
    assert harness == []


def test_a_reference_may_be_of_a_planned_run_or_of_results_that_are_there(tmp_path, harness):
    assert compare(tmp_path, "--methods", "greedy", "--reference", "base greedy") == 0
    write_run(tmp_path / "results" / "mine", FakeRun(questions=12))
    assert compare(tmp_path, "--methods", "greedy", "--reference", "hf greedy") == 0
