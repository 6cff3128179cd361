"""``--model sprint-router``: the head sets that a trained router ranks first for each question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sprint_eval.errors import ArgumentError
from sprint_eval.heads import HeadLayout
from sprint_eval.model_wrappers.answers import Variant, check_pool_size
from sprint_eval.model_wrappers.arguments import as_bool
from sprint_eval.model_wrappers.base import HeadSetLM
from sprint_eval.model_wrappers.candidates import Question
from sprint_eval.routing import Router


class SprintRouterLM(HeadSetLM):
    """Candidate k of a question runs under the head set of rank k (SPRINT, section 4).

    Args:
        router: folder written by ``sprint-eval train-router``.
        selection: a selection rule of the router other than its own.
        allow_trained_questions: answer questions that the router was trained on; the results say
            so and a leaderboard marks them. Refused without it.
    """

    METHOD = "sprint-router"
    OWN_ARGS = ("router", "selection", "allow_trained_questions")

    def __init__(
        self,
        pretrained: Any,
        *,
        router: str | None = None,
        selection: str | None = None,
        allow_trained_questions: bool | str = False,
        **kwargs: Any,
    ) -> None:
        self._folder = router
        self._selection = selection
        self._allow_text = allow_trained_questions
        self._seen = 0
        super().__init__(pretrained, **kwargs)

    def check_config(self, layout: HeadLayout) -> None:
        """Read the router before the model's weights, so that a wrong folder costs nothing."""
        if not self._folder:
            raise ArgumentError("sprint-router needs router=FOLDER, written by 'sprint-eval train-router'")
        self._allow_seen = as_bool("allow_trained_questions", self._allow_text)
        self._router = Router.load(self._folder)
        self._router.pool.check(layout)

    def prepare(self, layout: HeadLayout) -> None:
        if not hasattr(self, "_router"):
            self.check_config(layout)
        self._router.check_model(self.fingerprint, layout)

    def choose(self, questions: Sequence[Question]) -> list[list[Variant]]:
        self._router.check_prompts(self.prompt_facts())
        self._seen += self._router.check_questions(
            [question.key for question in questions], allow_seen=self._allow_seen
        )
        check_pool_size(self.METHOD, self._router.pool, questions)
        most = max((question.n for question in questions), default=1)
        ranked = self._router.rank([question.text for question in questions], most, self._selection)
        return [
            [Variant(choice.heads, choice.weight) for choice in choices[: question.n]]
            for question, choices in zip(questions, ranked, strict=True)
        ]

    def method_info(self) -> dict[str, Any]:
        return {
            "pool": self._router.pool.names(),
            "router_fingerprint": self._router.fingerprint,
            "selection": self._selection or self._router.card.selection,
            "router_trained_on_test": self._seen > 0,
        }
