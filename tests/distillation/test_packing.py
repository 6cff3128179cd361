"""Packed texts against the same texts one by one."""

from __future__ import annotations

import pytest
import torch

from sprint_eval.distillation.data import TrainingText, pack
from sprint_eval.distillation.packing import Packing, packed_attention
from sprint_eval.heads import HeadSet
from sprint_eval.masking import HeadMasker

TYPES = ["llama", "qwen2", "qwen3", "mistral", "gemma", "gemma2", "gemma3_text", "granite", "cohere", "olmo"]
TYPES += ["opt", "phi", "smollm3", "stablelm", "starcoder2", "mixtral", "qwen2_moe", "qwen3_moe"]
WINDOWED = ("mistral", "gemma2", "gemma3_text")


@pytest.fixture
def batch():
    return pack(
        [
            TrainingText((1, 5, 6, 7, 9, 11), (8, 9, 2), "a"),
            TrainingText((3,), (4,), "b"),
            TrainingText((5, 6, 12), (9, 2), "c"),
        ]
    )


def packed_forward(model, batch, maps: bool):
    with packed_attention([model], maps):
        return model(
            input_ids=batch.input_ids,
            position_ids=batch.position_ids,
            use_cache=False,
            output_attentions=maps,
            sprint_packing=Packing(batch.lengths),
        )


def test_a_packed_batch_names_the_tokens_that_predict_answers(batch):
    assert batch.input_ids.tolist() == [[1, 5, 6, 7, 9, 11, 8, 9, 2, 3, 4, 5, 6, 12, 9, 2]]
    assert batch.position_ids.tolist() == [[*range(9), 0, 1, *range(5)]]
    assert batch.lengths.tolist() == [9, 2, 5]
    assert batch.labels.tolist() == [[8, 9, 2, 4, 9, 2]]
    assert batch.input_ids[0, batch.answers + 1].tolist() == batch.labels[0].tolist()


@pytest.mark.parametrize("maps", [True, False])
@pytest.mark.parametrize("model_type", TYPES)
def test_packed_texts_do_not_see_each_other(tiny_model, batch, model_type, maps):
    extra = {"sliding_window": 4} if model_type in WINDOWED else {}
    model = tiny_model(model_type, **extra).double()
    if model_type in ("mixtral", "qwen2_moe", "qwen3_moe"):
        model.set_experts_implementation("eager")  # the grouped one knows no float64
    texts = batch.input_ids[0].split(batch.lengths.tolist())
    if maps:
        model.float().set_attn_implementation("eager")  # whose masks overflow in float64
    with torch.no_grad(), HeadMasker(model).every_row(HeadSet.parse("L0H1+L2H3")):
        single = [model(text[None], output_attentions=maps) for text in texts]
        own = [out.attentions for out in single]
        alone = torch.cat([out.logits[0] for out in single])
        out = packed_forward(model, batch, maps)
        mixed = model(batch.input_ids).logits[0]
    assert (mixed - alone).abs().max() > 1e-3  # in one row they would
    assert (out.logits[0] - alone).abs().max() < (1e-4 if maps or model_type == "gemma2" else 1e-9)
    if maps:
        found = [Packing(batch.lengths).maps(layer) for layer in out.attentions]
        assert [tuple(layer.shape) for layer in found] == [(3, 4, 9, 9)] * 3
        for row, text in enumerate(texts):
            length = len(text)
            for mine, theirs in zip(found, own[row], strict=True):
                assert (mine[row, :, :length, :length] - theirs[0]).abs().max() < 1e-6


def test_attention_is_put_back(tiny_model, batch):
    models = [tiny_model("llama"), tiny_model("gemma2", attn_implementation="eager")]
    with packed_attention(models, maps=False):
        assert [m.config._attn_implementation for m in models] == ["sprint_texts_sdpa", "sprint_texts_eager"]
    assert [m.config._attn_implementation for m in models] == ["sdpa", "eager"]


@pytest.mark.parametrize("maps", [True, False])
def test_gradients_are_those_of_single_texts(tiny_model, batch, maps):
    model, same = (tiny_model("llama").double() for _ in range(2))
    for text in batch.input_ids[0].split(batch.lengths.tolist()):
        same(text[None]).logits.square().sum().backward()
    packed_forward(model, batch, maps).logits.square().sum().backward()
    for mine, theirs in zip(model.parameters(), same.parameters(), strict=True):
        assert torch.allclose(mine.grad, theirs.grad, rtol=1e-8, atol=1e-10)


def test_spreading_and_packing_are_inverse_and_nothing_comes_back_from_padding():
    packing = Packing(torch.tensor([2, 1, 3]))
    states = torch.randn(1, 2, 6, 4, dtype=torch.float64, requires_grad=True)
    padded = packing.spread(states)
    assert padded.shape == (3, 2, 3, 4)
    assert torch.equal(packing.pack(padded.transpose(1, 2))[0], states[0].transpose(0, 1))
    real = torch.tensor([[1, 1, 0], [1, 0, 0], [1, 1, 1]]).bool()
    (padded * real[:, None, :, None]).sum().backward()
    assert torch.equal(states.grad, torch.ones_like(states))
    leaf = torch.randn(3, 3, 2, 4, requires_grad=True)
    packing.pack(leaf).sum().backward()
    assert torch.equal(leaf.grad, real[:, :, None, None].expand(3, 3, 2, 4).float())
