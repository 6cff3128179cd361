"""Masking a head is zeroing its columns of the output projection, row by row."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch

from sprint_eval.architectures import ARCHITECTURES, attention_layout, head_layout_of_config
from sprint_eval.errors import HeadError, UnsupportedModelError
from sprint_eval.heads import HeadSet
from sprint_eval.masking import HeadMasker

MODEL_TYPES = sorted(ARCHITECTURES)
SETS = [HeadSet.parse(text) for text in ("L1H2", "base", "L0H0+L2H3", "L2H1")]


def zeroed(model: Any, heads: HeadSet) -> Any:
    cut = copy.deepcopy(model)
    layout = attention_layout(cut)
    with torch.no_grad():
        for head in heads:
            projection: Any = layout.outputs[head.layer]
            weight = projection.weight.T if layout.architecture.conv1d else projection.weight
            weight[:, head.head * layout.head_dim : (head.head + 1) * layout.head_dim] = 0.0
    return cut


def logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(ids).logits


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_every_row_of_a_mixed_batch_is_its_own_cut_model(
    model_type: str, tiny_model: Callable[..., Any]
) -> None:
    model = tiny_model(model_type)
    ids = torch.randint(3, 64, (1, 9), generator=torch.Generator().manual_seed(1)).expand(len(SETS), -1)
    with HeadMasker(model).rows(SETS):
        mixed = logits(model, ids)
    solos = [logits(zeroed(model, heads), ids[:1])[0] for heads in SETS]
    for row, solo in zip(mixed, solos, strict=True):
        torch.testing.assert_close(row, solo, rtol=1e-5, atol=1e-5)
    for i in range(len(solos)):
        for j in range(i):
            assert (solos[i] - solos[j]).abs().max() > 1e-3, "the masks must do something, each its own"
    torch.testing.assert_close(logits(model, ids[:1])[0], solos[1])


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_the_config_states_the_layout_of_the_model(model_type: str, tiny_model: Callable[..., Any]) -> None:
    model = tiny_model(model_type)
    assert head_layout_of_config(model.config) == attention_layout(model).heads


def test_one_head_set_for_all_rows_and_nothing_left_behind(tiny_model: Callable[..., Any]) -> None:
    model = tiny_model("llama")
    ids = torch.randint(3, 64, (3, 5), generator=torch.Generator().manual_seed(2))
    before = logits(model, ids)
    with HeadMasker(model).every_row(SETS[0]):
        inside = logits(model, ids)
    torch.testing.assert_close(inside, logits(zeroed(model, SETS[0]), ids), rtol=1e-5, atol=1e-5)
    assert torch.equal(logits(model, ids), before)


def test_a_pruned_head_is_zero_even_where_it_was_not_finite(tiny_model: Callable[..., Any]) -> None:
    model = tiny_model("llama")
    layer = attention_layout(model).attentions[1]
    with torch.no_grad():
        layer.v_proj.weight[:16] = float("inf")  # type: ignore[union-attr, index]
    ids = torch.tensor([[5, 9, 11]])
    with HeadMasker(model).every_row(HeadSet.parse("L1H0+L1H1")):
        assert logits(model, ids).isfinite().all()


def test_masks_for_another_number_of_rows_are_refused(tiny_model: Callable[..., Any]) -> None:
    model = tiny_model("llama")
    refused = pytest.raises(HeadError, match="masks for 2 rows met a batch of 3")
    with refused, HeadMasker(model).rows(SETS[:2]):
        logits(model, torch.ones(3, 4, dtype=torch.long))


def test_a_head_out_of_range_is_refused_before_any_forward(tiny_model: Callable[..., Any]) -> None:
    masker = HeadMasker(tiny_model("llama"))
    refused = pytest.raises(HeadError, match="L1H4: layer 1 of the model has heads 0 to 3")
    with refused, masker.every_row(HeadSet.parse("L1H4")):
        pass


def test_an_unsupported_architecture_names_those_supported(tiny_model: Callable[..., Any]) -> None:
    model = tiny_model("llama")
    model.config.model_type = "lama"
    with pytest.raises(
        UnsupportedModelError, match=r"'lama' is not supported \(did you mean 'llama'\?\).*qwen2"
    ):
        HeadMasker(model)


def test_a_peft_adapter_keeps_its_masks(tiny_model: Callable[..., Any]) -> None:
    from peft import LoraConfig, get_peft_model

    plain = tiny_model("llama")
    ids = torch.tensor([[5, 9, 11, 20]])
    wrapped = get_peft_model(
        plain, LoraConfig(r=2, target_modules=["o_proj"], init_lora_weights=False)
    ).eval()
    unmasked = logits(wrapped, ids)
    with HeadMasker(wrapped).every_row(SETS[0]):
        masked = logits(wrapped, ids)
    assert (masked - unmasked).abs().max() > 1e-3
    merged = wrapped.merge_and_unload()
    with HeadMasker(merged).every_row(SETS[0]):
        torch.testing.assert_close(masked, logits(merged, ids), rtol=1e-4, atol=1e-4)
