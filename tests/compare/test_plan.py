"""Which runs a comparison is, what makes one begin anew, and what is refused."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest

from sprint_eval.cli import main
from sprint_eval.compare.figure import Panel, curve, write_figure
from sprint_eval.compare.methods import DEFAULT, parse_method
from sprint_eval.compare.plan import Comparison, plan
from sprint_eval.compare.runner import carry_out, finished
from sprint_eval.errors import ArgumentError, DataError, GenerationError, StoreError
from sprint_eval.heads import HeadPool, HeadSet, parse_entry
from sprint_eval.intervals import exact_interval
from sprint_eval.outcomes import Outcomes

POOL = HeadPool(tuple(map(HeadSet.parse, ["L0H0", "L0H1", "L1H0", "L1H1"])))


@pytest.fixture
def comparison(tmp_path, monkeypatch):
    z = np.array([[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0]])
    outcomes = Outcomes.from_arrays(z, [f"question {i}" for i in range(len(z))], POOL)
    monkeypatch.setattr(Outcomes, "load", classmethod(lambda cls, folder: outcomes))
    monkeypatch.setattr("sprint_eval.compare.plan._router_facts", lambda folder: f"fingerprint of {folder}")
    return Comparison(
        model="tiny",
        tasks=("t",),
        methods=DEFAULT,
        out=tmp_path / "out",
        n=2,
        outcomes={"": tmp_path / "z"},
        routers={"": [tmp_path / "r"]},
    )


def argument(run, name):
    return run.arguments[run.arguments.index(name) + 1]


def test_the_mixed_cover_takes_draws_and_the_cover_does_not(comparison, monkeypatch):
    pool = HeadPool(tuple(map(parse_entry, ["L0H0", "L0H1", "base~T0.9K40P0.95D1"])))
    outcomes = Outcomes.from_arrays(np.array([[1, 0, 0], [0, 0, 1], [0, 1, 1]]), list("abc"), pool)
    monkeypatch.setattr(Outcomes, "load", classmethod(lambda cls, folder: outcomes))
    mixed, heads = plan(replace(comparison, methods=("mixed-cover", "cover")))
    assert (mixed.label, heads.label) == ("mixed-cover", "cover")
    assert "pool=base~T0.9K40P0.95D1/L0H0," in argument(mixed, "--model_args")
    assert "pool=L0H0/L0H1," in argument(heads, "--model_args")
    assert f"made_on=model-{outcomes.manifest.model_fingerprint}" in argument(mixed, "--model_args")


def test_every_method_becomes_the_right_run(comparison, tmp_path):
    runs = {run.label: run for run in plan(replace(comparison, methods=(*DEFAULT, "oracle")))}
    assert [run.method for run in plan(comparison)] == list(DEFAULT)
    args = {label: argument(run, "--model_args") for label, run in runs.items()}
    assert "heads=base" in args["greedy"]
    assert "pool=L0H1/L0H0" in args["cover"]
    assert "heads=L0H1" in args["best"]
    fingerprint = Outcomes.load("").manifest.model_fingerprint
    for label, text in args.items():
        assert (f"made_on=model-{fingerprint}" in text) == (label in ("cover", "best", "oracle"))
    assert "selection=coverage" in args["coverage"]
    assert argument(runs["sample-0.6"], "--model") == "pruned-head"
    assert "heads=base,draw_seed=0" in args["sample-0.6"]
    assert "temperature=0.6,top_k=40,top_p=0.95" in argument(runs["sample-0.6"], "--gen_kwargs")
    assert argument(runs["oracle"], "--metadata") == "n=4"
    assert "oracle" in runs["oracle"].folder.parts
    assert "results" not in runs["oracle"].folder.parts
    assert argument(runs["random"], "--metadata") == "n=2"
    with_store = {label for label, text in args.items() if "store=" in text}
    assert with_store == set(runs)
    assert not any(
        "store=" in argument(run, "--model_args") for run in plan(replace(comparison, store=False))
    )


def test_a_scorer_is_for_every_run(comparison):
    scored = replace(comparison, model_args={"score": "base_logprob", "dtype": "float32"})
    args = [argument(run, "--model_args") for run in plan(scored)]
    assert all("score=base_logprob" in text and "dtype=float32" in text for text in args)


def test_seeds_and_routers_make_runs_of_their_own(comparison, tmp_path):
    several = replace(
        comparison,
        methods=("random", "sample:0.6", "nearest", "cover"),
        seeds=(0, 5),
        routers={"": [tmp_path / "r0", tmp_path / "r1"]},
    )
    runs = plan(several)
    assert [run.label for run in runs] == [
        *("random-0", "random-5", "sample-0.6-0", "sample-0.6-5", "nearest-0", "nearest-1", "cover")
    ]
    assert "draw_seed=5" in argument(runs[3], "--model_args")
    assert len({run.folder for run in runs}) == 7
    assert len({run.method for run in runs}) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": ("nearst",)}, "did you mean 'nearest'"),
        ({"methods": ("sample:0",)}, "temperature above 0"),
        ({"methods": ("sample",)}, "temperature above 0"),
        ({"methods": ("greedy:1",)}, "takes no parameter"),
        ({"routers": {}}, "needs --router"),
        ({"outcomes": {"other": "z"}}, "needs --outcomes"),
        ({"n": 5}, "pool has 4 heads"),
        ({"methods": ()}, "nothing to compare"),
        ({"tasks": ("/tasks/mine.yaml",)}, "is a path"),
        ({"metadata": {"n": "3"}}, "by --n"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_runs(comparison, change, message):
    with pytest.raises(ArgumentError, match=message):
        plan(replace(comparison, **change))  # some by the comparison, the others by its plan


def test_a_comma_in_a_value_is_refused(comparison, tmp_path):
    with pytest.raises(DataError, match="comma"):
        plan(replace(comparison, outcomes={"": tmp_path / "a,b"}))


@pytest.mark.parametrize("below", ["", "compare"])
def test_a_file_in_place_of_the_folder_is_refused(comparison, tmp_path, below):
    (tmp_path / "notes").write_text("")
    with pytest.raises(StoreError, match="notes is a file; name a folder by --out"):
        plan(replace(comparison, out=tmp_path / "notes" / below))


class Harness:
    """In place of lm_eval: writes a results file, or fails."""

    def __init__(self, comparison):
        self.ran = []
        self.fail = None

    def __call__(self, arguments, log):
        self.ran.append(arguments)
        log.write_text("Traceback\nsprint-eval: error: too big\n")
        if self.fail == len(self.ran):
            return 2
        folder = arguments[arguments.index("--output_path") + 1]
        from pathlib import Path

        path = Path(folder) / "model" / f"results_{len(self.ran)}.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({}))
        return 0


def test_it_goes_on_where_it_was(comparison):
    runs, harness = plan(comparison), Harness(comparison)
    harness.fail = 3
    with pytest.raises(
        GenerationError, match=r"exit code 2 in run 'sample-0\.6' on t: sprint-eval: error: too big"
    ):
        carry_out(runs, comparison.out, harness)
    harness.fail = None
    assert carry_out(runs, comparison.out, harness) == len(runs) - 2
    assert carry_out(runs, comparison.out, harness) == 0
    assert harness.ran[2] == harness.ran[3] == runs[2].arguments
    for run in runs:
        assert len(list(run.folder.rglob("results_*.json"))) == 1


def test_what_earlier_comparisons_did_is_known(comparison):
    runs, harness = plan(comparison), Harness(comparison)
    assert finished(comparison.out) == []
    carry_out(runs[:2], comparison.out, harness)
    carry_out(runs[2:], comparison.out, harness)
    assert sorted(finished(comparison.out), key=runs.index) == runs
    marks = sorted((comparison.out / "done").rglob("*.json"))
    marks[0].write_text('{"arguments": [')
    marks[1].write_text("[]")
    assert len(finished(comparison.out)) == len(runs) - 2
    assert carry_out(runs, comparison.out, harness) == 2, "a damaged mark is none"


@pytest.mark.parametrize("what", ["model", "data", "outcomes"])
def test_what_stands_behind_a_path_is_looked_at(comparison, tmp_path, what):
    """A model trained anew into its folder, edited questions, a verdict changed each way."""
    (tmp_path / "model").mkdir()
    weights, data = tmp_path / "model" / "model.safetensors", tmp_path / "train.jsonl"
    weights.write_bytes(b"1234")
    data.write_text("1234")
    named = replace(comparison, model=str(tmp_path / "model"), metadata={"train_file": str(data)})
    runs = plan(named)
    carry_out(runs, comparison.out, Harness(comparison))
    assert carry_out(plan(named), comparison.out, Harness(comparison)) == 0
    if what == "outcomes":
        z = Outcomes.load("any").z
        z[0, 0], z[2, 0] = z[2, 0], z[0, 0]
        assert carry_out(plan(replace(named, methods=("random",))), comparison.out, Harness(comparison)) == 1
        return
    path = weights if what == "model" else data
    path.write_bytes(b"4321")
    facts = path.stat()
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1_000_000))
    assert carry_out(plan(named), comparison.out, Harness(comparison)) == len(runs)


def test_a_run_whose_router_changed_begins_anew(comparison, monkeypatch):
    harness = Harness(comparison)
    carry_out(plan(comparison), comparison.out, harness)
    before = len(harness.ran)
    monkeypatch.setattr("sprint_eval.compare.plan._router_facts", lambda folder: "trained again")
    runs = plan(comparison)
    assert carry_out(runs, comparison.out, harness) == 2
    assert [argument(run, "--model") for run in runs if run.arguments in harness.ran[before:]] == [
        "sprint-router",
        "sprint-router",
    ]
    assert all(len(list(run.folder.rglob("results_*.json"))) == 1 for run in runs)


def test_a_run_without_results_is_not_done(comparison):
    def silent(arguments, log):
        log.write_text("warning: could not save\n")
        return 0

    with pytest.raises(GenerationError, match="wrote no results in run 'greedy' on t: warning"):
        carry_out(plan(comparison), comparison.out, silent)


def test_of_what_a_launcher_says_our_own_line_is_the_message(comparison):
    def failing(arguments, log):
        log.write_text("sprint-eval: error: no such router\nE1125 launch: exitcode 2\n=====\n")
        return 1

    with pytest.raises(GenerationError, match=r"exit code 1 .*: sprint-eval: error: no such router"):
        carry_out(plan(comparison), comparison.out, failing)


def test_curves_average_runs_and_draw_questions():
    scores = np.zeros((2, 100, 3))
    scores[0, :50, 0], scores[1, :50, 0] = 1, 0
    scores[:, :50, 1:] = 1
    line = curve("x", scores)
    assert line.mean.tolist() == [0.25, 0.5, 0.5]
    assert line.runs == 2
    assert line.low[1] == pytest.approx(0.4, abs=0.02)
    assert line.high[1] == pytest.approx(0.6, abs=0.02)


def test_the_figure_is_drawn_twice_the_same(tmp_path):
    generator = np.random.default_rng(0)
    panels = []
    for title in ("one", "two $x"):
        curves = [
            curve(name, np.maximum.accumulate(generator.random((1, 40, 8)) < 0.2, axis=2))
            for name in ("a", "b")
        ]
        panels.append(Panel(title, curves, 40, oracle=0.9))
    first = [path.read_bytes() for path in write_figure(tmp_path / "figure4", panels)]
    second = [path.read_bytes() for path in write_figure(tmp_path / "figure4", panels)]
    assert first == second
    assert first[0].startswith(b"\x89PNG")
    assert b"Pass@N" in first[1]
    with pytest.raises(DataError, match="no curve"):
        write_figure(tmp_path / "none", [])


def test_method_names():
    assert parse_method("sample:0.6").temperature == 0.6
    assert [parse_method(name).name for name in DEFAULT] == list(DEFAULT)


def test_a_dry_run_prints_commands_and_makes_nothing(comparison, tmp_path, capsys):
    out = tmp_path / "dry"
    line = ["compare", "--model", "tiny", "--tasks", "t", "--n", "2", "--out", str(out), "--dry-run"]
    line += ["--methods", "greedy", "cover", "--outcomes", "t=runs/z", "--metadata", "data_dir=d"]
    assert main([*line, "--", "--apply_chat_template"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2
    assert printed[1].startswith("lm_eval --model pruned-head")
    assert all("data_dir=d,n=2" in text and "--apply_chat_template" in text for text in printed)
    assert not out.exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--outcomes", "u=z"], "u is not among --tasks t"),
        (["--outcomes", "a", "b"], "names 2 folders"),
        (["--model_args", "dtype"], "not of the form name=value"),
        (["--model_args", "pretrained=x"], "compare sets itself"),
        (["--limit", "0"], "expected 1 or more"),
    ],
)
def test_bad_arguments_are_one_line(comparison, tmp_path, capsys, more, message):
    with pytest.raises(SystemExit):
        main(["compare", "--model", "m", "--tasks", "t", "--out", str(tmp_path / "o"), *more])
    assert message in capsys.readouterr().err


def test_a_curve_without_spread_is_not_called_certain():
    """Every question came out the same: no draw of questions has anything else to show."""
    scores = np.zeros((2, 30, 3))
    scores[:, :, 1] = 1.0
    scores[:, ::2, 2] = 1.0
    line = curve("x", scores)
    assert (line.low[0], line.high[0]) == exact_interval(0, 30)
    assert (line.low[1], line.high[1]) == exact_interval(30, 30)
    assert 0 < line.low[2] < 0.5 < line.high[2] < 1
