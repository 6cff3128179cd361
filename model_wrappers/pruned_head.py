"""``--model pruned-head``: one head set for all candidates, or a pool with one a candidate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sprint_eval.errors import ArgumentError
from sprint_eval.heads import HeadLayout, HeadPool, HeadSet
from sprint_eval.model_wrappers.answers import Variant, check_pool_size
from sprint_eval.model_wrappers.arguments import check_made_on
from sprint_eval.model_wrappers.base import HeadSetLM
from sprint_eval.model_wrappers.candidates import Question


class PrunedHeadLM(HeadSetLM):
    """Head sets named by the user.

    Args:
        heads: one head set, ``L15H0+L15H3`` or ``base``, for every candidate.
        pool: a pool, ``5/10/15:*`` or ``L5H0/L5H1+L6H2``: candidate k takes entry k.
        made_on: ``model-`` and the fingerprint of the model that the heads were chosen on; another one
            is refused.
    """

    METHOD = "pruned-head"
    OWN_ARGS = ("heads", "pool", "made_on")

    def __init__(
        self,
        pretrained: Any,
        *,
        heads: str | None = None,
        pool: str | None = None,
        made_on: str | None = None,
        **kwargs: Any,
    ) -> None:
        self._made_on = None if made_on is None else str(made_on).removeprefix("model-")
        self._heads_text = heads
        self._pool_text = pool
        super().__init__(pretrained, **kwargs)

    def check_config(self, layout: HeadLayout) -> None:
        self._pool = self._read(layout)

    def prepare(self, layout: HeadLayout) -> None:
        self._pool = self._read(layout)
        if self._made_on is not None:
            found = f"these heads were chosen by outcomes of the model {self._made_on}"
            check_made_on(self._made_on, self.fingerprint, found)

    def _read(self, layout: HeadLayout) -> HeadPool:
        if (self._heads_text is None) == (self._pool_text is None):
            found = "neither" if self._heads_text is None else "both"
            raise ArgumentError(
                "pruned-head takes heads=L15H0 (one head set) or pool=5/10:* (one a candidate), "
                f"found {found}"
            )
        if self._heads_text is None:
            return HeadPool.parse(str(self._pool_text), layout)
        pool = HeadPool((HeadSet.parse(str(self._heads_text)),))
        pool.check(layout)
        return pool

    def choose(self, questions: Sequence[Question]) -> list[list[Variant]]:
        fixed = self.fixed_head_set()
        if fixed is not None:
            return [[Variant(fixed)] * question.n for question in questions]
        check_pool_size(self.METHOD, self._pool, questions)
        return [[Variant(head_set) for head_set in self._pool.sets[: question.n]] for question in questions]

    def fixed_head_set(self) -> HeadSet | None:
        return self._pool[0] if len(self._pool) == 1 and self._heads_text is not None else None

    def method_info(self) -> dict[str, Any]:
        return {"pool": self._pool.names()}
