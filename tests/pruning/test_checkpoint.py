"""Folders of cut models: saved, loaded, exported, and refused where they do not fit."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from sprint_eval.errors import DataError, MismatchError, UnsupportedModelError
from sprint_eval.export.loading import load_model
from sprint_eval.heads import HeadSet
from sprint_eval.pruning.checkpoint import load_pruned, save_pruned
from sprint_eval.pruning.dense import dense_model, export_dense
from sprint_eval.pruning.removed import Removed
from sprint_eval.pruning.surgery import cut

HEADS = HeadSet.parse("L0H1+L1H2+L1H3+L2H0+L2H1+L2H2+L2H3")
IDS = torch.tensor([[3, 4, 5, 6, 7, 8, 9]])
NEURONS = {0: [1, 2], 2: [7]}


def cut_tiny(tiny_model, model_type="llama", neurons=None):
    return cut(tiny_model(model_type), HEADS, neurons, allow_empty_layers=True)


@pytest.mark.parametrize("model_type", ["llama", "qwen2", "qwen3", "gemma", "gemma3_text", "opt", "mixtral"])
def test_a_saved_model_loads_as_it_was(tiny_model, tmp_path, model_type):
    model = cut_tiny(tiny_model, model_type)
    save_pruned(model, tmp_path / "cut")
    loaded = load_pruned(tmp_path / "cut")
    assert torch.equal(loaded(IDS).logits, model(IDS).logits)
    assert loaded.config.sprint_pruning == model.config.sprint_pruning
    saved = json.loads((tmp_path / "cut" / "config.json").read_text())
    assert saved["architectures"] == [type(model).__name__]
    assert "auto_map" not in saved
    assert not list((tmp_path / "cut").glob("*.bin"))
    # And once more: a loaded model saves as the first did.
    save_pruned(loaded, tmp_path / "again")
    assert torch.equal(load_pruned(tmp_path / "again")(IDS).logits, model(IDS).logits)


def test_loading_takes_what_from_pretrained_does(tiny_model, tmp_path):
    model = cut_tiny(tiny_model, neurons=NEURONS)
    save_pruned(model, tmp_path / "cut")
    assert load_pruned(tmp_path / "cut", dtype=torch.bfloat16).dtype == torch.bfloat16
    eager = load_pruned(tmp_path / "cut", attn_implementation="eager", device_map="cpu")
    assert torch.allclose(eager(IDS).logits, model(IDS).logits, atol=1e-5)
    with pytest.raises(UnsupportedModelError, match="flash_attention_2"):
        load_pruned(tmp_path / "cut", attn_implementation="flash_attention_2")


@pytest.mark.parametrize("model_type", ["llama", "qwen2", "qwen3", "gemma", "cohere", "opt"])
def test_dense_export_runs_stock_with_the_same_answers(tiny_model, tmp_path, model_type):
    neurons = None if model_type == "opt" else NEURONS
    model = cut_tiny(tiny_model, model_type, neurons).double()
    export_dense(model, tmp_path / "dense")
    dense = AutoModelForCausalLM.from_pretrained(tmp_path / "dense")
    assert type(dense).__name__ == type(model).__name__
    assert dense.dtype == torch.float64
    # Gemma scales its embeddings by a constant that double() keeps as it was in float32.
    assert (dense(IDS).logits - model(IDS).logits).abs().max() < (1e-5 if model_type == "gemma" else 1e-9)
    assert not hasattr(AutoConfig.from_pretrained(tmp_path / "dense"), "sprint_pruning")
    settings = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None}
    assert torch.equal(dense.generate(IDS, **settings), model.generate(IDS, **settings))


def test_what_was_never_cut_is_refused(tiny_model, tmp_path):
    model = tiny_model("llama")
    model.save_pretrained(tmp_path / "whole")
    with pytest.raises(MismatchError, match="no heads were cut out of this model"):
        save_pruned(model, tmp_path / "cut")
    with pytest.raises(MismatchError, match="use --model hf"):
        load_pruned(tmp_path / "whole")
    with pytest.raises(MismatchError, match="dense already"):
        dense_model(model)


def test_weights_that_do_not_fit_the_config_are_refused(tiny_model, tmp_path):
    folder = save_pruned(cut_tiny(tiny_model), tmp_path / "cut")
    config = json.loads((folder / "config.json").read_text())
    for removed, message in [({"0": [1]}, "do not fit"), ({"0": [5]}, "do not fit the model's config")]:
        config["sprint_pruning"]["removed_heads"] = removed
        (folder / "config.json").write_text(json.dumps(config))
        with pytest.raises(MismatchError, match=message):
            load_pruned(folder)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("model.safetensors", "half"),
        ("model.safetensors", None),
        ("config.json", "{"),
        ("config.json", '{"model_type": "llama", "hidden_size": "wide"}'),
        ("config.json", None),
    ],
)
def test_broken_folders_are_one_error(tiny_model, tmp_path, file, content):
    folder = save_pruned(cut_tiny(tiny_model), tmp_path / "cut")
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_text(content)
    with pytest.raises(DataError, match=r"model '.*cut' cannot be loaded: "):
        load_pruned(folder)
    with pytest.raises(DataError, match=r"model '.*cut' cannot be loaded: "):
        load_model(str(folder))


@pytest.mark.parametrize(
    "fields",
    [
        '"removed_heads": {"0": [1e999]}',
        '"removed_heads": {"0": "12"}',
        '"removed_heads": {"0": [0.9]}',
        '"removed_heads": {"0": [1]}, "removed_neurons": {"0": 1e999}',
        '"removed_heads": {"0": [1]}, "removed_neurons": {"0": true}',
    ],
)
def test_removed_heads_that_are_no_whole_numbers_are_refused(tiny_model, fields):
    config = tiny_model("llama").config
    config.sprint_pruning = json.loads('{"schema_version": 1, ' + fields + "}")
    with pytest.raises(MismatchError, match="is not a whole number"):
        Removed.of_config(config)


def test_a_dense_model_rotates_as_a_loaded_one_does(tiny_model, tmp_path):
    model = cut_tiny(tiny_model)
    save_pruned(model, tmp_path / "cut")
    dense = dense_model(load_pruned(tmp_path / "cut", dtype=torch.bfloat16))
    export_dense(load_pruned(tmp_path / "cut", dtype=torch.bfloat16), tmp_path / "dense")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "dense", dtype=torch.bfloat16)
    assert {name: value.dtype for name, value in dense.named_buffers()} == {
        name: value.dtype for name, value in loaded.named_buffers()
    }
    assert dense.dtype == torch.bfloat16
    assert torch.equal(dense(IDS).logits, loaded(IDS).logits)


def test_nothing_is_overwritten_and_nothing_left_half(tiny_model, tmp_path, monkeypatch):
    model = cut_tiny(tiny_model)
    folder = save_pruned(model, tmp_path / "cut")
    with pytest.raises(DataError, match="exists already"):
        save_pruned(model, folder)
    monkeypatch.setattr(
        type(model), "save_pretrained", lambda *a, **k: (_ for _ in ()).throw(OSError("full"))
    )
    with pytest.raises(OSError, match="full"):
        save_pruned(model, tmp_path / "other")
    assert [path.name for path in tmp_path.iterdir()] == ["cut"]
