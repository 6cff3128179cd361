"""Memory for keys, values and hidden states: slots of one token in one segment of layers."""

from __future__ import annotations

import math
import mmap
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sprint_eval.engine.prefixes import SHORTEST, agreed
from sprint_eval.engine.segments import Key, Segments
from sprint_eval.engine.slots import NONE, Columns, Slots

if TYPE_CHECKING:
    from torch import Tensor

    from sprint_eval.heads import HeadSet

_SLACK = 8  # tokens that a kept prefix may be shorter than a call's own


class Store:
    """Slots of one segment, each holding one token's keys, values and outgoing hidden state.

    Tensors are made at the first write, when shapes are known. On a CPU their pages take memory
    only once written, so what is reserved costs nothing.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._keys_values: dict[int, Tensor] = {}  # layer -> [capacity, 2, kv_heads, head_dim]
        self._hidden: Tensor | None = None  # [capacity, hidden]

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


def empty_lasting(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """A tensor, not yet written, for one of many blocks that outlive a forward; device and dtype of ``like``.

    On a CPU its memory comes from the system itself: among thousands of blocks that stay, the C library
    searches longer and longer for room for what a forward needs for a moment.

    Raises:
        MemoryError: the system has none left.
    """
    if like.device.type != "cpu" or not hasattr(mmap, "MAP_PRIVATE"):  # as on Windows
        return like.new_empty(shape)
    try:
        size = math.prod(shape) * like.element_size()
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(str(error)) from error
    return torch.frombuffer(memory, dtype=like.dtype).view(shape)  # and keeps it alive


class PrefixCells:
    """A shared prefix in one segment under one key.

    Attributes:
        keys_values: of each layer ``[length, 2, kv_heads, head_dim]``, as in a slot store.
        hidden: ``[length, hidden]``, as it leaves the segment.
    """

    __slots__ = ("hidden", "keys_values")

    def __init__(self) -> None:
        self.keys_values: dict[int, Tensor] = {}
        self.hidden: Tensor | None = None


class Prefix:
    """Tokens that many prompts begin with, computed once a key.

    Attributes:
        tokens: the prefix; may be empty.
        cells: what has been computed.
        kept: it outlives the requests of one prompt; else its cells go with them.
    """

    def __init__(self, tokens: tuple[int, ...], kept: bool = False) -> None:
        self.tokens = tokens
        self.cells: dict[Key, PrefixCells] = {}
        self.kept = kept

    def __len__(self) -> int:
        return len(self.tokens)


class Kept:
    """What outlives a call: segments, and prefixes computed for some head sets.

    A store is often filled by many calls with the same worked examples and pool, of a single prompt
    each where the pool is large.
    """

    def __init__(self, head_sets: frozenset[HeadSet], num_layers: int, weights: tuple[Any, ...]) -> None:
        self.head_sets = head_sets
        self.weights = weights
        self.segments = Segments(head_sets, num_layers)
        self._prefixes: list[Prefix] = []
        self._last: tuple[int, ...] = ()  # a prompt of the call before

    def prefixes(self, lengths: Mapping[tuple[int, ...], int]) -> dict[tuple[int, ...], Prefix]:
        """The prefix of each prompt, given how many tokens it shares: a kept one if nearly as long.

        A prompt that shares nothing with the others of this call shares what it has in common with the
        call before, if that is most of it, or else any kept prefix that it begins with.
        """
        sharers = Counter(prompt[:length] for prompt, length in lengths.items())
        found: dict[tuple[int, ...], Prefix] = {}
        made: dict[tuple[tuple[int, ...], bool], Prefix] = {}
        for prompt, length in lengths.items():
            alone = sharers[prompt[:length]] == 1
            common = min(agreed(self._last, prompt), len(prompt) - 1) if alone else 0
            if common >= max(SHORTEST, len(prompt) // 2):
                alone, length = False, common
            near = (prefix for prefix in self._prefixes if _near(prefix, prompt, length, alone))
            known = max(near, key=len, default=None)
            if known is None:
                known = made.setdefault((prompt[:length], alone), Prefix(prompt[:length], kept=not alone))
            found[prompt] = known
        self._prefixes = [p for p in {id(p): p for p in found.values()}.values() if p.kept and len(p)]
        self._last = next(iter(lengths), ())
        return found


def _near(prefix: Prefix, prompt: tuple[int, ...], length: int, alone: bool) -> bool:
    enough = alone or length <= len(prefix) + max(_SLACK, len(prefix) // 4)
    return enough and len(prefix) <= length and prompt[: len(prefix)] == prefix.tokens


def weights_of(model: Any) -> tuple[Any, ...]:
    """What tells one state of a model's weights from another: the tensors, and how often each was written."""
    return tuple(
        (id(weight), 0 if weight.is_inference() else weight._version) for weight in model.parameters()
    )


class Cache:
    """All segments' slots, and what stands in them."""

    def __init__(self, segments: Segments, capacity: int) -> None:
        self.capacity = capacity
        self.stores = [Store(capacity) for _ in range(len(segments))]
        self.slots = Slots(len(segments), capacity)
        self.columns = Columns(len(segments))

    @property
    def free(self) -> int:
        """Slots free in every segment."""
        return self.slots.free

    def release(self, columns: np.ndarray, asked: np.ndarray) -> list[int]:
        """Free cells that are computed.

        Args:
            columns: ``[n]``; one may be named twice.
            asked: ``[segments, n]``, which of their cells.

        Returns:
            Those of the columns that hold nothing any more.
        """
        order = np.argsort(columns, kind="stable")
        columns = columns[order]
        firsts = np.flatnonzero(np.diff(columns, prepend=NONE))
        columns, asked = columns[firsts], np.logical_or.reduceat(asked[:, order], firsts, axis=1)
        block = self.columns.table[:, columns]
        freed = asked & (block != NONE)
        self.slots.release(freed.sum(1), block[freed])
        block[freed] = NONE
        self.columns.table[:, columns] = block
        empty: list[int] = columns[(block == NONE).all(0)].tolist()
        return empty
