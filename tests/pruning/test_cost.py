"""Costs by formula against what torch counts, and the arithmetic of the paper's percentages."""

from __future__ import annotations

import json

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from sprint_eval.heads import HeadLayout, HeadSet
from sprint_eval.pruning.cost import (
    Cost,
    active_parameters,
    cost_of,
    head_share,
    reductions,
    training_flops,
)
from sprint_eval.pruning.schedule import lowest_heads
from sprint_eval.pruning.surgery import cut


@torch.no_grad()
def counted_decode_flops(model, context: int) -> int:
    """What torch counts for one token that sees ``context`` positions."""
    cache = model(torch.ones(1, context - 1, dtype=torch.long), use_cache=True).past_key_values
    with FlopCounterMode(display=False) as counter:
        model(torch.ones(1, 1, dtype=torch.long), past_key_values=cache, use_cache=True)
    return counter.get_total_flops()


@pytest.mark.parametrize("heads", ["base", "L0H1+L1H2+L1H3+L2H0+L2H3"])
def test_decode_flops_are_what_torch_counts(tiny_model, heads):
    model = tiny_model("llama", attn_implementation="eager", max_position_embeddings=2048)
    if heads != "base":
        cut(model, HeadSet.parse(heads))
    for context in (256, 1024):
        assert counted_decode_flops(model, context) == cost_of(model).decode_flops[context]


@pytest.mark.parametrize(
    ("kind", "shape", "heads"),
    [
        ("mistral", {"sliding_window": 300}, "L0H1+L1H2"),
        ("gemma3_text", {"sliding_window": 300}, "L0H0+L1H2+L2H3"),
        ("mixtral", {"sliding_window": None}, "L1H2"),
        ("qwen3_moe", {}, "L1H2"),
    ],
)
def test_windows_and_idle_experts_cost_nothing(tiny_model, kind, shape, heads):
    model = tiny_model(kind, attn_implementation="eager", max_position_embeddings=2048, **shape)
    if "moe" in kind or kind == "mixtral":
        model.set_experts_implementation("eager")  # grouped products are none that torch counts
    for gone in (None, heads):
        if gone is not None:
            cut(model, HeadSet.parse(gone))
        for context in (256, 1024):
            counted = counted_decode_flops(model, context)
            assert counted == pytest.approx(cost_of(model).decode_flops[context], rel=2e-3)
    if kind == "mistral":
        assert cost_of(model).cache_bytes[1024] == 300 * sum(cost_of_kv(model)) * 2 * 16 * 4
    total = sum(p.numel() for p in model.parameters())
    assert (active_parameters(model) < 0.8 * total) == (kind in ("mixtral", "qwen3_moe"))


def cost_of_kv(model) -> list[int]:
    """Key/value heads of each layer, from the shapes of its weights."""
    return [layer.self_attn.k_proj.out_features // 16 for layer in model.model.layers]


def test_parameters_and_cache_of_a_cut_model(tiny_model):
    base = tiny_model("llama")
    before, model = cost_of(base), cut(tiny_model("llama"), HeadSet.parse("L0H1+L1H2+L1H3"))
    after = cost_of(model)
    assert (before.heads, after.heads, before.key_value_heads, after.key_value_heads) == (12, 9, 6, 5)
    removed = 3 * 2 * 16 * 32 + 2 * 16 * 32  # three query heads, one key/value head
    assert before.parameters - after.parameters == removed
    assert before.attention_parameters - after.attention_parameters == removed
    assert after.weight_bytes == sum(
        t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers())
    )
    assert after.cache_bytes[1024] == 1024 * 5 * 2 * 16 * 4
    assert Cost.from_dict(json.loads(json.dumps(after.to_dict()))) == after
    reduced = reductions(before, after)
    assert reduced["heads"] == pytest.approx(25)
    assert reduced["cache_bytes@256"] == pytest.approx(100 / 6)


def smollm2_shape():
    """SmolLM2-135M without weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=49152, hidden_size=576, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3,
        intermediate_size=1536, tie_word_embeddings=True, pad_token_id=0,
    )  # fmt: skip
    with torch.device("meta"):
        return LlamaForCausalLM(config)


def test_thirty_percent_of_smollm2s_heads():
    base = smollm2_shape()
    before = cost_of(base)
    assert before.parameters == 134_515_008
    # One head of three in every group: no key/value head goes.
    scores = torch.arange(270).remainder(3).double().numpy()
    heads = lowest_heads(scores, HeadLayout.uniform(30, 9), 81)
    after = cost_of(cut(smollm2_shape(), heads))
    reduced = reductions(before, after)
    assert after.heads == 189
    assert reduced["key_value_heads"] == 0
    assert reduced["parameters"] == pytest.approx(4.44, abs=0.01)
    assert reduced["decode_flops@1024"] == pytest.approx(9.77, abs=0.01)
    share = head_share(base)
    assert 0.3 * share["parameters"] == pytest.approx(reduced["parameters"], abs=1e-9)
    assert 0.3 * share["decode_flops@1024"] == pytest.approx(reduced["decode_flops@1024"], abs=1e-9)


def test_training_flops():
    assert training_flops(10, 3) == 180
    assert training_flops(10, 3, 3, 2) == 180 + 60 + 40
