"""Keys and values of a prompt, computed once for all its answers and taken over by the next prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import DynamicCache


def shared_length(left: Sequence[int], right: Sequence[int]) -> int:
    """Tokens that two prompts begin with alike."""
    for length, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return length
    return min(len(left), len(right))


class PrefixChain:
    """The keys and values of one prefix; moving to another computes only where they part.

    Prefixes asked for in sorted order share most with their neighbours: worked examples are computed once.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._prefix: tuple[int, ...] = ()
        self._layers: list[tuple[Tensor, Tensor]] = []  # keys, values [1, heads, prefix, head_dim] a layer

    @staticmethod
    def suits(model: Any) -> bool:
        """Whether every layer keeps all keys: a window that slides could not be cut back."""
        from transformers import DynamicCache
        from transformers.cache_utils import DynamicLayer

        layers = DynamicCache(config=model.config).layers
        return bool(layers) and all(type(layer) is DynamicLayer for layer in layers)

    def move(self, prefix: tuple[int, ...]) -> None:
        """Hold this prefix's keys and values."""
        shared = shared_length(self._prefix, prefix)
        self._layers = [(keys[..., :shared, :], values[..., :shared, :]) for keys, values in self._layers]
        self._prefix = prefix[:shared]
        if shared < len(prefix):
            cache = self.cache(1)
            ids = torch.tensor([prefix[shared:]], device=self._model.device)
            with torch.no_grad():
                self._model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
            layers: list[Any] = cache.layers
            self._layers = [(layer.keys, layer.values) for layer in layers]
            self._prefix = prefix

    def cache(self, rows: int) -> DynamicCache:
        """A cache of its own that holds the prefix in every row."""
        from transformers import DynamicCache

        cache = DynamicCache()
        if self._prefix:
            for index, (keys, values) in enumerate(self._layers):
                cache.update(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1), index)
        return cache
