"""Memory for keys, values and hidden states: slots of one token in one segment of layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch

from sprint_eval.engine.segments import Key, Segments

if TYPE_CHECKING:
    from torch import Tensor


class SlotStore:
    """Slots of one segment, each holding one token's keys, values and outgoing hidden state.

    Tensors are made at the first write, when shapes are known. On a CPU their pages take memory
    only once written, and slots are reused last-freed first, so what is reserved costs nothing.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._free = list(range(capacity - 1, -1, -1))
        self._keys_values: dict[int, Tensor] = {}  # layer -> [capacity, 2, kv_heads, head_dim]
        self._hidden: Tensor | None = None  # [capacity, hidden]

    @property
    def free(self) -> int:
        """Number of free slots."""
        return len(self._free)

    def take(self) -> int:
        """A free slot; the scheduler has seen to it that there is one."""
        return self._free.pop()

    def release(self, slots: Iterable[int]) -> None:
        self._free.extend(slots)

    def write(self, layer: int, slots: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Store keys and values, each ``[tokens, kv_heads, head_dim]``; returns the layer's store."""
        store = self._keys_values.get(layer)
        if store is None:
            store = key.new_empty(self.capacity, 2, *key.shape[1:])
            self._keys_values[layer] = store
        store.index_copy_(0, slots, torch.stack((key, value), dim=1))
        return store

    def write_hidden(self, slots: Tensor, hidden: Tensor) -> None:
        """Store hidden states as they leave the segment: ``[tokens, hidden]``."""
        if self._hidden is None:
            self._hidden = hidden.new_empty(self.capacity, hidden.shape[-1])
        self._hidden.index_copy_(0, slots, hidden)

    def read_hidden(self, slots: Tensor) -> Tensor:
        if self._hidden is None:
            raise RuntimeError("hidden states are read before any were written")
        return self._hidden.index_select(0, slots)


class PrefixCells:
    """A shared prefix in one segment under one key, laid out for attention by many queries."""

    __slots__ = ("hidden", "keys_values")

    def __init__(self) -> None:
        self.keys_values: dict[int, tuple[Tensor, Tensor]] = {}  # layer -> 2 x [kv_heads, length, head_dim]
        self.hidden: Tensor | None = None  # [length, hidden], as it leaves the segment


class Prefix:
    """Tokens that many prompts begin with, computed once a key.

    Attributes:
        tokens: the prefix; may be empty.
        cells: what has been computed.
        users: unfinished requests of each key; cells without users are dropped.
    """

    def __init__(self, tokens: tuple[int, ...]) -> None:
        self.tokens = tokens
        self.cells: dict[Key, PrefixCells] = {}
        self.users: dict[Key, int] = {}

    def __len__(self) -> int:
        return len(self.tokens)

    def join(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self.users[key] = self.users.get(key, 0) + 1

    def leave(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self.users[key] -= 1
            if self.users[key] == 0:
                del self.users[key]
                self.cells.pop(key, None)


class Cache:
    """All segments' slots."""

    def __init__(self, segments: Segments, capacity: int) -> None:
        self.capacity = capacity
        self.stores = [SlotStore(capacity) for _ in range(len(segments))]

    @property
    def free(self) -> int:
        """Slots free in every segment."""
        return min(store.free for store in self.stores)
