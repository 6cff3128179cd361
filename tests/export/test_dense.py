"""A dense export is a plain checkpoint with the masked model's logits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sprint_eval.errors import DataError, HeadError, UnsupportedModelError
from sprint_eval.export import export_dense
from sprint_eval.fingerprint import model_fingerprint
from sprint_eval.heads import HeadSet
from sprint_eval.masking import HeadMasker

HEADS = HeadSet.parse("L0H1+L2H0+L2H3")


class NoTokenizer:
    """Saves one file, as a tokenizer would."""

    def save_pretrained(self, folder: Path) -> None:
        (Path(folder) / "tokenizer.json").write_text("{}")


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "gpt_neox", "opt", "qwen3_moe", "phi3"])
def test_checkpoint_equals_the_masked_model(
    model_type: str, tiny_model: Callable[..., Any], tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    model = tiny_model(model_type)
    ids = torch.randint(3, 60, (2, 9), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        base = model(input_ids=ids).logits
        with HeadMasker(model).every_row(HEADS):
            wanted = model(input_ids=ids).logits
    fingerprint = model_fingerprint(model)
    export_dense(model, NoTokenizer(), HEADS, tmp_path / "out", model_name="tiny")

    pruned = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    with torch.no_grad():
        logits = pruned(input_ids=ids).logits
    assert (logits - wanted).abs().max() < 1e-5
    assert (logits - base).abs().max() > 1e-2
    facts = json.loads((tmp_path / "out" / "pruned_heads.json").read_text())
    assert facts["heads"] == str(HEADS)
    assert facts["base_fingerprint"] == fingerprint
    assert facts["model_fingerprint"] == model_fingerprint(pruned) != fingerprint
    assert (tmp_path / "out" / "tokenizer.json").exists()
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()}
    assert modes == {(tmp_path / "out" / "tokenizer.json").stat().st_mode & 0o777}


def test_refusals_leave_nothing_behind(tiny_model: Callable[..., Any], tmp_path: Path) -> None:
    model, out = tiny_model("llama"), tmp_path / "out"
    with pytest.raises(HeadError, match="L9H0"):
        export_dense(model, NoTokenizer(), HeadSet.parse("L9H0"), out, model_name="tiny")
    model.model.layers[1].self_attn.o_proj.weight = model.model.layers[0].self_attn.o_proj.weight
    with pytest.raises(UnsupportedModelError, match="layers 0, 1 share"):
        export_dense(model, NoTokenizer(), HEADS, out, model_name="tiny")
    model = tiny_model("llama")
    packed = model.model.layers[0].self_attn.o_proj.weight.detach().to(torch.int8)
    model.model.layers[0].self_attn.o_proj.weight = torch.nn.Parameter(packed, requires_grad=False)
    with pytest.raises(UnsupportedModelError, match="packed weights"):
        export_dense(model, NoTokenizer(), HEADS, out, model_name="tiny")
    assert list(tmp_path.iterdir()) == []
    out.mkdir()
    (out / "mine.txt").write_text("")
    with pytest.raises(DataError, match="not an empty folder"):
        export_dense(tiny_model("llama"), NoTokenizer(), HEADS, out, model_name="tiny")
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


def test_a_failed_save_leaves_nothing(tiny_model: Callable[..., Any], tmp_path: Path) -> None:
    class Broken:
        def save_pretrained(self, folder: Path) -> None:
            raise OSError("disk full")

    with pytest.raises(DataError, match="disk full"):
        export_dense(tiny_model("llama"), Broken(), HEADS, tmp_path / "out", model_name="tiny")
    assert list(tmp_path.iterdir()) == []
