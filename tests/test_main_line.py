"""The whole line on real questions: sweep, router, every model through lm_eval, leaderboard."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sprint_eval.outcomes import Outcomes
from sprint_eval.routing import best_single_head

TASK = "rg_math_pass_at_n_fewshot"
QUIET = {"LMEVAL_LOG_LEVEL": "ERROR", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}


def run(*arguments: str, cwd: Path) -> str:
    """A command as a user types it, from a folder that is not the project's."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=cwd,
        env={**os.environ, **QUIET},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def evaluate(
    out: Path, model: str, model_args: str, *more: str, task: str = TASK, launcher: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Run ``lm_eval`` and return its samples by question, and the results' config."""
    command = [*launcher, "lm_eval", "--model", model, "--model_args", model_args, "--tasks", task]
    command += ["--device", "cpu", "--output_path", str(out), "--log_samples", *more]
    out.parent.mkdir(parents=True, exist_ok=True)
    run(*command, cwd=out.parent)
    (results,) = out.glob("*/results_*.json")
    (samples,) = out.glob("*/samples_*.jsonl")
    rows = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
    config = json.loads(results.read_text(encoding="utf-8"))["config"]
    return {"config": config, "rows": {row["doc"]["question"]: row for row in rows}}


def texts(run_of: dict[str, Any]) -> dict[str, list[str]]:
    """Each question's answers; what the harness adds to even out the processes' work is no candidate."""
    return {key: row["resps"][0][: len(row["candidates"])] for key, row in run_of["rows"].items()}


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory, smollm2: str) -> Path:
    """A folder with the outcomes of a few questions and a router trained on them."""
    folder = tmp_path_factory.mktemp("line")
    sweep = ("sprint_eval", "sweep", "--model", smollm2, "--task", TASK, "--pool", "15:*")
    run(*sweep, "--limit", "12", "--dtype", "float32", "--out", "z", cwd=folder)
    run("sprint_eval", "train-router", "z", "--out", "router", cwd=folder)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(900)  # so do these, after a sweep and a training
def test_every_model_runs_and_the_leaderboard_compares_them(line: Path, smollm2: str) -> None:
    common = ("--metadata", "n=3", "--limit", "6")
    args = f"pretrained={smollm2},dtype=float32"
    best = best_single_head(Outcomes.load(line / "z"))
    runs = {
        "greedy": evaluate(line / "results" / "greedy", "hf", args, "--metadata", "n=1", "--limit", "6"),
        "pruned": evaluate(line / "results" / "pruned", "pruned-head", f"{args},heads={best}", *common),
        "pool": evaluate(line / "results" / "pool", "pruned-head", f"{args},pool=base/15:0-1", *common),
        "random": evaluate(line / "results" / "random", "random-heads", f"{args},outcomes={line}/z", *common),
        "router": evaluate(
            line / "results" / "router", "sprint-router", f"{args},router={line}/router", *common
        ),
    }
    for name, made in runs.items():
        assert len(made["rows"]) == 6, name
        assert made["rows"].keys() == runs["greedy"]["rows"].keys(), "the same questions for every method"
    for name in ("pool", "random", "router"):
        used = [{c["heads"] for c in row["candidates"]} for row in runs[name]["rows"].values()]
        assert all(len(heads) == 3 for heads in used), f"{name} gives each candidate its own head"
    base = {key: row[0] for key, row in texts(runs["pool"]).items()}
    assert base == {key: row[0] for key, row in texts(runs["greedy"]).items()}, "base equals plain hf"
    config = runs["router"]["config"]
    assert config["method"] == "sprint-router"
    assert config["counters"]["generated_tokens"] > 0
    assert config["router_trained_on_test"] is False

    table = run("sprint_eval", "leaderboard", "results", "--out", "site", cwd=line)
    for method in ("sprint-router", "random-heads", "pruned-head", "hf"):
        assert method in table
    assert (line / "site" / "index.html").is_file()


@pytest.mark.slow
def test_scrambled_gold_finds_the_same_candidates(tiny_checkpoint: str, tmp_path: Path) -> None:
    rows = [
        {
            "question": f"Tom has {n} pens and buys {n + 3} more. How many pens has Tom?",
            "answer": str(2 * n + 3),
        }
        for n in range(2, 8)
    ]
    runs = []
    for name, gold in (("true", [r["answer"] for r in rows]), ("false", [str(999 + i) for i in range(6)])):
        for part in ("train", "test"):
            lines = [
                json.dumps({"question": f"{part} {row['question']}", "answer": f"#### {answer}"})
                for row, answer in zip(rows, gold, strict=True)
            ]
            (tmp_path / f"{name}-{part}.jsonl").write_text("\n".join(lines), encoding="utf-8")
        files = f"train_file={tmp_path}/{name}-train.jsonl,test_file={tmp_path}/{name}-test.jsonl"
        more = ("--metadata", f"n=4,{files}", "--gen_kwargs", "max_gen_toks=12")
        args = f"pretrained={tiny_checkpoint},pool=0:*"
        runs.append(evaluate(tmp_path / name, "pruned-head", args, *more, task="gsm8k_pass_at_n_fewshot"))
    true, false = runs
    assert len(true["rows"]) == len(false["rows"]) == 6
    gold = [{row["doc"]["answer"] for row in made["rows"].values()} for made in runs]
    assert not gold[0] & gold[1], "the gold really differs"
    assert texts(true) == texts(false)


@pytest.mark.slow
@pytest.mark.timeout(900)  # seven processes import everything
def test_processes_share_the_work_and_agree_with_one(tiny_checkpoint: str, tmp_path: Path) -> None:
    args = f"pretrained={tiny_checkpoint},pool=0:*"
    common = ("--metadata", "n=4", "--limit", "7")
    alone = evaluate(tmp_path / "one", "pruned-head", args, *common)
    assert len(alone["rows"]) == 7
    assert alone["config"]["requests_by_process"] == [28]
    accelerate = ("accelerate.commands.launch", "--cpu", "--num_processes", "2", "-m")
    torchrun = ("torch.distributed.run", "--nproc_per_node", "4", "-m")
    for count, launcher, shares in ((2, accelerate, [16, 12]), (4, torchrun, [8, 8, 8, 4])):
        shared = evaluate(tmp_path / str(count), "pruned-head", args, *common, launcher=launcher)
        assert texts(alone) == texts(shared)
        # Each process did its own part, of seven questions four candidates each; padding is not decoded anew.
        assert shared["config"]["requests_by_process"] == shares
