"""``--model sprint-router``: the head sets that a trained router ranks first for each question."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from sprint_eval.errors import ArgumentError
from sprint_eval.heads import HeadLayout
from sprint_eval.model_wrappers.answers import Variant, check_pool_size
from sprint_eval.model_wrappers.base import HeadSetLM
from sprint_eval.model_wrappers.candidates import Question
from sprint_eval.model_wrappers.trained import ARGUMENT, TrainedQuestions, prompt_formats
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
    OWN_ARGS = ("router", "selection", ARGUMENT)

    def __init__(
        self,
        pretrained: Any,
        *,
        router: str | int | None = None,
        selection: str | None = None,
        allow_trained_questions: bool | str = False,
        **kwargs: Any,
    ) -> None:
        self._folder = None if router is None else str(router)  # lm-eval makes a number of digits
        self._selection = selection
        self._trained = TrainedQuestions(allow_trained_questions)
        self._routing_seconds = 0.0  # of this process
        self._slowest_seconds = 0.0  # of all of them, on rank 0
        super().__init__(pretrained, **kwargs)

    def check_config(self, layout: HeadLayout) -> None:
        """Read the router before the model's weights, so that a wrong folder costs nothing."""
        if not self._folder:
            raise ArgumentError("sprint-router needs router=FOLDER, written by 'sprint-eval train-router'")
        self._trained.read()
        self._router = Router.load(self._folder)
        self._router.pool.check(layout)

    def prepare(self, layout: HeadLayout) -> None:
        if not hasattr(self, "_router"):
            self.check_config(layout)
        self._router.check_model(self.fingerprint, layout)

    def choose(self, questions: Sequence[Question]) -> list[list[Variant]]:
        for facts in prompt_formats(self, questions):
            self._router.check_prompts(facts)
        keys = [question.key for question in questions]
        self._trained.add(self._router.check_questions(keys, self._trained.allowed))
        check_pool_size(self.METHOD, self._router.pool, questions)
        most = max((question.n for question in questions), default=1)
        self._router.warm_up()  # loading the embedder is no more part of routing than the model's of decoding
        started = time.perf_counter()
        ranked = self._router.rank([question.text for question in questions], most, self._selection)
        self._routing_seconds += time.perf_counter() - started
        return [
            [Variant(choice.heads, choice.weight) for choice in choices[: question.n]]
            for question, choices in zip(questions, ranked, strict=True)
        ]

    def method_info(self) -> dict[str, Any]:
        return {
            "pool": self._router.pool.names(),
            "router_fingerprint": self._router.fingerprint,
            "selection": self._selection or self._router.card.selection,
            "router_trained_on_test": self._trained.asked,
            "routing_seconds": round(self._slowest_seconds, 4),
        }

    def gather_facts(self) -> None:
        """A trained question anywhere marks the run; the slowest process says what routing took."""
        self._trained.gather(self)
        seconds = self.gather_object(self._routing_seconds)
        if self.rank == 0:
            self._slowest_seconds = max(seconds)
