"""Which layers become int8, and that outliers do no harm."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from sprint_eval.pruning import quantize
from sprint_eval.pruning.quantize import quantize_linear, stored_bytes

DYNAMIC = torch.ao.nn.quantized.dynamic.Linear


def kinds(model: Any) -> dict[str, set[bool]]:
    """By the last part of a linear layer's name: whether it is int8."""
    found: dict[str, set[bool]] = {}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear | DYNAMIC):
            found.setdefault(name.rpartition(".")[2], set()).add(isinstance(module, DYNAMIC))
    return found


def test_all_but_the_last_feed_forward_projection_is_int8(tiny_model: Any) -> None:
    model = tiny_model("llama")
    before = stored_bytes(model)
    quantize_linear(model)
    names = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "lm_head")
    assert kinds(model) == {name: {True} for name in names} | {"down_proj": {False}}
    assert stored_bytes(model) < before


@torch.no_grad()
def test_values_far_apart_before_that_projection_do_no_harm(
    tiny_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model("llama")
    for layer in model.model.layers:  # one neuron far above the rest, that hardly counts
        layer.mlp.up_proj.weight[0] *= 1e5
        layer.mlp.down_proj.weight[:, 0] *= 1e-5
    ids = torch.randint(0, 60, (2, 24), generator=torch.Generator().manual_seed(0))
    expected = model(ids).logits

    def error(quantized: Any) -> float:
        return float((quantized(ids).logits - expected).norm() / expected.norm())

    kept = error(quantize_linear(copy.deepcopy(model)))
    monkeypatch.setattr(quantize, "STAYS_FLOAT", ())
    assert kept < 0.3 * error(quantize_linear(copy.deepcopy(model)))
