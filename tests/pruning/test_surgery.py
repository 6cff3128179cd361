"""Cut models against masked ones, and what cannot be cut."""

from __future__ import annotations

import pytest
import torch

from sprint_eval.architectures import attention_layout
from sprint_eval.errors import ArgumentError, HeadError, MismatchError, UnsupportedModelError
from sprint_eval.heads import HeadSet
from sprint_eval.masking import HeadMasker
from sprint_eval.pruning.attention import expand_heads
from sprint_eval.pruning.removed import Removed
from sprint_eval.pruning.surgery import SkippedAttention, cut

# 4 query heads over 2 key/value heads: layer 0 keeps groups (1, 2), layer 1 loses a key/value head,
# layer 2 keeps (1, 1).
UNEVEN = HeadSet.parse("L0H1+L1H2+L1H3+L2H0+L2H3")
EXACT = ["llama", "qwen2", "qwen3", "mistral", "gemma", "gemma3_text", "granite", "cohere", "olmo"]
EXACT += ["opt", "phi", "smollm3", "stablelm", "starcoder2", "mixtral", "qwen2_moe", "qwen3_moe"]
EXTRA = {
    "mistral": {"sliding_window": 4},
    "gemma2": {"sliding_window": 4},
    "gemma3_text": {"sliding_window": 4},
}


def padded_batch() -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.tensor([[3, 4, 5, 6, 7, 8, 9], [0, 0, 5, 9, 11, 3, 4]])
    return ids, (ids != 0).long()


def through_cache(model, ids, mask, first: int = 4) -> torch.Tensor:
    """Logits by a prefill of ``first`` tokens, then two at once, then one at a time."""
    parts, cache, start = [], None, 0
    for stop in [first, first + 2, *range(first + 3, ids.shape[1] + 1)]:
        out = model(ids[:, start:stop], attention_mask=mask[:, :stop], past_key_values=cache, use_cache=True)
        cache, start = out.past_key_values, stop
        parts.append(out.logits)
    return torch.cat(parts, dim=1)


@torch.no_grad()
def masked_and_cut(model, heads: HeadSet, **kwargs):
    ids, mask = padded_batch()
    with HeadMasker(model).every_row(heads):
        masked = [
            model(ids, attention_mask=mask).logits,
            through_cache(model, ids, mask),
            model(ids[:1]).logits,
        ]
    base = model(ids, attention_mask=mask).logits
    cut(model, heads, **kwargs)
    ours = [model(ids, attention_mask=mask).logits, through_cache(model, ids, mask), model(ids[:1]).logits]
    real = mask.bool()
    assert (base - masked[0])[real].abs().max() > 1e-3  # the heads mattered
    return [
        float((a - b)[real if a.shape[0] == 2 else slice(None)].abs().max())
        for a, b in zip(masked, ours, strict=True)
    ]


@pytest.mark.parametrize("model_type", EXACT)
def test_cut_model_computes_what_the_masked_one_does(tiny_model, model_type):
    model = tiny_model(model_type, **EXTRA.get(model_type, {})).double()
    if model_type in ("mixtral", "qwen2_moe", "qwen3_moe"):
        model.set_experts_implementation("eager")  # the grouped one knows no float64
    before = sum(parameter.numel() for parameter in model.parameters())
    assert max(masked_and_cut(model, UNEVEN)) < 1e-9
    assert attention_layout(model).heads.heads_per_layer == (3, 2, 2)
    assert sum(parameter.numel() for parameter in model.parameters()) < before
    assert model.config.sprint_pruning["removed_heads"] == {"0": [1], "1": [2, 3], "2": [0, 3]}


@pytest.mark.parametrize("model_type", ["llama", "gemma2"])
def test_eager_attention_too(tiny_model, model_type):
    # In float32: transformers' own eager masks overflow in float64. Gemma 2 caps its scores.
    model = tiny_model(model_type, attn_implementation="eager", **EXTRA.get(model_type, {}))
    assert max(masked_and_cut(model, UNEVEN)) < 1e-4
    assert model.config._attn_implementation == "sprint_cut_eager"
    maps = model(padded_batch()[0], output_attentions=True).attentions
    assert [tuple(layer.shape[1:]) for layer in maps] == [(3, 7, 7), (2, 7, 7), (2, 7, 7)]


@pytest.mark.parametrize("empty", [0, 2])
@pytest.mark.parametrize("model_type", ["llama", "qwen2", "gemma3_text", "opt"])
def test_a_layer_without_heads_skips_attention(tiny_model, model_type, empty):
    model = tiny_model(model_type).double()
    heads = HeadSet.parse("+".join(f"L{empty}H{h}" for h in range(4)) + "+L1H0")
    assert max(masked_and_cut(model, heads, allow_empty_layers=True)) < 1e-9
    layout = attention_layout(model)
    assert isinstance(layout.attentions[empty], SkippedAttention)
    assert layout.heads.heads_per_layer[empty] == 0


