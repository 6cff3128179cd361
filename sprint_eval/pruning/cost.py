"""What a model costs, by its shape alone: parameters, operations a token, bytes.

A multiplication and its addition are two operations (FLOPs). Per token a linear layer takes two per
weight; attention over c visible positions takes 4·c·head_dim per query head (scores and weighted sum).
Norms, rotations, softmax and activations are left out: they are the same to within a percent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from sprint_eval.architectures import attention_layout
from sprint_eval.pruning.projections import layer_projections

PREFILL = 256
CONTEXTS = (256, 1024)


@dataclass(frozen=True)
class Cost:
    """Of one model.

    Attributes:
        heads: query heads.
        key_value_heads: key/value heads, which are what the cache holds.
        parameters: all, tied ones once.
        attention_parameters: of the attention modules alone.
        prefill_flops: a token, mean over a prompt of 256 whose last position alone gives logits.
        decode_flops: a token that sees this many positions → FLOPs, logits included.
        weight_bytes: all parameters and buffers in their dtypes.
        cache_bytes: keys and values of one text of this many tokens → bytes.
    """

    heads: int
    key_value_heads: int
    parameters: int
    attention_parameters: int
    prefill_flops: float
    decode_flops: dict[int, float]
    weight_bytes: int
    cache_bytes: dict[int, int]

    def to_dict(self) -> dict[str, Any]:
        """As JSON; keys of inner tables become text."""
        values = asdict(self)
        for name in ("decode_flops", "cache_bytes"):
            values[name] = {str(context): value for context, value in values[name].items()}
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Cost:
        """From :meth:`to_dict`."""
        tables = {
            name: {int(k): v for k, v in values[name].items()} for name in ("decode_flops", "cache_bytes")
        }
        return cls(**{**values, **tables})


def cost_of(model: Any) -> Cost:
    """The cost of a loaded model; of its experts, those that a token goes through.

    Layers with a sliding window see, and keep, no more than the window.

    Raises:
        UnsupportedModelError: fused projections.
    """
    layout, layers = layer_projections(model, "the cost of attention")
    linear = 2.0 * _linear_weights(model)
    head = 2.0 * model.get_output_embeddings().weight.numel()
    windows = _windows(model, len(layers))
    attended = partial(_attention_flops, layout, windows)
    kv_heads_of = [0 if layer is None else len(layer.groups) for layer in layers]

    def kept(context: int) -> int:
        """Key/value positions of all layers and heads."""
        return sum(kv * int(min(context, w)) for kv, w in zip(kv_heads_of, windows, strict=True))

    element = next(model.parameters()).element_size()
    attention = {
        id(p): p.numel() for layer in layout.attentions if layer is not None for p in layer.parameters()
    }
    stored = {id(t): t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers())}
    return Cost(
        heads=layout.heads.num_heads,
        key_value_heads=sum(kv_heads_of),
        parameters=sum({id(p): p.numel() for p in model.parameters()}.values()),
        attention_parameters=sum(attention.values()),
        prefill_flops=linear + head / PREFILL + sum(map(attended, range(1, PREFILL + 1))) / PREFILL,
        decode_flops={context: linear + head + attended(context) for context in CONTEXTS},
        weight_bytes=sum(stored.values()),
        cache_bytes={context: 2 * kept(context) * layout.head_dim * element for context in CONTEXTS},
    )


def reductions(base: Cost, cut: Cost) -> dict[str, float]:
    """How much less the cut model costs: percentages of the base's figure of the same name."""
    pairs = {
        "heads": (base.heads, cut.heads),
        "key_value_heads": (base.key_value_heads, cut.key_value_heads),
        "parameters": (base.parameters, cut.parameters),
        "attention_parameters": (base.attention_parameters, cut.attention_parameters),
        "weight_bytes": (base.weight_bytes, cut.weight_bytes),
        f"prefill_flops@{PREFILL}": (base.prefill_flops, cut.prefill_flops),
        **{f"decode_flops@{c}": (base.decode_flops[c], cut.decode_flops[c]) for c in CONTEXTS},
        **{f"cache_bytes@{c}": (base.cache_bytes[c], cut.cache_bytes[c]) for c in CONTEXTS},
    }
    return {name: 100.0 * (1.0 - after / before) for name, (before, after) in pairs.items()}


