"""A run of stock lm-eval: its own gsm8k task and its plain ``hf`` model, which know nothing of us."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

from sprint_eval.leaderboards.board import make_board
from sprint_eval.leaderboards.build import build
from sprint_eval.leaderboards.cost import costs_of

pytestmark = pytest.mark.slow


def save_tiny_model(folder: Path) -> None:
    """A random llama of two layers with a tokenizer of bytes."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = ["<eos>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE({token: index for index, token in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<eos>").save_pretrained(
        folder
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(alphabet),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=2048,
        bos_token_id=0,
        eos_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def save_task(folder: Path) -> None:
    """lm-eval's own YAML, on a file in place of the hub's data set."""
    lines = [json.dumps({"question": f"What is {n} + 1?", "answer": f"So.\n#### {n + 1}"}) for n in range(12)]
    (folder / "data.jsonl").write_text("\n".join(lines), encoding="utf-8")
    text = (resources.files("lm_eval") / "tasks" / "gsm8k" / "gsm8k.yaml").read_text(encoding="utf-8")
    kept = [
        line for line in text.splitlines() if not line.startswith(("dataset_path", "dataset_name", "task:"))
    ]
    data = "task: gsm8k_on_file\ndataset_path: json\ndataset_kwargs:\n  data_files:\n"
    data += f"    train: {folder}/data.jsonl\n    test: {folder}/data.jsonl\n"
    (folder / "tasks").mkdir()
    (folder / "tasks" / "gsm8k_on_file.yaml").write_text(data + "\n".join(kept) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("foreign")
    save_tiny_model(folder / "tiny-llama")
    save_task(folder)
    command = [sys.executable, "-m", "lm_eval", "--model", "hf", "--tasks", "gsm8k_on_file", "--log_samples"]
    command += ["--model_args", f"pretrained={folder}/tiny-llama,dtype=float32", "--device", "cpu"]
    command += ["--include_path", str(folder / "tasks"), "--output_path", str(folder / "results")]
    command += ["--limit", "7", "--batch_size", "7", "--gen_kwargs", "max_gen_toks=6"]
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(folder / "home"),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder / "results"


def test_each_filter_is_a_table_with_blanks_for_what_is_not_said(results: Path) -> None:
    board = make_board([results])
    assert board.reading.problems == []
    titles = [standing.table.title for standing in board.standings]
    assert titles == [
        "gsm8k_on_file · exact_match, flexible-extract",
        "gsm8k_on_file · exact_match, strict-match",
    ]
    for standing in board.standings:
        (row,) = standing.rows
        assert row.name == "hf greedy"
        assert row.method.model == "tiny-llama"
        assert standing.table.questions == 7
        assert standing.table.settings["few-shot examples"] == "5"
        assert standing.table.settings["token limit"] == "6"
        stated = row.run.header.metrics[("exact_match", standing.table.filter)]
        assert standing.families["value"].mean[0, 0] == stated
        costs = costs_of(row)
        assert {name for name, cost in costs.items() if cost is not None} == {"total_seconds", "parameters"}


def test_its_answers_are_shown(results: Path, tmp_path: Path) -> None:
    build([results], tmp_path, plots=False)
    records = sorted((tmp_path / "records").rglob("*_samples.jsonl"))
    assert len(records) == 2
    rows = [json.loads(line) for line in records[0].read_text(encoding="utf-8").splitlines()]
    assert {row["input"]["raw"] for row in rows} == {f"What is {n} + 1?" for n in range(7)}
    assert all(len(row["output"]["raw"]) == 1 for row in rows)
