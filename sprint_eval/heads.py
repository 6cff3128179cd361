"""Heads, sets of heads pruned together, and pools of such sets, with their text forms.

=======================  =======================================================
``L15H0``                one head: layer 15, query head 0 (both counted from 0)
``L15H0+L15H3``          a head set: heads pruned together
``base``                 the empty head set: nothing is pruned
``L15H0/L3H1+L3H2``      a pool: an ordered list of head sets
``5/10/15:*``            every head of layers 5, 10 and 15, one head set a head
``0-3:0-1``              heads 0 and 1 of layers 0 to 3
``*:*``                  every head of the model
``base~T0.6K40P0.95D1``  in a pool, a sampled answer: see :mod:`sprint_eval.draws`
=======================  =======================================================

In Python, in files and on our own command line a comma may stand for ``/``; in ``model_args``
only ``/`` works, since lm-eval splits those at commas.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

from sprint_eval.errors import HeadError

BASE = "base"

_HEAD = re.compile(r"L(\d{1,6})H(\d{1,6})", re.ASCII)
_RANGE = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?", re.ASCII)
_POOL_HELP = "a pool looks like '5/10/15:*' (layers:heads) or 'L5H0/L5H1+L6H2/base'"


@dataclass(frozen=True, order=True)
class Head:
    """One attention head: a *query* head where keys and values are grouped."""

    layer: int
    head: int

    def __post_init__(self) -> None:
        if self.layer < 0 or self.head < 0:
            raise HeadError(f"layer and head count from 0, found layer {self.layer}, head {self.head}")

    def __str__(self) -> str:
        return f"L{self.layer}H{self.head}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """Read ``L15H0``.

        Raises:
            HeadError: the text is not of this form.
        """
        match = _HEAD.fullmatch(text.strip())
        if match is None:
            raise HeadError(f"a head looks like 'L15H0' (layer 15, head 0), found {text!r}")
        return cls(int(match[1]), int(match[2]))


@dataclass(frozen=True)
class HeadLayout:
    """How many query heads each layer of a model has; ``heads_per_layer[layer]``."""

    heads_per_layer: tuple[int, ...]

    @classmethod
    def uniform(cls, layers: int, heads: int) -> HeadLayout:
        """A model whose layers all have the same number of heads."""
        return cls((heads,) * layers)

    @property
    def num_layers(self) -> int:
        return len(self.heads_per_layer)

    @property
    def num_heads(self) -> int:
        """All heads of all layers."""
        return sum(self.heads_per_layer)

    def heads(self) -> Iterator[Head]:
        """Every head, layer by layer."""
        for layer, count in enumerate(self.heads_per_layer):
            for head in range(count):
                yield Head(layer, head)

    def check(self, heads: Iterable[Head]) -> None:
        """Refuse heads that the model does not have.

        Raises:
            HeadError: names the head and the model's range.
        """
        for head in heads:
            if head.layer >= self.num_layers:
                raise HeadError(f"{head}: the model has layers 0 to {self.num_layers - 1}")
            if head.head >= self.heads_per_layer[head.layer]:
                count = self.heads_per_layer[head.layer]
                has = f"heads 0 to {count - 1}" if count else "no heads left"
                raise HeadError(f"{head}: layer {head.layer} of the model has {has}")


@dataclass(frozen=True)
class HeadSet:
    """Heads that are pruned together, sorted and without repeats; empty for the base model."""

    heads: tuple[Head, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "heads", tuple(sorted(set(self.heads))))

    def __str__(self) -> str:
        return "+".join(map(str, self.heads)) or BASE

    def __iter__(self) -> Iterator[Head]:
        return iter(self.heads)

    def __len__(self) -> int:
        return len(self.heads)

    @property
    def is_base(self) -> bool:
        return not self.heads

    @property
    def first_layer(self) -> int | None:
        """The first layer with a pruned head: below it the variant computes what the base does."""
        return self.heads[0].layer if self.heads else None

    def by_layer(self) -> dict[int, tuple[int, ...]]:
        """Pruned head indices of each layer that has any."""
        layers: dict[int, list[int]] = {}
        for head in self.heads:
            layers.setdefault(head.layer, []).append(head.head)
        return {layer: tuple(indices) for layer, indices in layers.items()}

    @classmethod
    def of(cls, *heads: Head) -> HeadSet:
        return cls(tuple(heads))

    @classmethod
    def parse(cls, text: str) -> HeadSet:
        """Read ``L15H0+L15H3`` or ``base``.

        Raises:
            HeadError: the text is not of this form, or a head stands in it twice.
        """
        if text.strip() == BASE:
            return cls()
        heads = [Head.parse(part) for part in text.split("+")]
        if len(set(heads)) < len(heads):
            raise HeadError(f"a head stands twice in the head set {text!r}")
        return cls(tuple(heads))


@dataclass(frozen=True)
class HeadPool(Sequence[HeadSet]):
    """An ordered list of head sets without repeats; index ``j`` is the column of Z."""

    sets: tuple[HeadSet, ...]

    def __post_init__(self) -> None:
        if not self.sets:
            raise HeadError(f"the pool is empty; {_POOL_HELP}")
        seen: set[HeadSet] = set()
        for head_set in self.sets:
            if head_set in seen:
                raise HeadError(f"{head_set} stands twice in the pool")
            seen.add(head_set)

    @overload
    def __getitem__(self, index: int) -> HeadSet: ...
    @overload
    def __getitem__(self, index: slice) -> HeadPool: ...
    def __getitem__(self, index: int | slice) -> HeadSet | HeadPool:
        return HeadPool(self.sets[index]) if isinstance(index, slice) else self.sets[index]

    def __len__(self) -> int:
        return len(self.sets)

    def __str__(self) -> str:
        return "/".join(map(str, self.sets))

    def names(self) -> list[str]:
        """The text form of each entry, in order."""
        return [str(head_set) for head_set in self.sets]

    def check(self, layout: HeadLayout) -> None:
        """Refuse a pool with a head that the model does not have (:class:`HeadError`)."""
        for head_set in self.sets:
            layout.check(head_set)

    @classmethod
    def from_names(cls, names: Iterable[str]) -> HeadPool:
        """The pool whose :meth:`names` these are.

        Raises:
            HeadError: one of them cannot be read, or stands there twice.
        """
        return cls(tuple(map(parse_entry, names)))

    @classmethod
    def single_heads(cls, layout: HeadLayout, layers: Iterable[int] | None = None) -> HeadPool:
        """One head set a head, for the given layers or for all."""
        wanted = set(range(layout.num_layers) if layers is None else layers)
        if wanted and not 0 <= min(wanted) <= max(wanted) < layout.num_layers:
            raise HeadError(f"layers {sorted(wanted)}: the model has layers 0 to {layout.num_layers - 1}")
        return cls(tuple(HeadSet.of(head) for head in layout.heads() if head.layer in wanted))

    @classmethod
    def parse(cls, text: str, layout: HeadLayout) -> HeadPool:
        """Read a pool's text form (see the module's table) for a model of this layout.

        Raises:
            HeadError: the text is not of this form, or names a head that the model lacks.
        """
        sets: list[HeadSet] = []
        pending: list[str] = []  # layers read so far, waiting for their ':heads'
        for token in re.split(r"[/,]", text):
            token = token.strip()
            if ":" in token:
                layer, _, heads = token.partition(":")
                for item in [*pending, layer]:
                    sets.extend(_expand(item, heads, layout))
                pending.clear()
            elif _RANGE.fullmatch(token) or token == "*":
                pending.append(token)
            elif token and not pending:
                sets.append(parse_entry(token))
            else:
                raise HeadError(f"cannot read {token!r} in the pool {text!r}; {_POOL_HELP}")
        if pending:
            raise HeadError(f"layers without ':heads' at the end of the pool {text!r}; {_POOL_HELP}")
        pool = cls(tuple(sets))
        pool.check(layout)
        return pool


def parse_entry(text: str) -> HeadSet:
    """Read an entry of a pool: a head set, or a draw.

    Raises:
        HeadError: the text is of neither form.
    """
    from sprint_eval.draws import Draw, is_draw

    return Draw.parse(text) if is_draw(text) else HeadSet.parse(text)


def _expand(layers: str, heads: str, layout: HeadLayout) -> Iterator[HeadSet]:
    for layer in _indices(layers, layout.num_layers, "layer"):
        for head in _indices(heads, layout.heads_per_layer[layer], "head"):
            yield HeadSet.of(Head(layer, head))


def _indices(text: str, count: int, what: str) -> range:
    """The indices that ``*``, ``4`` or ``2-4`` names among ``count``."""
    text = text.strip()
    if text == "*":
        return range(count)
    match = _RANGE.fullmatch(text)
    if match is None:
        raise HeadError(f"a {what} is a number, a range like '2-4', or '*', found {text!r}")
    first, last = int(match[1]), int(match[2] or match[1])
    if last < first:
        raise HeadError(f"the {what} range {text!r} runs backwards")
    if last >= count:
        raise HeadError(f"{what} {last} is out of range: the model has {what}s 0 to {count - 1}")
    return range(first, last + 1)
