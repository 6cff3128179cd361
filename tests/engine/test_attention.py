"""Layers that have lost heads, whose groups of any sizes share as even ones do; and how prefixes are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from toy import make_engine, make_requests, one_by_one, tokens

from sprint_eval.engine import attention, probe
from sprint_eval.heads import HeadSet
from sprint_eval.pruning.surgery import cut

# 4 query heads over 2 key/value heads: groups (1, 2), one key/value head, and (2, 1).
UNEVEN = HeadSet.parse("L0H1+L1H2+L1H3+L2H2")
HEADS = ["base", "L0H1", "L1H0", "L0H2+L2H0", "L2H2", "L1H1"]


@pytest.mark.parametrize("model_type", ["llama", "qwen2", "qwen3", "mistral", "gemma2", "gemma3_text", "phi"])
def test_uneven_groups_share(model_type: str, tiny_model: Callable[..., Any]) -> None:
    windowed = {"sliding_window": 6} if model_type in ("mistral", "gemma2", "gemma3_text") else {}
    model, requests = tiny_model(model_type, seed=2, **windowed), make_requests(heads=HEADS)
    whole = [one_by_one(model, request) for request in requests]
    cut(model, UNEVEN)
    engine = make_engine(model)
    answers = tokens(engine.generate(requests))
    assert answers == [one_by_one(model, request) for request in requests]
    assert answers != whole, "what is gone must matter"
    assert engine.why_plain() is None
    assert engine.counters.layers_skipped > 0
    assert engine.counters.accepted_tokens > 0


def test_a_layer_without_attention_shares(tiny_model: Callable[..., Any]) -> None:
    model, requests = tiny_model("llama", seed=2), make_requests(heads=["base", "L0H1", "L2H0"])
    cut(model, HeadSet.parse("L0H1+L1H0+L1H1+L1H2+L1H3"), allow_empty_layers=True)
    engine = make_engine(model)
    assert tokens(engine.generate(requests)) == [one_by_one(model, request) for request in requests]
    assert engine.why_plain() is None


def test_a_wrong_place_in_the_grid_is_seen(tiny_model: Callable[..., Any]) -> None:
    model = tiny_model("llama", seed=2)
    cut(model, UNEVEN)
    index = model.model.layers[2].self_attn.kv_index
    assert probe.why_unsafe(model) is None
    index._tensors["places", torch.device("cpu")] = torch.tensor([0, 2, 1])  # they are 0, 1, 2
    assert "differ" in str(probe.why_unsafe(model))


@pytest.mark.parametrize("by_head", [True, False])
def test_a_prefix_is_kept_as_a_copy_in_either_layout(by_head: bool) -> None:
    packed = torch.randn(5, 6, 4)  # as they come: strided parts of one projection
    key, value = packed[:, :3], packed[:, 3:]
    kept = attention._copy_to_keep(key, value, by_head)
    assert torch.equal(kept, torch.stack((key, value), 1))
    assert kept[:, 0, 1].stride(0) == (4 if by_head else 24)
    packed.zero_()
    assert kept.any(), "a copy"
