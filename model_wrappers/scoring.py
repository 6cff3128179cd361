"""``score=`` and ``reward_model=``: arguments of every model of ours, and the scorer they name."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sprint_eval.compare.stored import StoredScorer
from sprint_eval.errors import ArgumentError, did_you_mean

if TYPE_CHECKING:
    from sprint_eval.scoring import Answer, Scorer

BASE_LOGPROB = "base_logprob"
_SCORES = (BASE_LOGPROB,)
_OFF = ("", "none", "false")


@dataclass(frozen=True)
class ScoringArguments:
    """Which scorer is asked for.

    Attributes:
        score: ``"base_logprob"``, or ``None``.
        reward_model: folder or hub name of a reward model, or ``None``.
    """

    score: str | None = None
    reward_model: str | None = None

    @classmethod
    def read(cls, score: Any, reward_model: Any, engine: str, served: bool) -> ScoringArguments:
        """Check the arguments before any weights are loaded.

        Args:
            engine: name of who decodes; ``served`` where it has the weights, and not this process.

        Raises:
            ArgumentError: an unknown score, both at once, no weights to score with, or a reward
                model of another shape.
        """
        name = None if score is None or str(score).lower() in _OFF else str(score)
        path = None if reward_model is None or str(reward_model).lower() in _OFF else str(reward_model)
        if name is not None and name not in _SCORES:
            raise ArgumentError(
                f"score = '{name}' is unknown{did_you_mean(name, _SCORES)}; known: {', '.join(_SCORES)}"
            )
        if name is not None and path is not None:
            raise ArgumentError(
                f"score={name} and reward_model= both choose best@k's scorer; give one of them"
            )
        if name is not None and served:
            raise ArgumentError(
                f"score={name} needs the model in this process, engine={engine} holds it elsewhere; "
                "use the built-in engine, or reward_model="
            )
        if path is not None:
            from sprint_eval.scoring.reward import check_reward_model

            check_reward_model(path)
        return cls(name, path)

    def load(self, model: Any, device: Any, keep: Callable[[Scorer], Scorer]) -> Scoring | None:
        """The scorer, loaded; ``None`` where none is asked for.

        Args:
            model: the loaded base.
            device: where a reward model goes.
            keep: puts a scorer behind a store.

        Raises:
            ArgumentError: the reward model cannot be loaded.
        """
        if self.score is None and self.reward_model is None:
            return None
        from sprint_eval.scoring import BaseLogprob, RewardModel

        if self.reward_model is not None:
            return Scoring(keep(RewardModel.load(self.reward_model, device)))
        return Scoring(keep(BaseLogprob(model)))


class Scoring:
    """A scorer at work, with what it cost."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._own: dict[str, float] = {"scored": 0, "from_store": 0, "seconds": 0.0}
        self._total = dict(self._own)

    def scores(self, answers: Sequence[Answer], hidden: bool) -> list[float]:
        """A score an answer, in order; equal answers are scored once.

        Args:
            hidden: show no progress bar.
        """
        from tqdm import tqdm

        started = time.perf_counter()
        distinct = len({self._scorer.key(answer) for answer in answers})
        with tqdm(total=distinct, disable=hidden, desc=f"scoring ({self._scorer.name})") as bar:
            scores = self._scorer.score(answers, bar.update)
        self._own["scored"] += distinct
        if isinstance(self._scorer, StoredScorer):
            self._own["from_store"] = self._scorer.from_store
        self._own["seconds"] += time.perf_counter() - started
        return scores

    def cost(self) -> dict[str, float]:
        """What this process spent so far."""
        return dict(self._own)

    def total(self, parts: Sequence[Mapping[str, float]]) -> None:
        """Take the costs of all processes, which run side by side."""
        self._total = {
            "scored": sum(int(part["scored"]) for part in parts),
            "from_store": sum(int(part["from_store"]) for part in parts),
            "seconds": max(part["seconds"] for part in parts),
        }

    def info(self) -> dict[str, Any]:
        """For the results' ``config``; the seconds of scores from a store are unknown, so none are told."""
        cost = {"scored_answers": self._total["scored"]}
        if self._total["from_store"]:
            cost["scores_from_store"] = self._total["from_store"]
        else:
            cost["score_seconds"] = self._total["seconds"]
        return self._scorer.info() | cost
