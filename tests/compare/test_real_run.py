"""The whole command through the real lm_eval, on a random model."""

import json
from pathlib import Path

import numpy as np
import pytest

from sprint_eval.cli import main
from sprint_eval.errors import CommandExit
from sprint_eval.fingerprint import model_fingerprint
from sprint_eval.heads import HeadLayout, HeadPool
from sprint_eval.outcomes import Outcomes
from sprint_eval.routing import RouterConfig, train_router

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def router(tiny_checkpoint, tmp_path):
    """A router for the random model, from made-up outcomes: what it ranks first does not matter here."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_checkpoint, dtype="float32")
    z = (np.random.default_rng(0).random((30, 4)) < 0.4).astype(np.int8)
    outcomes = Outcomes.from_arrays(
        z,
        [f"Training question number {i}" for i in range(30)],
        HeadPool.single_heads(HeadLayout.uniform(3, 4), [1]),
        model_fingerprint=model_fingerprint(model),
    )
    train_router(outcomes, RouterConfig(epochs=5)).save(tmp_path / "router")
    return tmp_path / "router"


def test_compare_runs_resumes_and_draws(tiny_checkpoint, router, tmp_path, capsys):
    out = tmp_path / "out"
    line = ["compare", "--model", tiny_checkpoint, "--tasks", "rg_math_pass_at_n_fewshot", "--out", str(out)]
    line += ["--router", str(router), "--methods", "nearest", "coverage", "--n", "2", "--limit", "3"]
    line += ["--model_args", "dtype=float32", "--", "--device", "cpu"]
    assert main(line) == 0
    printed = capsys.readouterr().out
    assert "coverage" in printed
    assert (out / "site" / "index.html").is_file()
    assert (out / "figure4.png").read_bytes().startswith(b"\x89PNG")
    assert b"3 questions" in (out / "figure4.svg").read_bytes()
    assert len(list((out / "results").rglob("samples_*.jsonl"))) == 2
    assert main(line) == 0
    assert capsys.readouterr().out.count("done before") == 2
    # A later comparison into the same folder is drawn beside the earlier one.
    assert main([*line[: line.index("--methods") + 1], "greedy", *line[line.index("--n") :]]) == 0
    for name in (b">greedy<", b">nearest<", b">coverage<"):
        assert name in (out / "figure4.svg").read_bytes()


def test_the_oracle_alone_and_as_a_line_beside_what_it_is_of(tiny_checkpoint, tmp_path, monkeypatch, capsys):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_checkpoint, dtype="float32")
    pool = HeadPool.single_heads(HeadLayout.uniform(3, 4), [1])
    questions = ["Training question 0", "Training question 1"]
    z = np.eye(2, 4, dtype=np.int8)
    outcomes = Outcomes.from_arrays(z, questions, pool, model_fingerprint=model_fingerprint(model))
    monkeypatch.setattr(Outcomes, "load", lambda folder: outcomes)
    out = tmp_path / "out"

    def compare(method, limit):
        line = ["compare", "--model", tiny_checkpoint, "--tasks", "rg_math_pass_at_n_fewshot", "--n", "2"]
        line += ["--out", str(out), "--outcomes", "z", "--methods", method, "--limit", limit]
        assert main([*line, "--model_args", "dtype=float32", "--", "--device", "cpu"]) == 0
        return capsys.readouterr().out

    assert "any of the pool solves 0.000 of 3 questions" in compare("oracle", "3")
    assert not (out / "site").exists()
    compare("greedy", "3")
    assert b"oracle over the pool" in (out / "figure4.svg").read_bytes()
    compare("greedy", "2")
    assert b"oracle over the pool" not in (out / "figure4.svg").read_bytes()


def answers(out: Path) -> dict[str, list[str]]:
    """Each question's candidates, from the only samples below ``out``."""
    (samples,) = (out / "results").rglob("samples_*.jsonl")
    rows = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
    return {row["doc"]["question"]: row["resps"][0][: len(row["candidates"])] for row in rows}


def test_two_processes_share_a_run_and_its_store(tiny_checkpoint, router, tmp_path, capsys):
    found = []
    for count in ("1", "2"):
        out = tmp_path / count
        line = [
            "compare",
            "--model",
            tiny_checkpoint,
            "--tasks",
            "rg_math_pass_at_n_fewshot",
            "--out",
            str(out),
        ]
        line += ["--router", str(router), "--methods", "nearest", "--n", "2", "--limit", "3"]
        line += ["--processes", count, "--model_args", "dtype=float32", "--", "--device", "cpu"]
        assert main(line) == 0
        found.append(answers(out))
        assert len(list((out / "store").glob("*.jsonl"))) == int(count)
    assert len(found[0]) == 3
    assert found[0] == found[1]


def test_no_processes_are_refused(tmp_path, capsys):
    line = ["compare", "--model", "m", "--tasks", "t", "--out", str(tmp_path), "--processes", "0"]
    with pytest.raises(CommandExit) as caught:
        main(line)
    assert caught.value.code == 2
    assert "--processes 0: expected 1 or more" in capsys.readouterr().err
