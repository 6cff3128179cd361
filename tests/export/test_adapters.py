"""Exported adapters, loaded by stock peft, give the masked model's logits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sprint_eval.architectures import ARCHITECTURES
from sprint_eval.errors import ArgumentError, HeadError, UnsupportedModelError
from sprint_eval.export import VLLM_RANKS, adapter_name, export_heads, plan_adapter, vllm_rank
from sprint_eval.heads import Head, HeadSet
from sprint_eval.masking import HeadMasker

ONE = HeadSet.parse("L1H2")
WITHIN = HeadSet.parse("L2H0+L2H3")
ACROSS = HeadSet.parse("L0H1+L1H0+L1H3")
SETS = [ONE, WITHIN, ACROSS]
# gemma3's text model is a part of a larger config.
NESTED: dict[str, dict[str, Any]] = {
    "gemma3": {
        "text_config": {
            "vocab_size": 64,
            "hidden_size": 32,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "intermediate_size": 48,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        },
        "vision_config": {
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 28,
            "patch_size": 14,
        },
        "image_token_id": 62,
        "image_token_index": 62,
        "boi_token_index": 61,
        "eoi_token_index": 60,
        "mm_tokens_per_image": 4,
    }
}


def _ids() -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.randint(3, 60, (4, 9), generator=generator)


def _masked(model: Any, ids: torch.Tensor, rows: list[HeadSet]) -> torch.Tensor:
    with torch.no_grad(), HeadMasker(model).rows(rows):
        return model(input_ids=ids).logits


def _with_adapters(model: Any, folder: Path, sets: list[HeadSet]) -> Any:
    from peft import PeftModel

    first, *others = [adapter_name(heads) for heads in sets]
    loaded = PeftModel.from_pretrained(model, folder / first, adapter_name=first)
    for name in others:
        loaded.load_adapter(folder / name, adapter_name=name)
    return loaded.eval()


@pytest.mark.parametrize("model_type", sorted(ARCHITECTURES))
def test_adapters_equal_masks_in_every_architecture(
    model_type: str, tiny_model: Callable[..., Any], tmp_path: Path
) -> None:
    model, ids = tiny_model(model_type, **NESTED.get(model_type, {})), _ids()
    base = _masked(model, ids, [HeadSet()] * 4)
    masked = {heads: _masked(model, ids, [heads] * 4) for heads in SETS}
    rows = [ONE, HeadSet(), ACROSS, WITHIN]
    mixed = _masked(model, ids, rows)
    export_heads(model, SETS, tmp_path, model_name="tiny", say=lambda line: None)

    loaded = _with_adapters(model, tmp_path, SETS)
    with torch.no_grad():
        for heads in SETS:
            loaded.set_adapter(adapter_name(heads))
            logits = loaded(input_ids=ids).logits
            assert (logits - masked[heads]).abs().max() < 1e-5
            # The test shows nothing if pruning moves nothing.
            assert (logits - base).abs().max() > 1e-2
        names = [adapter_name(heads) if heads else "__base__" for heads in rows]
        together = loaded(input_ids=ids, adapter_names=names).logits
    assert (together - mixed).abs().max() < 1e-5
    assert (together[1] - base[1]).abs().max() < 1e-5


def test_ranks_are_summed_within_a_layer_and_padded(tiny_model: Callable[..., Any]) -> None:
    model = tiny_model("llama", head_dim=12)
    exact, padded = plan_adapter(model, ACROSS, pad=False), plan_adapter(model, ACROSS)
    assert [part.rank for part in exact.parts] == [12, 24]
    assert [part.rank for part in padded.parts] == [16, 32]
    config = padded.config("base")
    assert config["r"] == config["lora_alpha"] == 32
    assert config["rank_pattern"] == config["alpha_pattern"] == {"model.layers.0.self_attn.o_proj": 16}
    # One head takes rank 16 in layers of o_proj 48 -> 32: A is [16, 48], B is [32, 16], four bytes each.
    assert plan_adapter(model, ONE).num_bytes == 16 * (48 + 32) * 4


def test_padding_adds_zeros_only(tiny_model: Callable[..., Any]) -> None:
    from sprint_eval.architectures import attention_layout

    model = tiny_model("llama", head_dim=12)
    weights = plan_adapter(model, ONE).tensors(attention_layout(model))
    a = weights["base_model.model.model.layers.1.self_attn.o_proj.lora_A.weight"]
    b = weights["base_model.model.model.layers.1.self_attn.o_proj.lora_B.weight"]
    assert a.shape == (16, 48)
    assert b.shape == (32, 16)
    assert not a[12:].any()
    assert not b[:, 12:].any()
    weight = model.model.layers[1].self_attn.o_proj.weight
    pruned = weight.detach().clone()
    pruned[:, 24:36] = 0.0
    assert torch.equal(weight + b @ a, pruned)


def test_the_null_adapter_changes_nothing(tiny_model: Callable[..., Any], tmp_path: Path) -> None:
    model, ids = tiny_model("gpt2"), _ids()
    base = _masked(model, ids, [HeadSet()] * 4)
    export_heads(model, [ONE], tmp_path, model_name="tiny", say=lambda line: None)
    loaded = _with_adapters(model, tmp_path, [HeadSet(), ONE])
    with torch.no_grad():
        logits = loaded(input_ids=ids, adapter_names=["base"] * 4).logits
        assert torch.equal(logits, loaded(input_ids=ids, adapter_names=["__base__"] * 4).logits)
        assert (logits - base).abs().max() < 1e-5


def test_a_cut_layer_and_a_long_set(tiny_model: Callable[..., Any], tmp_path: Path) -> None:
    from sprint_eval.architectures import attention_layout

    model = tiny_model("llama", num_hidden_layers=12)
    every = HeadSet(tuple(attention_layout(model).heads.heads()))
    name = adapter_name(every)
    assert len(name) < 100
    assert name != adapter_name(HeadSet(every.heads[1:]))
    ids = _ids()
    wanted = _masked(model, ids, [every] * 4)
    export_heads(model, [every], tmp_path, model_name="tiny", say=lambda line: None)
    manifest = json.loads((tmp_path / "heads.json").read_text())
    assert manifest["adapters"][0]["heads"] == str(every)
    with torch.no_grad():
        assert (_with_adapters(model, tmp_path, [every])(input_ids=ids).logits - wanted).abs().max() < 1e-5


def test_bfloat16_columns_are_exact(tiny_model: Callable[..., Any]) -> None:
    from sprint_eval.architectures import attention_layout

    model = tiny_model("llama").to(torch.bfloat16)
    layout = attention_layout(model)
    weights = plan_adapter(model, ONE).tensors(layout)
    b = next(value for name, value in weights.items() if "lora_B" in name)
    assert b.dtype == torch.bfloat16
    assert torch.equal(-b, layout.outputs[1].weight[:, 32:48])  # type: ignore[union-attr,index]


class Int8Linear(torch.nn.Linear):
    """A packed projection: int8 weights with a scale a row, as weight-only quantizers keep them."""

    def __init__(self, plain: torch.nn.Linear) -> None:
        super().__init__(plain.in_features, plain.out_features, bias=plain.bias is not None)
        self.scale = plain.weight.detach().abs().amax(1, keepdim=True) / 127
        packed = (plain.weight.detach() / self.scale).round().to(torch.int8)
        self.weight = torch.nn.Parameter(packed, requires_grad=False)
        if plain.bias is not None:
            self.bias = torch.nn.Parameter(plain.bias.detach().clone())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(x, self.weight.to(x.dtype) * self.scale.to(x.dtype), self.bias)


def test_packed_weights_are_asked_for_their_columns(tiny_model: Callable[..., Any], tmp_path: Path) -> None:
    model, ids = tiny_model("llama", attention_bias=True), _ids()
    for layer in model.model.layers:
        torch.nn.init.normal_(layer.self_attn.o_proj.bias)
        layer.self_attn.o_proj = Int8Linear(layer.self_attn.o_proj)
    wanted = _masked(model, ids, [ACROSS] * 4)
    export_heads(model, [ACROSS], tmp_path, model_name="tiny", say=lambda line: None)
    with torch.no_grad():
        assert (_with_adapters(model, tmp_path, [ACROSS])(input_ids=ids).logits - wanted).abs().max() < 1e-5


class Clipped(torch.nn.Linear):
    """Not linear in its input: no adapter can stand for its columns."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.clamp(-1.0, 1.0))


