"""``--model random-heads``: the paper's baseline, heads of a greedy cover drawn at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sprint_eval.errors import ArgumentError
from sprint_eval.heads import HeadLayout
from sprint_eval.model_wrappers.answers import Variant, check_pool_size
from sprint_eval.model_wrappers.arguments import check_made_on
from sprint_eval.model_wrappers.base import HeadSetLM
from sprint_eval.model_wrappers.candidates import Question
from sprint_eval.model_wrappers.trained import ARGUMENT, TrainedQuestions, prompt_formats
from sprint_eval.outcomes import Outcomes
from sprint_eval.prompt_facts import check_prompt_facts
from sprint_eval.questions import count_known
from sprint_eval.routing import random_heads_draw


class RandomHeadsLM(HeadSetLM):
    """N heads at random a question, from those that together solve the most training questions.

    Args:
        outcomes: folder of an outcome matrix, written by ``sprint-eval sweep``.
        allow_trained_questions: answer questions that the outcomes are of; the results say so and a
            leaderboard marks them. Refused without it: the cover would be chosen on the test.
        draw_seed: with the question, decides the draw.
    """

    METHOD = "random-heads"
    OWN_ARGS = ("outcomes", ARGUMENT)

    def __init__(
        self,
        pretrained: Any,
        *,
        outcomes: str | int | None = None,
        allow_trained_questions: bool | str = False,
        **kwargs: Any,
    ) -> None:
        self._folder = None if outcomes is None else str(outcomes)  # lm-eval makes a number of digits
        self._trained = TrainedQuestions(allow_trained_questions)
        super().__init__(pretrained, **kwargs)

    def check_config(self, layout: HeadLayout) -> None:
        """Read the outcomes before the model's weights, so that a wrong folder costs nothing."""
        if not self._folder:
            raise ArgumentError("random-heads needs outcomes=FOLDER, written by 'sprint-eval sweep'")
        self._trained.read()
        self._outcomes = Outcomes.load(self._folder)
        self._outcomes.pool.check(layout)
        # Draws once for nothing: an outcome matrix that nothing can be drawn from is refused here.
        random_heads_draw(self._outcomes, [], 1, self._draw_seed)

    def prepare(self, layout: HeadLayout) -> None:
        if not hasattr(self, "_outcomes"):
            self.check_config(layout)
        manifest = self._outcomes.manifest
        made_on = manifest.model_fingerprint
        found = f"the outcomes in {self._folder} are of {manifest.model} ({made_on})"
        check_made_on(made_on, self.fingerprint, found)

    def choose(self, questions: Sequence[Question]) -> list[list[Variant]]:
        made = self._outcomes.manifest.prompt_format
        for facts in prompt_formats(self, questions):
            check_prompt_facts(made, facts, f"the outcomes in {self._folder} are of", "sweep this one")
        check_pool_size(self.METHOD, self._outcomes.pool, questions)
        most = max((question.n for question in questions), default=1)
        keys = [question.key for question in questions]
        known = {question.key for question in self._outcomes.questions}
        where = f"in the outcomes {self._folder} that chose the heads"
        self._trained.add(count_known(keys, known, where, allow=self._trained.allowed))
        drawn = random_heads_draw(self._outcomes, keys, most, self._draw_seed)
        return [
            [Variant(heads) for heads in row[: question.n]]
            for question, row in zip(questions, drawn, strict=True)
        ]

    def method_info(self) -> dict[str, Any]:
        return {
            "pool": self._outcomes.pool.names(),
            "draw_seed": self._draw_seed,
            "heads_chosen_on_test": self._trained.asked,
        }

    def gather_facts(self) -> None:
        """A question of the outcomes in any process's share marks the whole run."""
        self._trained.gather(self)
