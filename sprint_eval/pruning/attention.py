"""Attention for layers that have lost heads, as attention functions that ``transformers`` knows by name.

``transformers`` takes for granted that every key/value head serves equally many query heads. Of a
layer whose groups are uneven after a cut, the functions here know which query head reads which
key/value head. Each is registered together with the mask function of the implementation that it
stands for: a function without one would get no mask at all, silently.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import eager_mask, sdpa_mask

from sprint_eval.errors import UnsupportedModelError

if TYPE_CHECKING:
    from torch import Tensor

CUT_PREFIX = "sprint_cut_"
TEXTS_PREFIX = "sprint_texts_"  # packed texts in training: sprint_eval.distillation.packing
_MASKS: dict[str, Callable[..., Any]] = {"eager": eager_mask, "sdpa": sdpa_mask}


def register(name: str, base: str, function: Callable[..., Any]) -> None:
    """Make an attention function known to ``transformers``, with the masks of ``base``."""
    AttentionInterface.register(name, function)
    AttentionMaskInterface.register(name, _MASKS[base])


def base_implementation(name: str | None) -> str:
    """The stock implementation behind one of our names: ``sprint_cut_sdpa`` → ``sdpa``."""
    return (name or "sdpa").removeprefix(CUT_PREFIX).removeprefix(TEXTS_PREFIX)


def cut_implementation(requested: str | None) -> str:
    """Our name for a cut model that is to run as ``requested`` does (``None``: sdpa).

    Raises:
        UnsupportedModelError: an implementation that cannot serve uneven groups.
    """
    base = base_implementation(requested)
    if base not in _CUT:
        raise UnsupportedModelError(
            f"a model with heads cut out runs with attn_implementation=sdpa or eager, found '{requested}'"
        )
    return CUT_PREFIX + base


def attention_function(base: str) -> Callable[..., Any]:
    """The function for ``"sdpa"`` or ``"eager"`` attention over layers cut or not."""
    return _CUT[base]


def set_groups(attention: Any, groups: tuple[int, ...]) -> None:
    """Tell a layer's attention how many query heads each of its key/value heads serves.

    Even groups are left to the stock code by ``num_key_value_groups`` alone; for uneven ones the
    indices are worked out here, once.
    """
    width = max(groups)
    attention.kv_groups = groups
    attention.num_key_value_groups = width
    attention.kv_even = len(set(groups)) == 1
    if attention.kv_even:
        return
    kv_of_query = [kv for kv, count in enumerate(groups) for _ in range(count)]
    # A grid [kv_heads, width] of query heads, short rows filled with the row's first head; and the
    # place of each query head in it.
    starts = [sum(groups[:kv]) for kv in range(len(groups))]
    grid = [starts[kv] + (i if i < count else 0) for kv, count in enumerate(groups) for i in range(width)]
    places = [kv * width + i for kv, count in enumerate(groups) for i in range(count)]
    attention.kv_index = _Indices(kv_of_query, grid, places)


class _Indices:
    """Index tensors that follow the device of the tensors they index, and stay out of state dicts."""

    def __init__(self, kv_of_query: list[int], grid: list[int], places: list[int]) -> None:
        self._lists = {"kv_of_query": kv_of_query, "grid": grid, "places": places}
        self._tensors: dict[tuple[str, torch.device], Tensor] = {}

    def get(self, name: str, device: torch.device) -> Tensor:
        found = self._tensors.get((name, device))
        if found is None:
            found = torch.tensor(self._lists[name], device=device)
            self._tensors[name, device] = found
        return found


def expand_heads(module: Any, states: Tensor, heads: int) -> Tensor:
    """Keys or values with one row a query head: ``[batch, kv_heads, seq, d] -> [batch, heads, seq, d]``."""
    if states.shape[1] == heads:
        return states
    if getattr(module, "kv_even", True):
        return states.repeat_interleave(heads // states.shape[1], dim=1)
    return states.index_select(1, module.kv_index.get("kv_of_query", states.device))


def _cut_sdpa(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, None]:
    """SDPA over groups of any sizes; the same numbers as expanding every key/value head.

    A single query token a row (decoding) stands as ``width`` queries of its key/value head, so that the
    long keys and values are read in place; groups that are not as wide as the widest are filled up with
    repeated query heads, whose results are dropped. More tokens (prefill) of uneven groups copy keys and
    values per query head, which stock code does for even groups only under a mask.
    """
    plain = kwargs.get("softcap") is None and kwargs.get("position_bias") is None  # else: stock code's to say
    if query.shape[2] == 1 and plain and (attention_mask is None or attention_mask.shape[1] == 1):
        return _one_token(module, query, key, value, attention_mask, **kwargs), None
    if getattr(module, "kv_even", True):
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    key, value = expand_heads(module, key, query.shape[1]), expand_heads(module, value, query.shape[1])
    per_head: Any = _PerHead(module)
    return sdpa_attention_forward(per_head, query, key, value, attention_mask, **kwargs)


def _one_token(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> Tensor:
    """``[batch, heads, 1, d]`` over ``[batch, kv_heads, seq, d]``: ``[batch, 1, heads, d]``."""
    index = None if getattr(module, "kv_even", True) else module.kv_index
    if index is not None:
        query = query.index_select(1, index.get("grid", query.device))
    packed = query.reshape(query.shape[0], key.shape[1], -1, query.shape[3])  # [batch, kv_heads, width, d]
    result = torch.nn.functional.scaled_dot_product_attention(
        packed, key, value, attn_mask=attention_mask, dropout_p=dropout, scale=scaling
    )
    heads = result.flatten(1, 2)  # [batch, kv_heads * width, d]
    if index is not None:
        heads = heads.index_select(1, index.get("places", query.device))
    return heads.unsqueeze(1)


class _PerHead:  # not a Module: made anew at each call
    """What SDPA asks of an attention module, for keys and values that are already one a query head."""

    num_key_value_groups = 1

    def __init__(self, module: Any) -> None:
        self.is_causal = getattr(module, "is_causal", True)


def _cut_eager(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    softcap: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor]:
    """Attention step by step, with the map ``[batch, heads, seq, seq]`` as the second result."""
    key, value = expand_heads(module, key, query.shape[1]), expand_heads(module, value, query.shape[1])
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = torch.matmul(query, key.transpose(2, 3)) * scaling
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if attention_mask is not None:
        scores = scores + attention_mask
    dtype = torch.promote_types(query.dtype, torch.float32)
    weights = torch.softmax(scores, dim=-1, dtype=dtype).to(query.dtype)
    weights = torch.nn.functional.dropout(weights, p=dropout, training=module.training)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights


_CUT: dict[str, Callable[..., Any]] = {"sdpa": _cut_sdpa, "eager": _cut_eager}

for _base, _function in _CUT.items():
    register(CUT_PREFIX + _base, _base, _function)
