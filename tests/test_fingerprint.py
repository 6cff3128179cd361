"""A fingerprint follows what a model computes, not how it was loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from sprint_eval.fingerprint import model_fingerprint


def test_it_survives_saving_and_another_dtype(tiny_model: Callable[..., Any], tmp_path: Any) -> None:
    from transformers import AutoModelForCausalLM

    model = tiny_model("llama").to(torch.bfloat16).float()
    model.save_pretrained(tmp_path)
    fingerprint = model_fingerprint(model)
    for dtype in (torch.float32, torch.bfloat16):
        assert model_fingerprint(AutoModelForCausalLM.from_pretrained(tmp_path, dtype=dtype)) == fingerprint


def test_it_tells_weights_and_configs_apart(tiny_model: Callable[..., Any]) -> None:
    model = tiny_model("llama")
    seen = {model_fingerprint(model), model_fingerprint(tiny_model("llama", seed=1))}
    seen.add(model_fingerprint(tiny_model("mistral")))
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3, 5] += 1.0
    seen.add(model_fingerprint(model))
    assert len(seen) == 4
