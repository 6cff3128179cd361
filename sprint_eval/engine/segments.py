"""Where the variants of a model part: runs of layers in which equal head sets compute the same.

A variant pruned first at layer l computes what the base computes in all layers below l. Cutting
the layers at every layer where some request loses a head gives *segments*; inside a segment, two
requests whose heads pruned so far are the same compute the same hidden states, keys and values
for the same tokens. A :class:`Key` names such a state.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from sprint_eval.heads import Head, HeadSet


class Key:
    """What decides the states in one segment: the heads pruned up to its end. Compared by identity.

    Attributes:
        number: tells keys of the same segments apart.
        shared: several head sets have this key, so that one can start from another's states.
    """

    __slots__ = ("_pruned", "heads", "number", "segment", "shared")

    def __init__(self, segment: int, heads: tuple[Head, ...], number: int = 0) -> None:
        self.segment = segment
        self.heads = heads
        self.number = number
        self.shared = False
        self._pruned: dict[int, list[int]] = {}
        for head in heads:
            self._pruned.setdefault(head.layer, []).append(head.head)

    def pruned_in(self, layer: int) -> Sequence[int]:
        """The heads pruned in one layer."""
        return self._pruned.get(layer, ())


class Segments:
    """The segments of a model for the head sets of some requests, and the keys in them."""

    def __init__(self, head_sets: Iterable[HeadSet], num_layers: int) -> None:
        distinct = set(head_sets)
        cuts = {head.layer for head_set in distinct for head in head_set}
        self.starts: tuple[int, ...] = tuple(sorted(cuts | {0}))
        self.ends: tuple[int, ...] = (*self.starts[1:], num_layers)
        self.num_layers = num_layers
        self.of_layer: tuple[int, ...] = tuple(
            segment
            for segment, (start, end) in enumerate(zip(self.starts, self.ends, strict=True))
            for _ in range(start, end)
        )
        self._keys: dict[tuple[int, tuple[Head, ...]], Key] = {}
        users = Counter(key for head_set in distinct for key in self.keys(head_set))
        for key, count in users.items():
            key.shared = count > 1

    def __len__(self) -> int:
        return len(self.starts)

    def layers(self, segment: int) -> int:
        """Number of layers in a segment."""
        return self.ends[segment] - self.starts[segment]

    def keys(self, heads: HeadSet) -> tuple[Key, ...]:
        """A head set's key in each segment."""
        return tuple(self._key(segment, heads) for segment in range(len(self)))

    def below(self, key: Key) -> tuple[Key, ...]:
        """A key of the last segment after those that its states are computed from."""
        return tuple(self._key(segment, key.heads) for segment in range(key.segment + 1))

    def order(self, heads: HeadSet) -> tuple[tuple[int, int], ...]:
        """Sort key under which requests that share a :class:`Key` stand together in every segment.

        A head set ends with a mark beyond all layers, so that it follows its own extensions.
        """
        return (*((head.layer, head.head) for head in heads), (self.num_layers, 0))

    def _key(self, segment: int, heads: Iterable[Head]) -> Key:
        below = tuple(head for head in heads if head.layer < self.ends[segment])
        name = (segment, below)
        if name not in self._keys:
            self._keys[name] = Key(segment, below, len(self._keys))
        return self._keys[name]
