"""The whole command through the real lm_eval, on a random model."""

import numpy as np
import pytest

from sprint_eval.cli import main
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
