"""The query, key and value projections beside each layer's output projection, for work on weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sprint_eval.architectures import AttentionLayout, attention_layout
from sprint_eval.errors import UnsupportedModelError

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class LayerProjections:
    """The projections of one layer that has heads left.

    Attributes:
        attention: the attention module.
        queries, keys, values: ``Linear`` layers, ``[*, hidden] -> [*, heads * head_dim]``.
        output: ``Linear``, ``[*, heads * head_dim] -> [*, hidden]``.
        groups: query heads that each key/value head serves, in order; they sum to the query heads.
    """

    attention: Any
    queries: nn.Linear
    keys: nn.Linear
    values: nn.Linear
    output: nn.Linear
    groups: tuple[int, ...]

    def kv_of_query(self) -> list[int]:
        """The key/value head of each query head."""
        return [kv for kv, count in enumerate(self.groups) for _ in range(count)]


def layer_projections(
    model: nn.Module, purpose: str
) -> tuple[AttentionLayout, list[LayerProjections | None]]:
    """The projections of every layer; ``None`` for a layer whose attention was cut out.

    Args:
        purpose: what they are wanted for, as the error says it.

    Raises:
        UnsupportedModelError: an unknown architecture, or one that fuses its projections.
    """
    from torch import nn

    layout = attention_layout(model)
    names = layout.architecture.queries, layout.architecture.keys, layout.architecture.values
    model_type = getattr(model.config, "model_type", "unknown")
    if None in names:
        raise UnsupportedModelError(
            f"{purpose} needs separate query, key and value projections; model type '{model_type}' fuses them"
        )
    found: list[LayerProjections | None] = []
    for index, attention in enumerate(layout.attentions):
        output: Any = layout.outputs[index]
        if attention is None or output is None:
            found.append(None)
            continue
        modules: list[Any] = [*(getattr(attention, str(name)) for name in names), output]
        for module in modules:
            if not isinstance(module, nn.Linear):
                raise UnsupportedModelError(
                    f"{purpose} needs plain linear layers; layer {index} of this '{model_type}' has a "
                    f"{type(module).__name__} (load the model unquantized and without adapters)"
                )
        queries, keys, values, _ = modules
        groups = _groups(
            attention, queries.out_features, keys.out_features // layout.head_dim, layout.head_dim
        )
        found.append(LayerProjections(attention, queries, keys, values, output, groups))
    return layout, found


def head_blocks(weight: Tensor, head_dim: int, dim: int) -> Tensor:
    """A view of a projection's weight with one row a head: ``[heads, head_dim * other]``."""
    blocks = weight.unflatten(dim, (-1, head_dim)).movedim(dim, 0)
    return blocks.flatten(1)


def _groups(attention: Any, query_width: int, kv_heads: int, head_dim: int) -> tuple[int, ...]:
    cut = getattr(attention, "kv_groups", None)
    if cut is not None:
        return tuple(cut)
    return (query_width // head_dim // kv_heads,) * kv_heads
