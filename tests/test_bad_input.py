"""What bad input gets: one clear line, exit code 2, nothing half-written."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sprint_eval.cli import main
from sprint_eval.errors import CommandExit
from sprint_eval.heads import HeadPool, HeadSet
from sprint_eval.outcomes import Cell, Manifest, Outcomes, OutcomeStore, Process
from sprint_eval.outcomes.manifest import load_questions
from sprint_eval.routing import RouterConfig, train_router
from sprint_eval.sweep import SweepConfig, run_sweep

TASK = "rg_math_pass_at_n_fewshot"


class HashEmbedder:
    """Vectors from a hash of the text: enough to train a router that is then refused."""

    name, dtype = "hash", "float32"

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        digests = [hashlib.sha256(text.encode()).digest()[:8] for text in texts]
        return np.array([[byte / 255 for byte in digest] for digest in digests], np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: str) -> Path:
    """Outcomes and a router of another model, outcomes in which nothing is solved, broken results."""
    made = tmp_path_factory.mktemp("bad-input")
    config = SweepConfig(tiny_checkpoint, TASK, str(made / "unsolved"), pool="0:0-1", limit=4, device="cpu")
    assert not run_sweep(config, show=lambda _: None).outcomes.z.any(), "a random model solves nothing"
    _router(made / "router", "another", "feedfacefeedface")
    this = Manifest.load(made / "unsolved")
    _router(made / "own-router", this.model, this.model_fingerprint)
    _router(made / "zero-shot-router", this.model, this.model_fingerprint, shots=0)
    _made_up_outcomes(made / "z", {})
    _made_up_outcomes(made / "z-of-another", {"model": "another", "model_fingerprint": "feedfacefeedface"})
    (made / "results" / "model").mkdir(parents=True)
    (made / "results" / "model" / "results_2026-01-01T00-00-00.json").write_text("{", encoding="utf-8")
    (made / "empty").mkdir()
    (made / "empty.jsonl").touch()
    _unsupported_model(made / "bloom")
    _half_copied(Path(tiny_checkpoint), made / "half-copied")
    return made


def _made_up_outcomes(target: Path, fields: dict[str, Any]) -> None:
    """Outcomes of the other folder's questions, half of them solved; ``fields`` of the manifest changed."""
    manifest = Manifest.load(target.parent / "unsolved")
    questions = load_questions(target.parent / "unsolved", manifest)
    store = OutcomeStore(target, replace(manifest, **fields), questions)
    with store.writer(Process()) as writer:
        for i, columns in store.missing(Process()):
            writer.append(Cell(i, j, "42", (i + j) % 2 == 0, "42", "exact", "ok", 2, "stop") for j in columns)


def _router(target: Path, model: str, fingerprint: str, shots: int = 4) -> None:
    z = np.random.default_rng(0).integers(0, 2, (20, 4))
    pool = HeadPool(tuple(HeadSet.parse(f"L0H{head}") for head in range(4)))
    outcomes = Outcomes.from_arrays(
        z,
        [f"question {i}" for i in range(20)],
        pool,
        model=model,
        model_fingerprint=fingerprint,
        num_fewshot=shots,
    )
    train_router(outcomes, RouterConfig(epochs=3), HashEmbedder()).save(target)


def _unsupported_model(target: Path) -> None:
    from transformers import BloomConfig

    BloomConfig(hidden_size=16, n_layer=1, n_head=2, vocab_size=64).save_pretrained(target)


def _half_copied(checkpoint: Path, target: Path) -> None:
    shutil.copytree(checkpoint, target)
    weights = target / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])


@pytest.fixture
def lm_eval(monkeypatch: pytest.MonkeyPatch, tiny_checkpoint: str) -> Callable[..., None]:
    """Run stock ``lm_eval`` in this process."""

    def run(model: str, model_args: str, *more: str, pretrained: str = tiny_checkpoint) -> None:
        from lm_eval.__main__ import cli_evaluate

        command = ["lm_eval", "--model", model, "--model_args", f"pretrained={pretrained},{model_args}"]
        command += ["--tasks", TASK, "--device", "cpu", "--limit", "2", *more]
        monkeypatch.setattr("sys.argv", command)
        cli_evaluate()

    return run


