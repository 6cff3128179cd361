"""``sprint-eval export`` from the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sprint_eval.cli import main
from sprint_eval.export import read_manifest


@pytest.fixture
def checkpoint(tiny_model: Callable[..., Any], tmp_path: Path) -> Path:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    tiny_model("llama").save_pretrained(tmp_path / "tiny")
    words = Tokenizer(models.WordLevel({"<unk>": 0, "a": 1}, unk_token="<unk>"))
    PreTrainedTokenizerFast(tokenizer_object=words).save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


def test_heads(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "adapters"
    code = main(["export", "heads", "--model", str(checkpoint), "--pool", "1,2:0-1", "--out", str(out)])
    assert code == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("4 adapters of rank up to 16")
    assert lines[1].startswith("4 written, 0 kept")
    assert read_manifest(out)["pool"] == ["L1H0", "L1H1", "L2H0", "L2H1"]


def test_dense(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "pruned"
    assert main(["export", "dense", "--model", str(checkpoint), "--heads", "L1H0", "--out", str(out)]) == 0
    names = {path.name for path in out.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "pruned_heads.json"} <= names


def test_a_cut_student_becomes_a_plain_checkpoint(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from sprint_eval.heads import HeadSet
    from sprint_eval.masking import HeadMasker
    from sprint_eval.pruning.checkpoint import save_pruned
    from sprint_eval.pruning.surgery import cut

    removed, more = HeadSet.parse("L1H0+L1H1"), HeadSet.parse("L2H3")
    base = AutoModelForCausalLM.from_pretrained(checkpoint).eval()
    ids = torch.arange(3, 12)[None]
    with torch.no_grad(), HeadMasker(base).every_row(HeadSet((*removed, *more))):
        wanted = base(input_ids=ids).logits
    student = tmp_path / "student"
    save_pruned(cut(base, removed), student, AutoTokenizer.from_pretrained(checkpoint))

    out = tmp_path / "dense"
    code = main(["export", "dense", "--model", str(student), "--heads", str(more), "--out", str(out)])
    assert code == 0
    with torch.no_grad():
        logits = AutoModelForCausalLM.from_pretrained(out).eval()(input_ids=ids).logits
    assert (logits - wanted).abs().max() < 1e-5
    assert main(["export", "dense", "--model", str(student), "--out", str(tmp_path / "plain")]) == 0
    with pytest.raises(SystemExit):
        main(["export", "heads", "--model", str(student), "--pool", "1:*", "--out", str(tmp_path / "no")])
    assert "export dense" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["export", "dense", "--model", str(checkpoint), "--out", str(tmp_path / "no")])
    assert "say which to prune" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["heads", "--pool", "9:*"], "layer 9 is out of range"),
        (["heads", "--pool", "1:*", "--dtype", "float31"], "did you mean 'float32'"),
        (["dense", "--heads", "L1H77"], "L1H77"),
    ],
)
def test_errors_are_one_line(
    arguments: list[str],
    message: str,
    checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["export", *arguments, "--model", str(checkpoint), "--out", str(tmp_path / "out")])
    assert stop.value.code == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in line
    assert not (tmp_path / "out").exists()


def test_missing_models_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["export", "heads", "--model", str(tmp_path / "no"), "--pool", "1:*", "--out", str(tmp_path)])
    assert "cannot be loaded" in capsys.readouterr().err
