"""Head sets as LoRA adapters in the format of ``peft``."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from sprint_eval.architectures import AttentionLayout, attention_layout
from sprint_eval.errors import ArgumentError, UnsupportedModelError
from sprint_eval.export.columns import output_columns, projection_shape
from sprint_eval.export.ranks import padded_rank
from sprint_eval.heads import HeadSet

if TYPE_CHECKING:
    from torch import Tensor, nn

_LONGEST_NAME = 96
_PEFT_PREFIX = "base_model.model."


def adapter_name(heads: HeadSet) -> str:
    """Name of a head set's adapter: folder, and model name on a server.

    The text form, ``L15H0+L15H3``; a set too long for a file name gets a hash of its text instead.
    """
    text = str(heads)
    if len(text) <= _LONGEST_NAME:
        return text
    return f"heads-{len(heads)}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


@dataclass(frozen=True)
class LayerPart:
    """The change of one layer's output projection.

    Attributes:
        module: the projection's name in the model, ``model.layers.3.self_attn.o_proj``.
        layer: index of the layer.
        columns: input columns of the pruned heads.
        rank: rank of the adapter here: number of columns, padded.
        in_features, out_features: the projection's widths.
    """

    module: str
    layer: int
    columns: tuple[int, ...]
    rank: int
    in_features: int
    out_features: int

    @property
    def num_values(self) -> int:
        return self.rank * (self.in_features + self.out_features)


@dataclass(frozen=True)
class AdapterPlan:
    """One adapter before anything is computed: which modules it changes and how large it is."""

    heads: HeadSet
    parts: tuple[LayerPart, ...]
    dtype: torch.dtype
    conv1d: bool

    @property
    def name(self) -> str:
        return adapter_name(self.heads)

    @property
    def rank(self) -> int:
        """The largest rank of its layers: what an engine must make room for."""
        return max(part.rank for part in self.parts)

    @property
    def num_bytes(self) -> int:
        """Bytes of its weights."""
        return sum(part.num_values for part in self.parts) * self.dtype.itemsize

    def config(self, base_model: str) -> dict[str, Any]:
        """Content of ``adapter_config.json``.

        Every layer has scaling 1: ``r == lora_alpha``, also where a pattern says otherwise, so that
        engines that know no patterns (they take the rank from the weights) scale right too.
        """
        other = {part.module: part.rank for part in self.parts if part.rank != self.rank}
        return {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": base_model,
            "r": self.rank,
            "lora_alpha": self.rank,
            "rank_pattern": other,
            "alpha_pattern": dict(other),
            "target_modules": [part.module for part in self.parts],
            "fan_in_fan_out": self.conv1d,
            "bias": "none",
            "lora_dropout": 0.0,
            "init_lora_weights": True,
            "inference_mode": True,
            "modules_to_save": None,
            "use_dora": False,
            "use_rslora": False,
        }

    def tensors(self, layout: AttentionLayout) -> dict[str, Tensor]:
        """Content of ``adapter_model.safetensors``: A ``[rank, in]`` and B ``[out, rank]`` a layer."""
        weights: dict[str, Tensor] = {}
        for part in self.parts:
            projection = layout.outputs[part.layer]
            if projection is None:
                raise UnsupportedModelError(f"layer {part.layer} has no attention left to prune")
            count, columns = len(part.columns), torch.tensor(part.columns, dtype=torch.long)
            selector = torch.zeros(part.rank, part.in_features, dtype=self.dtype)
            selector[torch.arange(count), columns] = 1.0
            change = torch.zeros(part.out_features, part.rank, dtype=self.dtype)
            if count:
                change[:, :count] = -output_columns(projection, columns, self.dtype).to(self.dtype)
            weights[f"{_PEFT_PREFIX}{part.module}.lora_A.weight"] = selector
            weights[f"{_PEFT_PREFIX}{part.module}.lora_B.weight"] = change
        return weights


def plan_adapter(model: nn.Module, heads: HeadSet, pad: bool = True) -> AdapterPlan:
    """Plan one head set's adapter; see :func:`plan_adapters`."""
    return plan_adapters(model, [heads], pad)[0]


def plan_adapters(model: nn.Module, head_sets: Iterable[HeadSet], pad: bool = True) -> list[AdapterPlan]:
    """Plan an adapter a head set, without computing any.

    Args:
        model: a loaded causal LM, without adapters of its own.
        head_sets: none of them empty: the base needs no adapter.
        pad: round ranks up to those that vLLM takes; the padding is zeros.

    Raises:
        UnsupportedModelError: the architecture is unknown, or a LoRA adapter on its output
            projections is not possible; says why.
        HeadError: a head that the model does not have.
        ArgumentError: an empty head set.
    """
    if hasattr(model, "peft_config"):
        raise UnsupportedModelError(
            "the model already carries an adapter; merge it into the weights (merge_and_unload) and export "
            "from the merged checkpoint"
        )
    layout = attention_layout(model)
    names = _projection_names(model, layout)
    plans = []
    for heads in head_sets:
        if heads.is_base:
            raise ArgumentError("the base model needs no adapter: nothing is pruned")
        layout.heads.check(heads)
        parts = tuple(
            _part(layout, names, layer, indices, pad) for layer, indices in heads.by_layer().items()
        )
        plans.append(AdapterPlan(heads, parts, _compute_dtype(model), layout.architecture.conv1d))
    return plans


def null_adapter(model: nn.Module) -> AdapterPlan:
    """An adapter that changes nothing, by which the base can be asked for like any head set.

    Some engines give rows without an adapter another row's: vLLM 0.32's CPU backend looks up index
    -1, which is the last adapter loaded.
    """
    layout = attention_layout(model)
    names = _projection_names(model, layout)
    layer = min(names)
    part = LayerPart(names[layer], layer, (), 1, *projection_shape(layout.outputs[layer]))
    return AdapterPlan(HeadSet(), (part,), _compute_dtype(model), layout.architecture.conv1d)


def _part(
    layout: AttentionLayout, names: dict[int, str], layer: int, heads: tuple[int, ...], pad: bool
) -> LayerPart:
    width = layout.head_dim
    columns = tuple(column for head in heads for column in range(head * width, (head + 1) * width))
    in_features, out_features = projection_shape(layout.outputs[layer])
    rank = padded_rank(len(columns)) if pad else len(columns)
    return LayerPart(names[layer], layer, columns, rank, in_features, out_features)


def _projection_names(model: nn.Module, layout: AttentionLayout) -> dict[int, str]:
    """Name in the model of each layer's output projection."""
    by_identity = {id(module): name for name, module in model.named_modules()}
    names: dict[int, str] = {}
    owner: dict[int, int] = {}
    for layer, projection in enumerate(layout.outputs):
        if projection is None:
            continue
        if id(projection) in owner:
            raise UnsupportedModelError(
                f"layers {owner[id(projection)]} and {layer} share one output projection module, "
                "so an adapter on it would prune both; no LoRA adapter can prune a head of one of them"
            )
        owner[id(projection)] = layer
        names[layer] = by_identity[id(projection)]
        if re.search(r"[^\w.]", names[layer]):
            raise UnsupportedModelError(f"module name {names[layer]!r} cannot stand in an adapter's config")
    return names


def _compute_dtype(model: nn.Module) -> torch.dtype:
    """The dtype of the model's activations, also where weights are packed."""
    dtype = getattr(model, "dtype", None)
    if isinstance(dtype, torch.dtype) and dtype.is_floating_point and dtype.itemsize >= 2:
        return dtype
    return torch.float32
