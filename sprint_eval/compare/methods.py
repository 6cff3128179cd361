"""The methods that ``sprint-eval compare`` knows, by name."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sprint_eval.errors import ArgumentError, did_you_mean
from sprint_eval.routing.config import SELECTIONS

SAMPLE = "sample"
NAMES = {
    "greedy": "the unpruned base, greedy",
    SAMPLE + ":T": "multinomial sampling at temperature T, top_k 40, top_p 0.95, of the base",
    "random": "heads of the training questions' greedy cover, drawn at random a question",
    "cover": "the first N heads of that cover, the same for every question",
    "best": "the head that is best in training",
    "nearest": "the router's N nearest heads: the paper's method",
    "coverage": "the router's heads by marginal gain",
    "mixed": "the same, with the base, head sets and draws among the candidates",
    "mixed-cover": "the first N of the greedy cover of those candidates, the same for every question",
    "oracle": "every head of the pool: what a perfect selection would reach",
}
# The paper's figure 4, and the baselines that it leaves out; 'mixed' where Z has more than heads.
DEFAULT = (
    "greedy",
    "sample:0.1",
    "sample:0.6",
    "sample:0.9",
    "random",
    "cover",
    "best",
    "nearest",
    "coverage",
)


@dataclass(frozen=True)
class MethodSpec:
    """One method of a comparison.

    Attributes:
        name: as the user wrote it, e.g. ``"sample:0.6"``.
        kind: ``name`` without its parameter.
        temperature: of ``sample``.
    """

    name: str
    kind: str
    temperature: float | None = None

    @property
    def needs_router(self) -> bool:
        return self.kind in SELECTIONS

    @property
    def needs_outcomes(self) -> bool:
        return self.kind in ("random", "cover", "best", "mixed-cover", "oracle")

    @property
    def draws(self) -> bool:
        """Whether a seed makes another run of it."""
        return self.kind in (SAMPLE, "random")


def parse_method(name: str) -> MethodSpec:
    """Read a method's name.

    Raises:
        ArgumentError: there is no such method, or its temperature is not above 0.
    """
    kind, colon, parameter = name.partition(":")
    known = [known for known in NAMES if ":" not in known] + [SAMPLE]
    if kind not in known:
        raise ArgumentError(f"no method '{name}'{did_you_mean(kind, known)}; there are {', '.join(NAMES)}")
    if kind != SAMPLE:
        if colon:
            raise ArgumentError(f"method '{kind}' takes no parameter, found '{name}'")
        return MethodSpec(name, kind)
    try:
        temperature = float(parameter)
    except ValueError:
        temperature = math.nan
    if not (math.isfinite(temperature) and temperature > 0):
        raise ArgumentError(f"'{name}': sampling needs a temperature above 0, for instance sample:0.6")
    return MethodSpec(name, kind, temperature)


def place_of(name: str) -> tuple[int, float]:
    """Where a method stands in a list: as in :data:`NAMES`, samplings by temperature."""
    spec = parse_method(name)
    kinds = [known.partition(":")[0] for known in NAMES]
    return kinds.index(spec.kind), spec.temperature or 0.0
