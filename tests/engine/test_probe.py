"""The trial run before anything is shared: it must pass what works and see what does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from sprint_eval.engine import probe
from sprint_eval.engine.attention import LayerAttention

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


@pytest.mark.parametrize("dtype", DTYPES[1:])
@pytest.mark.parametrize("model_type", ["llama", "qwen3", "gemma2", "gpt2", "mixtral"])
def test_a_model_that_shares_passes_in_any_dtype(
    model_type: str, dtype: torch.dtype, tiny_model: Callable[..., Any]
) -> None:
    assert probe.why_unsafe(tiny_model(model_type).to(dtype)) is None


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("fault", ["no mask", "another head", "no prefix", "no numbers"])
def test_faults_are_seen_in_any_dtype(
    fault: str, dtype: torch.dtype, tiny_model: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def another(self: LayerAttention, stage: Any, output: torch.Tensor) -> None:
        places, heads = stage.pruned
        if self.layer == stage.layer:
            output[places, (heads + 1) % output.shape[1]] = 0.0

    if fault == "no prefix":
        monkeypatch.setattr(LayerAttention, "_with_prefix", lambda self, k, s, q, own, w: own)
    elif fault == "no numbers":
        monkeypatch.setattr(LayerAttention, "_with_prefix", lambda self, k, s, q, own, w: own * float("nan"))
    else:
        prune = another if fault == "another head" else lambda self, stage, output: None
        monkeypatch.setattr(LayerAttention, "_prune", prune)
    assert probe.why_unsafe(tiny_model("llama").to(dtype)) is not None


def test_a_mask_that_does_nothing_is_seen_on_the_real_model(
    smollm2: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One head of SmolLM2 moves its bfloat16 logits by less than rounding may."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(smollm2, dtype=torch.bfloat16).eval()
    assert probe.why_unsafe(model) is None
    monkeypatch.setattr(LayerAttention, "_prune", lambda self, stage, output: None)
    reason = probe.why_unsafe(model)
    assert reason is not None
    assert "less than" in reason or "more than" in reason


@pytest.mark.parametrize(("variant", "safe"), [(-1, True), (0, False), (1, False)])
def test_rounding_may_grow_where_half_of_all_heads_are_gone(
    variant: int, safe: bool, tiny_model: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model("llama").to(torch.bfloat16)
    shared = probe._shared_logits(model, probe._variants(model))
    off = torch.zeros_like(shared[0])
    off[0] = 0.11 * shared.abs().max()  # just over what is allowed
    assert off.norm() < 0.5 * (shared[-1] - shared[0]).norm()
    shared[variant] += off
    monkeypatch.setattr(probe, "_shared_logits", lambda *given: shared)
    assert (probe.why_unsafe(model) is None) == safe
    plain = probe._plain_logits(model, probe._variants(model))
    shared[variant] = plain[0] if variant else plain[-1]  # what was pruned, or not, makes no difference
    assert probe.why_unsafe(model) is not None
