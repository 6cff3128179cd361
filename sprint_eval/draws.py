"""Sampled answers as entries of a pool: ``base~T0.6K40P0.95D1`` is the first draw from the base.

A :class:`Draw` stands in a pool like a head set that prunes nothing, with sampling settings of its own
and a number. Its answer to a question depends on these, the prompt and a seed alone, so that draws 1
to 4 are four answers, the same ones whoever asks for them.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from sprint_eval.errors import HeadError
from sprint_eval.heads import BASE, HeadPool, HeadSet

_FORM = re.compile(r"base~T([\d.e-]+)K(\d{1,9})P([\d.e-]+)D(\d{1,6})", re.ASCII)


@dataclass(frozen=True)
class Draw(HeadSet):
    """The ``number``-th sampled answer of the unpruned model.

    Attributes:
        temperature, top_k, top_p: how it is sampled; ``top_k`` 0 and ``top_p`` 1 leave all tokens in.
        number: from 1.
    """

    temperature: float = 0.6
    top_k: int = 40
    top_p: float = 0.95
    number: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.heads:
            raise HeadError(f"a draw is one of the base, found heads {HeadSet(self.heads)}")
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise HeadError(f"a draw with temperature {self.temperature}: expected a value above 0")
        if self.top_k < 0 or not 0 < self.top_p <= 1:
            raise HeadError(
                f"a draw with top_k {self.top_k}, top_p {self.top_p}: expected 0 or more, and (0, 1]"
            )
        if self.number < 1:
            raise HeadError(f"draws count from 1, found {self.number}")

    def __str__(self) -> str:
        shown = f"T{_number(self.temperature)}K{self.top_k}P{_number(self.top_p)}D{self.number}"
        return f"{BASE}~{shown}"

    @classmethod
    def parse(cls, text: str) -> Draw:
        """Read ``base~T0.6K40P0.95D1``.

        Raises:
            HeadError: the text is not of this form.
        """
        match = _FORM.fullmatch(text.strip())
        try:
            if match is not None:
                return cls((), float(match[1]), int(match[2]), float(match[3]), int(match[4]))
        except ValueError:
            pass
        raise HeadError(f"a draw looks like '{BASE}~T0.6K40P0.95D1', found {text!r}")


def is_draw(text: str) -> bool:
    """Whether a pool's entry is meant as a draw."""
    return "~" in text


def with_draws(pool: HeadPool, count: int, temperature: float, top_k: int, top_p: float) -> HeadPool:
    """The pool and after it ``count`` draws.

    Raises:
        HeadError: settings that nothing can be sampled by.
    """
    draws = [Draw((), temperature, top_k, top_p, number) for number in range(1, count + 1)]
    return HeadPool((*pool.sets, *draws))


def _number(value: float) -> str:
    short = f"{value:g}"
    return short if float(short) == value else repr(value)
