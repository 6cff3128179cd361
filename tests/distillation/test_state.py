"""A phase's checkpoints: what comes back, and what is said of one that is damaged or another model's."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from sprint_eval.distillation.state import PhaseState, load_state, save_state
from sprint_eval.errors import DataError, MismatchError


def trained(tiny_model, seed=0, **sizes):
    """A model after one step of AdamW, and its optimizer."""
    model = tiny_model("llama", seed=seed, **sizes)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    model(torch.tensor([[3, 4, 5]])).logits.square().mean().backward()
    optimizer.step()
    return model, optimizer


def test_model_and_optimizer_come_back_and_only_the_newest_checkpoint_is_kept(tiny_model, tmp_path):
    model, optimizer = trained(tiny_model)
    assert load_state(tmp_path, model, optimizer) is None
    save_state(tmp_path, PhaseState(1, {}), model, optimizer)
    save_state(tmp_path, PhaseState(2, {"pruned": ["L0H1"]}), model, optimizer)
    other, fresh = trained(tiny_model, seed=1)
    assert load_state(tmp_path, other, fresh) == PhaseState(2, {"pruned": ["L0H1"]})
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    first, second = next(iter(optimizer.state.values())), next(iter(fresh.state.values()))
    assert torch.equal(first["exp_avg"], second["exp_avg"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest.json", "step-2"]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def without_step(path: Path) -> None:
    values = json.loads(path.read_text())
    del values["step"]
    path.write_text(json.dumps(values))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("step-1/model.safetensors", cut),
        ("step-1/optimizer.safetensors", cut),
        ("step-1/optimizer.safetensors", Path.unlink),
        ("step-1/model.safetensors", Path.unlink),
        ("step-1/state.json", without_step),
        ("latest.json", without_step),
    ],
)
def test_a_damaged_checkpoint_is_named_with_the_way_out(tiny_model, tmp_path, name, damage):
    model, optimizer = trained(tiny_model)
    save_state(tmp_path, PhaseState(1, {}), model, optimizer)
    damage(tmp_path / name)
    with pytest.raises(DataError, match=rf"(?s)is damaged .*the folder {re.escape(str(tmp_path))} to train"):
        load_state(tmp_path, model, optimizer)


def test_a_checkpoint_of_another_model_is_no_damaged_one(tiny_model, tmp_path):
    model, optimizer = trained(tiny_model)
    save_state(tmp_path, PhaseState(1, {}), model, optimizer)
    with pytest.raises(MismatchError, match="is of another model"):
        load_state(tmp_path, *trained(tiny_model, num_hidden_layers=2))
