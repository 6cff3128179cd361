"""Heads really removed: projections made narrower, in place, with the model's own classes.

A query head's rows go from the query projection and its columns from the output projection; a
key/value head goes with the last query head that it serves. What is left computes what the masked
model does, with and without a cache. The config records what was removed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sprint_eval.errors import ArgumentError, UnsupportedModelError
from sprint_eval.heads import Head, HeadSet
from sprint_eval.pruning.attention import base_implementation, cut_implementation, set_groups
from sprint_eval.pruning.neurons import feed_forwards, keep_neurons
from sprint_eval.pruning.projections import LayerProjections, layer_projections
from sprint_eval.pruning.removed import CONFIG_FIELD, Removed

if TYPE_CHECKING:
    from torch import Tensor

_NORMS = ("q_norm", "k_norm", "q_layernorm", "k_layernorm")


def cut(
    model: Any,
    heads: HeadSet | None = None,
    neurons: Mapping[int, Sequence[int]] | None = None,
    *,
    allow_empty_layers: bool = False,
) -> Any:
    """Remove heads, and feed-forward neurons, from a loaded causal LM, in place.

    Args:
        heads: heads to remove, in the model's present numbering.
        neurons: layer → indices of the feed-forward neurons to remove.
        allow_empty_layers: let a layer lose all its heads; its attention is then skipped.

    Returns:
        The same model; its config says what was removed, in the numbering of the uncut model.

    Raises:
        UnsupportedModelError: a model from which heads cannot be cut exactly; says why.
        HeadError: a head that the model does not have.
        ArgumentError: a layer would lose all of its heads or neurons.
    """
    heads = heads or HeadSet()
    layout, layers = layer_projections(model, "cutting heads out")
    layout.heads.check(heads)
    by_layer = heads.by_layer()
    for layer, gone in by_layer.items():
        if len(gone) == layout.heads.heads_per_layer[layer] and not allow_empty_layers:
            raise ArgumentError(
                f"layer {layer} would lose all of its {len(gone)} heads; allow empty layers to cut them"
            )
    check_cuttable(model)
    removed = _record(model, layout.heads.heads_per_layer, by_layer, neurons or {})
    for layer, gone in by_layer.items():
        projections = layers[layer]
        if projections is not None:
            kept = [h for h in range(layout.heads.heads_per_layer[layer]) if h not in gone]
            entry = layout.architecture
            if kept:
                _narrow(projections, kept, layout.head_dim)
            else:
                skipped = SkippedAttention(projections.attention, projections.output, entry.output)
                setattr(layout.layers[layer], entry.attention, skipped)
    if neurons:
        parts = feed_forwards(model)
        for layer, indices in neurons.items():
            keep_neurons(parts[layer], indices)
    setattr(model.config, CONFIG_FIELD, removed.to_dict())
    _use_cut_attention(model)
    return model


def check_cuttable(model: Any) -> None:
    """Refuse, by name, a model whose heads cannot be cut so that the rest computes the same.

    Raises:
        UnsupportedModelError: norms over all heads together, or an attention that cannot be replaced.
    """
    layout, layers = layer_projections(model, "cutting heads out")
    model_type = model.config.model_type
    if not model._can_set_attn_implementation():
        raise UnsupportedModelError(
            f"cutting heads out needs an attention function that can be replaced; '{model_type}' has its own"
        )
    base_implementation_of(model)
    for layer in layers:
        for name in _NORMS if layer is not None else ():
            norm = getattr(layer.attention, name, None)  # type: ignore[union-attr]
            if norm is None:
                continue
            weight = getattr(norm, "weight", None)
            if weight is None or weight.shape[-1] != layout.head_dim:
                raise UnsupportedModelError(
                    f"'{model_type}' normalises all heads of a layer together ({name}), so that cutting one "
                    "changes the others; mask heads instead (--model pruned-head)"
                )


def base_implementation_of(model: Any) -> str:
    """``"sdpa"`` or ``"eager"``: what the model computes attention with, cut or not."""
    return base_implementation(cut_implementation(model.config.get_text_config()._attn_implementation))


class SkippedAttention(nn.Module):
    """Stands where a layer's attention was cut out; adds nothing but the output projection's bias.

    The cache still hears of every token, one number each, since ``transformers`` reads the length
    of the text so far from its layers.
    """

    def __init__(self, attention: Any, output: nn.Linear, output_name: str) -> None:
        super().__init__()
        setattr(self, output_name, None)
        self.layer_idx = attention.layer_idx
        self.bias: nn.Parameter | None = output.bias

    def forward(
        self, hidden_states: Tensor, *args: Any, past_key_values: Any = None, **kwargs: Any
    ) -> tuple[Tensor, None]:
        """``[batch, seq, hidden] -> [batch, seq, hidden]``, with no attention map."""
        if past_key_values is not None:
            mark = hidden_states.new_zeros(hidden_states.shape[0], 1, hidden_states.shape[1], 1)
            past_key_values.update(mark, mark, self.layer_idx)
        if self.bias is None:
            return torch.zeros_like(hidden_states), None
        return self.bias.expand_as(hidden_states), None


def shrink_linear(linear: nn.Linear, rows: Sequence[int] | None, columns: Sequence[int] | None) -> None:
    """Keep only these output features (rows) and input features (columns) of a linear layer."""
    weight = linear.weight
    with torch.no_grad():
        data = weight.detach()
        for dim, kept in ((0, rows), (1, columns)):
            if kept is not None:
                data = data.index_select(dim, torch.tensor(kept, device=data.device))
        linear.weight = nn.Parameter(data.clone(), requires_grad=weight.requires_grad)
        if rows is not None and linear.bias is not None:
            bias = linear.bias.detach().index_select(0, torch.tensor(rows, device=data.device))
            linear.bias = nn.Parameter(bias.clone(), requires_grad=linear.bias.requires_grad)
    linear.out_features, linear.in_features = linear.weight.shape


def _narrow(layer: LayerProjections, kept: Sequence[int], head_dim: int) -> None:
    kv_of_query = layer.kv_of_query()
    counts = [sum(kv_of_query[h] == kv for h in kept) for kv in range(len(layer.groups))]
    kept_kv = [kv for kv, count in enumerate(counts) if count]
    queries, keys = _features(kept, head_dim), _features(kept_kv, head_dim)
    shrink_linear(layer.queries, queries, None)
    shrink_linear(layer.keys, keys, None)
    shrink_linear(layer.values, keys, None)
    shrink_linear(layer.output, None, queries)
    attention = layer.attention
    for name in _NORMS:
        norm = getattr(attention, name, None)
        if norm is not None and norm.weight.dim() == 2:  # a row a head
            rows = torch.tensor(kept if name.startswith("q") else kept_kv, device=norm.weight.device)
            norm.weight = nn.Parameter(norm.weight.detach().index_select(0, rows))
    for name, count in (("num_heads", len(kept)), ("num_key_value_heads", len(kept_kv))):
        if hasattr(attention, name):
            setattr(attention, name, count)
    set_groups(attention, tuple(count for count in counts if count))


def _features(heads: Sequence[int], head_dim: int) -> list[int]:
    return [head * head_dim + i for head in heads for i in range(head_dim)]


def _record(
    model: Any,
    present: Sequence[int],
    by_layer: Mapping[int, tuple[int, ...]],
    neurons: Mapping[int, Sequence[int]],
) -> Removed:
    """What will have been removed after this cut, in the numbering of the uncut model."""
    before = Removed.of_config(model.config)
    total = int(model.config.get_text_config().num_attention_heads)
    gone_before = before.heads.by_layer()
    gone = set(before.heads)
    for layer, indices in by_layer.items():
        original = [h for h in range(total) if h not in gone_before.get(layer, ())]
        if len(original) != present[layer]:
            raise UnsupportedModelError(
                f"layer {layer} has {present[layer]} heads and by its config {len(original)}: "
                "the model was cut by something else"
            )
        gone.update(Head(layer, original[index]) for index in indices)
    counts = dict(before.neurons)
    for layer, silent in neurons.items():
        counts[layer] = counts.get(layer, 0) + len(set(silent))
    return Removed(HeadSet(tuple(gone)), counts)


def _use_cut_attention(model: Any) -> None:
    present = model.config.get_text_config()._attn_implementation
    wanted = cut_implementation(present)
    if present != wanted:
        model.set_attn_implementation(wanted)