def test_projections_that_no_adapter_fits_are_refused(tiny_model: Callable[..., Any], tmp_path: Path) -> None:
    model = tiny_model("llama")
    model.model.layers[1].self_attn.o_proj = Clipped(64, 32, bias=False)
    with pytest.raises(UnsupportedModelError, match="Clipped output projection is not linear"):
        export_heads(model, [ONE], tmp_path, model_name="tiny", say=lambda line: None)
    model = tiny_model("llama")
    model.model.layers[2].self_attn.o_proj = model.model.layers[1].self_attn.o_proj
    with pytest.raises(UnsupportedModelError, match="layers 1 and 2 share one output projection"):
        plan_adapter(model, ONE)


def test_unknown_architectures_and_adapted_models_are_refused(tiny_model: Callable[..., Any]) -> None:
    from peft import LoraConfig, get_peft_model

    model = tiny_model("llama")
    with pytest.raises(ArgumentError, match="needs no adapter"):
        plan_adapter(model, HeadSet())
    with pytest.raises(HeadError, match="L3H0"):
        plan_adapter(model, HeadSet.of(Head(3, 0)))
    with pytest.raises(UnsupportedModelError, match="already carries an adapter"):
        plan_adapter(get_peft_model(model, LoraConfig(target_modules=["q_proj"])), ONE)
    model = tiny_model("llama")
    model.config.model_type = "bloom"
    with pytest.raises(UnsupportedModelError, match="'bloom' is not supported"):
        plan_adapter(model, ONE)


def test_vllm_ranks() -> None:
    assert [vllm_rank(rank) for rank in (1, 2, 64, 80, 257, 512)] == [1, 8, 64, 128, 320, 512]
    assert vllm_rank(VLLM_RANKS[-1] + 1) is None
