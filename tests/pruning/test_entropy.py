"""Streaming entropy against whole attention maps."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sprint_eval.architectures import attention_layout
from sprint_eval.distillation.packing import packed_attention
from sprint_eval.errors import DataError
from sprint_eval.heads import HeadSet
from sprint_eval.masking import HeadMasker
from sprint_eval.pruning import cut
from sprint_eval.pruning.entropy import TILE, EntropyMeter, attention_entropy, mean_entropies


def naive_entropy(scores: torch.Tensor) -> torch.Tensor:
    p = torch.softmax(scores, dim=-1)
    return -torch.where(p > 0, p * p.clamp_min(1e-300).log(), 0.0).sum(-1)


@pytest.mark.parametrize("seq", [1, 5, 16, 37])
@pytest.mark.parametrize("scale", [1.0, 60.0])
def test_tiles_give_what_whole_maps_do(seq, scale):
    generator = torch.Generator().manual_seed(seq)
    query, key = (torch.randn(2, 3, seq, 4, dtype=torch.float64, generator=generator) for _ in range(2))
    causal = torch.ones(seq, seq, dtype=torch.bool).tril()
    window = causal & ~causal.tril(-3)
    scores = query @ key.transpose(2, 3) * scale
    for mask, allowed in [(None, causal), (window[None, None], window)]:
        entropy, visible = attention_entropy(query, key, scale, mask, tile=5)
        assert torch.allclose(entropy, naive_entropy(scores.masked_fill(~allowed, -torch.inf)), atol=1e-12)
        assert visible.tolist() == [allowed.sum(-1).tolist()] * 2
    additive = torch.zeros(1, 1, seq, seq, dtype=torch.float64).masked_fill(
        ~window, torch.finfo(torch.float64).min
    )
    entropy, _ = attention_entropy(query, key, scale, additive, softcap=2.0, tile=5)
    capped = (torch.tanh(scores / 2.0) * 2.0).masked_fill(~window, -torch.inf)
    assert torch.allclose(entropy, naive_entropy(capped), atol=1e-12)


def test_no_tensor_grows_with_the_square_of_the_length(monkeypatch, tiny_model):
    largest = 0
    matmul = torch.matmul

    def watched(a, b):
        nonlocal largest
        out = matmul(a, b)
        largest = max(largest, out.numel())
        return out

    monkeypatch.setattr(torch, "matmul", watched)
    attention_entropy(torch.randn(1, 2, 600, 4), torch.randn(1, 2, 600, 4), 1.0, tile=64)
    assert largest == 2 * 64 * 64
    # Nor while a model trains with maps, whose attention is eager.
    model = tiny_model("llama", max_position_embeddings=1024, attn_implementation="eager")
    with packed_attention([model], maps=True):
        largest = 0
        mean_entropies(model, [(torch.ones(1, 600, dtype=torch.long), None)])
    assert 0 < largest <= max(4 * TILE * TILE, 600 * 64)


def naive_means(model, rows: list[list[int]]) -> np.ndarray:
    model.set_attn_implementation("eager")
    totals, count = None, 0
    for row in rows:
        maps = torch.stack(model(torch.tensor([row]), output_attentions=True).attentions)[:, 0].double()
        entropy = -(maps * maps.clamp_min(1e-300).log()).sum(-1)  # [layers, heads, seq]
        relative = entropy[:, :, 1:] / torch.arange(2, len(row) + 1).log()
        totals = relative.sum(-1) if totals is None else totals + relative.sum(-1)
        count += len(row) - 1
    model.set_attn_implementation("sdpa")
    return (totals / count).flatten().detach().numpy()


@pytest.mark.parametrize("model_type", ["llama", "qwen3", "gemma", "gpt2", "opt"])
def test_meter_over_a_padded_batch_is_the_mean_over_its_texts(tiny_model, model_type):
    model = tiny_model(model_type).double()
    rows = [[3, 4, 5, 6, 7, 8, 9], [5, 9, 11]]
    batch = torch.tensor([rows[0], rows[1] + [0] * 4])
    measured = mean_entropies(model, [(batch, torch.tensor([7, 3])), (torch.tensor([[7, 7]]), None)])
    assert measured == pytest.approx(naive_means(model, [*rows, [7, 7]]), abs=1e-6)
    assert 0 <= measured.min() < measured.max() <= 1
    assert model.config._attn_implementation == "sdpa"


def test_measuring_leaves_the_model_as_it_was(tiny_model):
    model = tiny_model("llama")
    ids = torch.tensor([[3, 4, 5]])
    before = model(ids).logits
    EntropyMeter(model).add(ids)
    assert torch.equal(model(ids).logits, before)
    assert not any(hasattr(layer.self_attn, "entropy_tap") for layer in model.model.layers)


def test_uniform_attention_is_one_and_nothing_shown_is_an_error(tiny_model):
    model = tiny_model("llama")
    for layer in model.model.layers:
        torch.nn.init.zeros_(layer.self_attn.q_proj.weight)
    assert mean_entropies(model, [(torch.tensor([[3, 4, 5, 6]]), None)]) == pytest.approx(
        np.ones(12), abs=1e-6
    )
    with pytest.raises(DataError, match="two tokens"):
        mean_entropies(model, [(torch.tensor([[3]]), None)])
    assert math.isclose(
        attention_entropy(torch.zeros(1, 1, 4, 2), torch.zeros(1, 1, 4, 2), 1.0)[0][0, 0, 3],
        math.log(4),
        rel_tol=1e-6,
    )


def test_a_cut_model_is_measured_as_the_masked_one(tiny_model):
    heads = HeadSet.parse("L0H1+L1H2+L1H3+L2H0")
    ids = torch.tensor([[3, 4, 5, 6, 7, 8, 9]])
    model = tiny_model("llama").double()
    gone = set(heads)
    kept = [head not in gone for head in attention_layout(model).heads.heads()]
    with HeadMasker(model).every_row(heads):
        masked = mean_entropies(model, [(ids, None)])
    assert mean_entropies(cut(model, heads), [(ids, None)]) == pytest.approx(masked[kept], abs=1e-9)
    assert model.config._attn_implementation == "sprint_cut_sdpa"