def head_share(model: Any) -> dict[str, float]:
    """What query heads can save at most, in percent of the whole model: were *all* of them gone.

    A ratio r of heads, with their key/value heads left, saves r times as much. The paper's 18.7 % of
    parameters at 30 % of heads needs a share of 62.3 % here.
    """
    cost = cost_of(model)
    layout = attention_layout(model)
    hidden = model.config.get_text_config().hidden_size
    per_head = 2 * layout.head_dim * hidden  # its query rows and output columns
    saved = layout.heads.num_heads * per_head
    attended = partial(_attention_flops, layout, _windows(model, len(layout.attentions)))
    return {
        "parameters": 100.0 * saved / cost.parameters,
        **{f"decode_flops@{c}": 100.0 * (2.0 * saved + attended(c)) / cost.decode_flops[c] for c in CONTEXTS},
    }


def training_flops(
    parameters: int, student_tokens: int, teacher_tokens: int = 0, scored_tokens: int = 0
) -> float:
    """Operations of training: 6 a parameter and token trained on, 2 where tokens only pass through.

    ``parameters`` are those that a token goes through, see :func:`active_parameters`.
    """
    return 6.0 * parameters * student_tokens + 2.0 * parameters * (teacher_tokens + scored_tokens)


def active_parameters(model: Any) -> int:
    """Parameters that a token goes through: all, but for the experts that it is not sent to."""
    share, experts = _experts(model)
    everything = {id(p): p.numel() for p in model.parameters()}
    idle = sum(p.numel() for p in experts) * (1.0 - share)
    return int(sum(everything.values()) - idle)


def _linear_weights(model: Any) -> int:
    """Weights of the decoder's linear layers and active experts, the output embedding left out."""
    from torch import nn

    head = model.get_output_embeddings()
    linear = [m.weight for m in model.modules() if isinstance(m, nn.Linear) and m is not head]
    share, experts = _experts(model)
    known = {id(weight) for weight in linear}
    # Routers of newer models hold their weight, [experts, hidden], themselves.
    routers = [
        p
        for p in model.parameters()
        if experts and p.dim() == 2 and p.shape[0] == experts[0].shape[0] and id(p) not in known
    ]
    return sum(p.numel() for p in (*linear, *routers)) + int(share * sum(p.numel() for p in experts))


def _experts(model: Any) -> tuple[float, list[Any]]:
    """The share of experts that a token is sent to, and their weights, ``[experts, …]`` each."""
    text = model.config.get_text_config()
    count = getattr(text, "num_local_experts", None) or getattr(text, "num_experts", None)
    active = getattr(text, "num_experts_per_tok", None)
    if not count or not active:
        return 1.0, []
    return active / count, [p for p in model.parameters() if p.dim() == 3 and p.shape[0] == count]


def _attention_flops(layout: Any, windows: Sequence[float], positions: int) -> float:
    """Of a token that sees so many positions where no window is in the way."""
    heads = zip(layout.heads.heads_per_layer, windows, strict=True)
    return 4.0 * layout.head_dim * sum(count * min(positions, window) for count, window in heads)


def _windows(model: Any, layers: int) -> list[float]:
    """Positions that each layer sees at most."""
    text = model.config.get_text_config()
    window = getattr(text, "sliding_window", None)
    kinds = getattr(text, "layer_types", None)
    if not window or getattr(text, "use_sliding_window", True) is False:
        return [math.inf] * layers
    if not kinds:
        return [float(window)] * layers
    return [float(window) if "sliding" in kind else math.inf for kind in kinds]
