"""What decides how a router is trained."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from sprint_eval.errors import ArgumentError, did_you_mean

NEAREST, COVERAGE, MIXED = "nearest", "coverage", "mixed"
SELECTIONS = (NEAREST, COVERAGE, MIXED)


@dataclasses.dataclass(frozen=True)
class RouterConfig:
    """Hyperparameters of a router; the defaults are those that the paper leaves open.

    Attributes:
        dimension: p, the width of ``q`` and ``v_j``.
        spread: weight of the second term of SPRINT, Eq. 1, *over all pairs*: λ is ``spread``
            divided by the number of pairs of heads, so that it means the same for any pool.
        learning_rate: of AdamW.
        weight_decay: of AdamW, on θ and V.
        epochs: full-batch steps at most.
        patience: epochs without a better validation loss before training stops; 0 never stops.
        validation_fraction: part of the questions held back for early stopping, at most half; 0 for none.
        max_norm: bound on ``‖v_j‖``, kept by projection after each step.
        seed: of the start, the validation split and the folds.
        selection: rule that ranks heads unless another is asked for.
        folds: of the cross-validation that chooses the hyperparameters of ``coverage`` and ``mixed``.
        tune: whether cross-validation also chooses dimension, spread and learning rate.
        select_for: largest N that this cross-validation looks at: mean Pass@k for k = 1 to this.
    """

    dimension: int = 128
    spread: float = 0.1
    learning_rate: float = 1e-2
    weight_decay: float = 1e-2
    epochs: int = 200
    patience: int = 30
    validation_fraction: float = 0.1
    max_norm: float = 3.0
    seed: int = 0
    selection: str = NEAREST
    folds: int = 5
    select_for: int = 8
    tune: bool = False

    def __post_init__(self) -> None:
        for name, least in (
            ("dimension", 1),
            ("epochs", 1),
            ("patience", 0),
            ("folds", 2),
            ("select_for", 1),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ArgumentError(f"{name} must be a whole number of at least {least}, found {value!r}")
        for name in ("spread", "weight_decay"):
            self._check_number(name, minimum=0.0, open_end=False)
        for name in ("learning_rate", "max_norm"):
            self._check_number(name, minimum=0.0, open_end=True)
        if not 0.0 <= self.validation_fraction <= 0.5:
            raise ArgumentError(
                f"validation_fraction must be in [0, 0.5], found {self.validation_fraction!r}"
            )
        check_selection(self.selection)

    def _check_number(self, name: str, *, minimum: float, open_end: bool) -> None:
        value = getattr(self, name)
        if not math.isfinite(value) or value < minimum or (open_end and value == minimum):
            bound = f"above {minimum:g}" if open_end else f"at least {minimum:g}"
            raise ArgumentError(f"{name} must be a finite number {bound}, found {value!r}")

    def to_json(self) -> dict[str, Any]:
        """Plain values, as they stand in ``router.json``."""
        return dataclasses.asdict(self)


def check_selection(name: str) -> str:
    """The name of a selection rule.

    Raises:
        ArgumentError: there is no such rule.
    """
    if name not in SELECTIONS:
        raise ArgumentError(
            f"no selection rule {name!r}{did_you_mean(name, SELECTIONS)}; there are {', '.join(SELECTIONS)}"
        )
    return name