MODELS: dict[str, tuple[str, str, tuple[str, ...], str]] = {
    "layer out of range": ("pruned-head", "heads=L9H0", (), "L9H0: the model has layers 0 to 2"),
    "head out of range": ("pruned-head", "pool=0:4", (), "the model has heads 0 to 3"),
    "unknown argument": ("pruned-head", "hedas=L0H0", (), "(did you mean 'heads'?)"),
    "N above the pool": ("pruned-head", "pool=0:*", (), "N = 8 candidates and the pool has 4"),
    "use_cache": ("pruned-head", "heads=L0H0", ("--use_cache", "{tmp}/cache"), "--use_cache is refused"),
    "no router": ("sprint-router", "router={tmp}/none", (), "{tmp}/none"),
    "router of another model": (
        "sprint-router",
        "router={folder}/router",
        (),
        "the router was trained on another (feedfacefeedface)",
    ),
    "nothing solved": ("random-heads", "outcomes={folder}/unsolved", (), "solves any of the 4 training"),
    "no outcomes": ("random-heads", "outcomes={tmp}/none", (), "holds no outcomes"),
    "outcomes of another model": (
        "random-heads",
        "outcomes={folder}/z-of-another",
        (),
        "are of another (feedfacefeedface)",
    ),
    "N above the outcomes' pool": (
        "random-heads",
        "outcomes={folder}/z",
        (),
        "N = 8 candidates and the pool has 2",
    ),
    "N above the router's pool": (
        "sprint-router",
        "router={folder}/own-router",
        (),
        "N = 8 candidates and the pool has 4",
    ),
    "router of another prompt format": (
        "sprint-router",
        "router={folder}/zero-shot-router",
        ("--metadata", "n=2"),
        "trained on prompts with num_fewshot = 0, these have 4",
    ),
    "no questions": (
        "pruned-head",
        "heads=L0H0",
        (
            "--tasks",
            "gsm8k_pass_at_n",
            "--metadata",
            "train_file={folder}/empty.jsonl,test_file={folder}/empty.jsonl",
        ),
        "{folder}/empty.jsonl",
    ),
    "missing data": (
        "pruned-head",
        "heads=L0H0",
        ("--tasks", "asdiv_pass_at_n_fewshot", "--metadata", "data_dir={tmp}/none"),
        "{tmp}/none",
    ),
}


