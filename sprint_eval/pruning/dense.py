"""Cut models as full-size ones with zeros, for loaders that know nothing of cuts."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sprint_eval.architectures import AttentionLayout, attention_layout, head_dim_of
from sprint_eval.errors import MismatchError
from sprint_eval.pruning.attention import base_implementation
from sprint_eval.pruning.checkpoint import stock_class, write_folder
from sprint_eval.pruning.removed import CONFIG_FIELD, Removed


def export_dense(model: Any, folder: str | Path, tokenizer: Any = None) -> Path:
    """Write a cut model as a full-size one with zeros where heads were, for any stock loader.

    It gives the same answers as the cut model, at the uncut model's cost.

    Raises:
        MismatchError: the model was not cut.
        DataError: the folder exists already.
    """
    return write_folder(dense_model(model), folder, tokenizer)


@torch.no_grad()
def dense_model(model: Any) -> Any:
    """A stock model of full width that computes what the cut model does."""
    removed = Removed.of_config(model.config)
    if not removed:
        raise MismatchError("no heads were cut out of this model; it is dense already")
    config = copy.deepcopy(model.config)
    delattr(config, CONFIG_FIELD)
    config._attn_implementation = base_implementation(model.config._attn_implementation)
    dense = stock_class(config)(config).eval()
    for weight in dense.parameters():  # buffers, such as a rotation's frequencies, stay as from_pretrained's
        weight.data = weight.data.to(model.dtype)
    cut_away = _layer_parameters(model, removed)
    state = model.state_dict()
    for name, parameter in dense.state_dict().items():
        if name not in cut_away and name in state:
            parameter.copy_(state[name])
    _fill_attention(model, dense, removed)
    _fill_neurons(model, dense, removed)
    dense.generation_config = copy.deepcopy(model.generation_config)
    return dense


def _layer_parameters(model: Any, removed: Removed) -> set[str]:
    """Names of the parameters that have another shape in the uncut model."""
    layout = attention_layout(model)
    modules: list[Any] = [layout.attentions[layer] for layer in removed.heads.by_layer()]
    modules += [_mlp(layout, layer) for layer, count in removed.neurons.items() if count]
    inside = {id(parameter) for module in modules if module is not None for parameter in module.parameters()}
    return {name for name, parameter in model.named_parameters() if id(parameter) in inside}


def _fill_attention(model: Any, dense: Any, removed: Removed) -> None:
    cut_layout, layout = attention_layout(model), attention_layout(dense)
    head_dim = head_dim_of(dense.config)
    entry = layout.architecture
    for layer, gone in removed.heads.by_layer().items():
        source: Any = cut_layout.attentions[layer]
        target: Any = layout.attentions[layer]
        total = layout.heads.heads_per_layer[layer]
        kept = [head for head in range(total) if head not in gone]
        kv_heads = getattr(target, str(entry.keys)).out_features // head_dim
        kept_kv = sorted({head * kv_heads // total for head in kept})
        for name, heads in ((entry.queries, kept), (entry.keys, kept_kv), (entry.values, kept_kv)):
            _scatter(
                getattr(target, str(name)), getattr(source, str(name), None), _features(heads, head_dim), 0
            )
        _scatter(getattr(target, entry.output), getattr(source, entry.output), _features(kept, head_dim), 1)
        bias = getattr(target, entry.output).bias
        if bias is not None:
            own = getattr(source, entry.output)
            bias.copy_(own.bias if own is not None else source.bias)
        _copy_norms(source, target, kept, kept_kv)


def _copy_norms(source: Any, target: Any, kept: list[int], kept_kv: list[int]) -> None:
    for name, norm in target.named_children():
        own = getattr(source, name, None)
        if isinstance(norm, nn.Linear) or own is None or not hasattr(norm, "weight"):
            continue
        if own.weight.shape == norm.weight.shape:
            norm.load_state_dict(own.state_dict())
        else:  # a row a head
            norm.weight[kept if name.startswith("q") else kept_kv] = own.weight


def _fill_neurons(model: Any, dense: Any, removed: Removed) -> None:
    cut_layout, layout = attention_layout(model), attention_layout(dense)
    for layer, count in removed.neurons.items():
        if not count:
            continue
        source, target = _mlp(cut_layout, layer), _mlp(layout, layer)
        kept = list(range(source.down_proj.in_features))
        _scatter(target.gate_proj, source.gate_proj, kept, 0)
        _scatter(target.up_proj, source.up_proj, kept, 0)
        _scatter(target.down_proj, source.down_proj, kept, 1)
        if target.down_proj.bias is not None:
            target.down_proj.bias.copy_(source.down_proj.bias)


def _scatter(target: Any, source: Any, features: list[int], dim: int) -> None:
    """Put a narrow linear layer's rows (dim 0) or columns (dim 1) where they were; zeros elsewhere."""
    target.weight.zero_()
    if dim == 0 and target.bias is not None:
        target.bias.zero_()
    if source is None or not features:
        return
    index = torch.tensor(features, device=target.weight.device)
    target.weight.index_copy_(dim, index, source.weight.to(target.weight))
    if dim == 0 and target.bias is not None:
        target.bias.index_copy_(0, index, source.bias.to(target.bias))


def _features(heads: list[int], head_dim: int) -> list[int]:
    return [head * head_dim + i for head in heads for i in range(head_dim)]


def _mlp(layout: AttentionLayout, layer: int) -> Any:
    return layout.layers[layer].mlp
