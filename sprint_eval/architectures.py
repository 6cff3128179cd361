"""One table of facts: where each architecture keeps its layers and projects its heads' outputs.

Facts that a loaded model states itself (widths, head_dim) are read from its modules, so that
models whose layers have different numbers of heads need no entries of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from sprint_eval.errors import UnsupportedModelError, did_you_mean
from sprint_eval.heads import HeadLayout

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Architecture:
    """Where a ``transformers`` causal LM keeps its attention.

    Attributes:
        layers: path from the causal LM to its list of decoder layers.
        attention: path from a layer to its attention module.
        output: name, in the attention module, of the projection that takes the concatenated heads.
        queries, keys, values: names of the input projections; ``None`` where they are fused.
        conv1d: whether projections are ``Conv1D`` (weight ``[in, out]``, GPT-2) rather than ``Linear``.
    """

    layers: str
    attention: str = "self_attn"
    output: str = "o_proj"
    queries: str | None = "q_proj"
    keys: str | None = "k_proj"
    values: str | None = "v_proj"
    conv1d: bool = False


_LLAMA = Architecture("model.layers")

ARCHITECTURES: dict[str, Architecture] = {
    "cohere": _LLAMA,
    "gemma": _LLAMA,
    "gemma2": _LLAMA,
    "gemma3": Architecture("model.language_model.layers"),
    "gemma3_text": _LLAMA,
    "gpt2": Architecture("transformer.h", "attn", "c_proj", None, None, None, conv1d=True),
    "gpt_neox": Architecture("gpt_neox.layers", "attention", "dense", None, None, None),
    "gptj": Architecture("transformer.h", "attn", "out_proj"),
    "granite": _LLAMA,
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "mixtral": _LLAMA,
    "olmo": _LLAMA,
    "olmo2": _LLAMA,
    "opt": Architecture("model.decoder.layers", output="out_proj"),
    "phi": Architecture("model.layers", output="dense"),
    "phi3": Architecture("model.layers", queries=None, keys=None, values=None),
    "qwen2": _LLAMA,
    "qwen2_moe": _LLAMA,
    "qwen3": _LLAMA,
    "qwen3_moe": _LLAMA,
    "smollm3": _LLAMA,
    "stablelm": _LLAMA,
    "starcoder2": _LLAMA,
}


@dataclass(frozen=True)
class AttentionLayout:
    """The attention of one loaded model.

    Attributes:
        architecture: the table's entry.
        layers: the decoder layers, in order.
        attentions: each layer's attention module; ``None`` for a layer whose attention was cut out.
        outputs: each layer's output projection, ``[batch, seq, heads * head_dim] -> [batch, seq, hidden]``.
        head_dim: width of one head.
        heads: query heads of each layer.
    """

    architecture: Architecture
    layers: tuple[nn.Module, ...]
    attentions: tuple[nn.Module | None, ...]
    outputs: tuple[nn.Module | None, ...]
    head_dim: int
    heads: HeadLayout


def architecture_of(config: Any) -> Architecture:
    """The table's entry for a model's config.

    Raises:
        UnsupportedModelError: names the model type and those that are supported.
    """
    model_type = getattr(config, "model_type", None) or "unknown"
    try:
        return ARCHITECTURES[model_type]
    except KeyError:
        known = ", ".join(sorted(ARCHITECTURES))
        hint = did_you_mean(model_type, ARCHITECTURES)
        raise UnsupportedModelError(
            f"model type '{model_type}' is not supported{hint}; supported are: {known}"
        ) from None


def head_dim_of(config: Any) -> int:
    """Width of one head; hidden_size is not always heads * head_dim."""
    text = config.get_text_config()
    return int(getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads)


def attention_layout(model: nn.Module) -> AttentionLayout:
    """Find the heads of a loaded causal LM (bare, or wrapped by peft).

    Raises:
        UnsupportedModelError: the architecture is not in the table, or the modules are not where
            the table says.
    """
    base: Any = model
    if hasattr(base, "get_base_model"):
        base = base.get_base_model()
    config: Any = base.config
    entry = architecture_of(config)
    head_dim = head_dim_of(config)
    try:
        layers = tuple(attrgetter(entry.layers)(base))
        attentions = tuple(getattr(layer, entry.attention) for layer in layers)
        outputs = tuple(getattr(a, entry.output) if a is not None else None for a in attentions)
    except AttributeError as error:
        raise UnsupportedModelError(
            f"{type(base).__name__} ({config.model_type}) is not laid out as its type says: {error}"
        ) from error
    counts = tuple(_input_width(output) // head_dim if output is not None else 0 for output in outputs)
    return AttentionLayout(entry, layers, attentions, outputs, head_dim, HeadLayout(counts))


def head_layout_of_config(config: Any) -> HeadLayout:
    """Layers and heads as an unpruned model's config states them, before any weights are loaded."""
    architecture_of(config)
    text = config.get_text_config()
    return HeadLayout.uniform(int(text.num_hidden_layers), int(text.num_attention_heads))


def _input_width(projection: Any) -> int:
    """Input features of a ``Linear``, a ``Conv1D``, or an adapter's wrapper of one."""
    for name in ("in_features", "nx"):
        width = getattr(projection, name, None)
        if width is not None:
            return int(width)
    inner = getattr(projection, "base_layer", None)
    if inner is not None:
        return _input_width(inner)
    raise UnsupportedModelError(f"cannot tell the input width of a {type(projection).__name__} projection")