@pytest.mark.parametrize("case", MODELS)
def test_out_of_stock_lm_eval(
    case: str, folder: Path, tmp_path: Path, lm_eval: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    def fill(text: str) -> str:
        return text.format(tmp=tmp_path, folder=folder)

    model, model_args, more, message = MODELS[case]
    with pytest.raises(CommandExit) as refusal:
        lm_eval(model, fill(model_args), *map(fill, more))
    assert refusal.value.code == 2
    errors = [
        line for line in capsys.readouterr().err.splitlines() if line.startswith("sprint-eval: error: ")
    ]
    assert len(errors) == 1
    assert fill(message) in errors[0]
    assert not list(tmp_path.iterdir()), "nothing half-written"


def test_an_unsupported_architecture_says_which_are_supported(
    folder: Path, lm_eval: Callable[..., None], tiny_checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CommandExit):
        lm_eval("pruned-head", f"heads=L0H0,tokenizer={tiny_checkpoint}", pretrained=str(folder / "bloom"))
    assert "model type 'bloom' is not supported" in (error := capsys.readouterr().err)
    assert "qwen3" in error


COMMANDS: dict[str, tuple[tuple[str, ...], str]] = {
    "nothing solvable": (("train-router", "{folder}/unsolved", "--out", "{tmp}/out"), "solve"),
    "no outcomes": (("train-router", "{folder}/empty", "--out", "{tmp}/out"), "holds no outcomes"),
    "no results": (("leaderboard", "{folder}/empty", "--out", "{tmp}/out"), "{folder}/empty"),
    "only malformed results": (("leaderboard", "{folder}/results", "--out", "{tmp}/out"), "results"),
    "pool out of range": (
        ("sweep", "--model", "{model}", "--task", TASK, "--pool", "7:*", "--out", "{tmp}/out"),
        "the model has layers 0 to 2",
    ),
    "unknown task": (
        ("sweep", "--model", "{model}", "--task", "asdiv_pass_at_m", "--out", "{tmp}/out"),
        "did you mean 'asdiv_pass_at_n'?",
    ),
    "no questions": (
        ("sweep", "--model", "{model}", "--task", TASK, "--limit", "0", "--out", "{tmp}/out"),
        "expected at least 1 question",
    ),
    "empty training set": (
        (
            *("sweep", "--model", "{model}", "--task", "gsm8k_pass_at_n", "--out", "{tmp}/out"),
            *("--metadata", "train_file={folder}/empty.jsonl,test_file={folder}/empty.jsonl"),
        ),
        "{folder}/empty.jsonl",
    ),
    "missing data": (
        (
            *("sweep", "--model", "{model}", "--task", "asdiv_pass_at_n_fewshot", "--out", "{tmp}/out"),
            *("--metadata", "data_dir={tmp}/none"),
        ),
        "{tmp}/none",
    ),
    "unsupported architecture": (
        ("sweep", "--model", "{folder}/bloom", "--task", TASK, "--out", "{tmp}/out"),
        "model type 'bloom' is not supported",
    ),
    "half-copied model": (
        ("sweep", "--model", "{folder}/half-copied", "--task", TASK, "--out", "{tmp}/out"),
        "model '{folder}/half-copied' cannot be loaded",
    ),
    "unknown model argument": (
        (
            *("sweep", "--model", "{model}", "--task", TASK, "--out", "{tmp}/out"),
            *("--model-args", "attn_implementatoin=eager"),
        ),
        "did you mean 'attn_implementation'?",
    ),
    "unknown argument of a server": (
        (
            *("sweep", "--model", "{model}", "--task", TASK, "--out", "{tmp}/out", "--engine", "openai"),
            *("--model-args", "base_url=http://127.0.0.1:1/v1,fingerprint=feed,concurency=4"),
        ),
        "did you mean 'concurrency'?",
    ),
    "another split by the metadata": (
        (
            *("sweep", "--model", "{model}", "--task", TASK, "--out", "{tmp}/out"),
            *("--metadata", "split=validation"),
        ),
        "metadata names split = validation",
    ),
    "a router into a store": (
        ("train-router", "{folder}/unsolved", "--out", "{folder}/unsolved"),
        "holds an outcome store",
    ),
    "a comparison into a file": (
        (
            "compare",
            "--model",
            "{model}",
            "--tasks",
            TASK,
            "--methods",
            "greedy",
            "--out",
            "{folder}/empty.jsonl",
        ),
        "{folder}/empty.jsonl is a file",
    ),
    "processes without a dry run": (
        ("sweep", "--model", "{model}", "--task", TASK, "--processes", "8", "--out", "{tmp}/out"),
        "start them by: torchrun --nproc_per_node 8 -m sprint_eval sweep",
    ),
    "a dry run for no process": (
        ("sweep", "--model", "m", "--task", TASK, "--processes", "0", "--dry-run", "--out", "{tmp}/out"),
        "--processes 0: expected 1 or more",
    ),
    "a temperature without draws": (
        ("sweep", "--model", "{model}", "--task", TASK, "--temperature", "0.8", "--out", "{tmp}/out"),
        "add --draws D",
    ),
    "a demo of nothing": (("demo", "--n", "0", "--out", "{tmp}/out"), "--n 0: expected 1 or more"),
    "a demo into a file": (("demo", "--out", "{folder}/empty.jsonl"), "{folder}/empty.jsonl is a file"),
    "a demo of too much": (("demo", "--n", "99", "--out", "{tmp}/out"), "has 27 heads"),
    "adapters of a head out of range": (
        ("export", "heads", "--model", "{model}", "--pool", "0:7", "--out", "{tmp}/out"),
        "the model has heads 0 to 3",
    ),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_out_of_our_own_command_line(
    case: str, folder: Path, tmp_path: Path, tiny_checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    values: dict[str, Any] = {"folder": folder, "tmp": tmp_path, "model": tiny_checkpoint}
    arguments, message = COMMANDS[case]
    with pytest.raises(CommandExit) as refusal:
        main([text.format(**values) for text in arguments])
    assert refusal.value.code == 2
    errors = [
        line for line in capsys.readouterr().err.splitlines() if line.startswith("sprint-eval: error: ")
    ]
    assert len(errors) == 1
    assert message.format(**values) in errors[0]
    assert not list(tmp_path.iterdir()), "nothing half-written"
