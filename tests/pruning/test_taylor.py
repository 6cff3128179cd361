"""First-order importance against the gradient of an explicit gate."""

from __future__ import annotations

import pytest
import torch

from sprint_eval.errors import DataError
from sprint_eval.pruning.taylor import TaylorMeter


def loss_of(model, ids):
    logits = model(ids).logits
    return torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="sum"
    )


def finite_difference(model, ids, weight, columns, epsilon=3e-3):
    original = weight.detach().clone()
    values = []
    for gate in (1 + epsilon, 1 - epsilon):
        with torch.no_grad():
            weight.copy_(original)
            weight[:, columns] *= gate
            values.append(float(loss_of(model, ids)))
    with torch.no_grad():
        weight.copy_(original)
    return (values[0] - values[1]) / (2 * epsilon)


def test_score_is_the_mean_absolute_derivative_of_each_text(tiny_model):
    model = tiny_model("llama").double()
    ids = torch.tensor([[3, 4, 5, 6], [9, 8, 7, 6]])
    meter = TaylorMeter(model)
    meter.add(2, lambda: loss_of(model, ids))
    scores = meter.result().reshape(3, 4)
    for layer, head in [(0, 1), (2, 3)]:
        weight, columns = model.model.layers[layer].self_attn.o_proj.weight, slice(16 * head, 16 * head + 16)
        texts = [abs(finite_difference(model, ids[i : i + 1], weight, columns)) for i in range(2)]
        assert scores[layer, head] == pytest.approx(sum(texts) / 2, rel=1e-2)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_neuron_is_scored_by_its_own_gate(tiny_model):
    model = tiny_model("llama").double()
    ids = torch.tensor([[3, 4, 5, 6], [9, 8, 7, 6]])
    meter = TaylorMeter(model, "neurons")
    meter.add(2, lambda: loss_of(model, ids))
    scores = meter.result().reshape(3, -1)
    for layer, neuron in [(0, 5), (2, 0)]:
        weight = model.model.layers[layer].mlp.down_proj.weight
        texts = [
            abs(finite_difference(model, ids[i : i + 1], weight, slice(neuron, neuron + 1))) for i in (0, 1)
        ]
        assert scores[layer, neuron] == pytest.approx(sum(texts) / 2, rel=1e-2)


def test_batches_do_not_matter_and_nothing_shown_is_an_error(tiny_model):
    model = tiny_model("llama").double()
    ids = torch.tensor([[3, 4, 5, 6], [9, 8, 7, 6]])
    whole, parts = TaylorMeter(model), TaylorMeter(model)
    whole.add(2, lambda: loss_of(model, ids))
    for row in range(2):
        parts.add(1, lambda row=row: loss_of(model, ids[row : row + 1]))
    assert whole.result() == pytest.approx(parts.result(), rel=1e-6)
    with pytest.raises(DataError, match="no text"):
        TaylorMeter(model).result()