def test_generation_of_a_padded_batch_equals_the_masked_models(tiny_model):
    model = tiny_model("llama").double()
    ids, mask = padded_batch()
    settings = {"attention_mask": mask, "max_new_tokens": 12, "do_sample": False, "eos_token_id": None}
    with HeadMasker(model).every_row(UNEVEN):
        expected = model.generate(ids, **settings)
    assert not torch.equal(model.generate(ids, **settings), expected)
    assert torch.equal(cut(model, UNEVEN).generate(ids, **settings), expected)


def test_cutting_twice_is_cutting_once(tiny_model):
    ids, _ = padded_batch()
    once = cut(tiny_model("llama").double(), HeadSet.parse("L0H0+L0H1+L2H3"))
    twice = cut(cut(tiny_model("llama").double(), HeadSet.parse("L0H1")), HeadSet.parse("L0H0+L2H3"))
    assert torch.equal(once(ids).logits, twice(ids).logits)
    assert once.config.sprint_pruning == twice.config.sprint_pruning
    assert str(Removed.of_config(twice.config).heads) == "L0H0+L0H1+L2H3"


def test_neurons_go_too(tiny_model):
    model = tiny_model("llama").double()
    ids, _ = padded_batch()
    removed = {0: [1, 5, 40], 2: [0]}
    with torch.no_grad():
        for layer, indices in removed.items():
            model.model.layers[layer].mlp.down_proj.weight[:, indices] = 0
    expected = model(ids).logits
    cut(model, neurons=removed)
    assert (model(ids).logits - expected).abs().max() < 1e-12
    assert [layer.mlp.up_proj.out_features for layer in model.model.layers] == [45, 48, 47]
    assert model.config.sprint_pruning["removed_neurons"] == {"0": 3, "2": 1}


def test_gradients_flow_through_a_cut_model(tiny_model):
    model = cut(tiny_model("llama"), UNEVEN)
    model(padded_batch()[0]).logits.square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("model_type", "message"),
    [
        ("olmo2", r"'olmo2' normalises all heads of a layer together \(q_norm\)"),
        ("gpt2", "'gpt2' fuses them"),
        ("phi3", "'phi3' fuses them"),
        ("gpt_neox", "'gpt_neox' fuses them"),
        ("gptj", "'gptj' has its own"),
    ],
)
def test_what_cannot_be_cut_is_refused_by_name(tiny_model, model_type, message):
    model = tiny_model(model_type)
    before = {name: parameter.shape for name, parameter in model.named_parameters()}
    with pytest.raises(UnsupportedModelError, match=message):
        cut(model, UNEVEN)
    assert {name: parameter.shape for name, parameter in model.named_parameters()} == before


def test_wrong_heads_and_empty_layers_are_refused(tiny_model):
    model = tiny_model("llama")
    with pytest.raises(HeadError, match="heads 0 to 3"):
        cut(model, HeadSet.parse("L0H4"))
    with pytest.raises(ArgumentError, match="layer 1 would lose all of its 4 heads"):
        cut(model, HeadSet.parse("L1H0+L1H1+L1H2+L1H3"))
    with pytest.raises(ArgumentError, match="48 neurons cannot go from a layer of 48"):
        cut(model, neurons={0: range(48)})


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"schema_version": 1, "removed_heads": {"9": [0]}}, "layers 0 to 2"),
        ({"schema_version": 1, "removed_heads": {"0": [7]}}, "heads 0 to 3"),
        ({"schema_version": 2, "removed_heads": {}}, "format 2"),
        ({"removed_heads": {}}, "cannot be read"),
        ([1], "cannot be read"),
        ({"schema_version": 1, "removed_heads": {}, "removed_neurons": {"0": 48}}, "48 neurons"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(tiny_model, field, message):
    config = tiny_model("llama").config
    config.sprint_pruning = field
    with pytest.raises(MismatchError, match=message):
        Removed.of_config(config)


def test_expand_heads_repeats_each_key_value_head(tiny_model):
    model = cut(tiny_model("llama"), UNEVEN)
    states = torch.arange(2.0).view(1, 2, 1, 1)
    assert expand_heads(model.model.layers[0].self_attn, states, 3).flatten().tolist() == [0, 1, 1]
    assert expand_heads(tiny_model("llama").model.layers[0].self_attn, states, 4).flatten().tolist() == [
        0,
        0,
        1,
        1,
    ]
