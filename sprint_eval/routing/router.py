"""A trained router: for each question, which candidates to decode, best first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sprint_eval.errors import ArgumentError, HeadError, MismatchError
from sprint_eval.heads import HeadLayout, HeadPool, HeadSet
from sprint_eval.prompt_facts import check_prompt_facts
from sprint_eval.questions import count_known
from sprint_eval.routing.config import check_selection
from sprint_eval.routing.embedder import FLOAT32, Embedder, SentenceEmbedder, check_embeddings
from sprint_eval.routing.selection import SelectionRule

# Embedded once in training; the embedder that routes must give it the same vector.
PROBE = "Tom has 3 boxes of 12 pencils and gives 7 pencils away. How many pencils are left?"
_PROBE_TOLERANCE = 1e-3
_COARSE_TOLERANCE = 3e-2  # bfloat16: rounding differs between processors; another model is at about 1


@dataclass(frozen=True)
class Choice:
    """One of a question's N candidates.

    Attributes:
        heads: what to prune.
        weight: the router's probability-like weight, in [0, 1], for a weighted vote.
    """

    heads: HeadSet
    weight: float


@dataclass(frozen=True)
class RouterCard:
    """What a router was made from: the part of ``router.json`` that guards are built on.

    Attributes:
        model: name of the base model, for messages.
        model_fingerprint: what the base model is.
        embedder: name of φ.
        selection: rule used unless another is asked for.
        question_keys: keys of all questions that the training had before it, used or left out.
        task: name of the task whose training questions these are.
        prompt_format: facts of the prompts that it was trained on, by name.
        hyperparameters: the :class:`~sprint_eval.routing.config.RouterConfig` as plain values.
        counts: questions offered, used, left out, solvable.
        metrics: losses and rates measured while training, none of them on test questions.
        embedder_dtype: what φ computes in.
    """

    model: str
    model_fingerprint: str
    embedder: str
    selection: str
    question_keys: frozenset[str]
    task: str = ""
    prompt_format: Mapping[str, Any] = field(default_factory=dict)
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    embedder_dtype: str = FLOAT32


class Router:
    """Ranks the candidates of a pool for each question by one of its selection rules.

    Make one with :func:`sprint_eval.routing.train_router` or :meth:`load`.
    """

    def __init__(
        self,
        pool: HeadPool,
        rules: Mapping[str, SelectionRule],
        card: RouterCard,
        probe: np.ndarray,
        embedder: Embedder | None = None,
    ) -> None:
        self.pool = pool
        self.rules = dict(rules)
        self.card = card
        self.probe = probe
        self._embedder = embedder
        self._probed = False

    def rank(self, questions: Sequence[str], n: int, selection: str | None = None) -> list[list[Choice]]:
        """The first ``n`` candidates for each question, best first.

        Args:
            questions: texts as the task words them, without examples or instructions.
            n: candidates a question, 1 to the number that the rule may choose from.
            selection: a rule other than the router's own.

        Raises:
            ArgumentError: there is no such rule, or ``n`` is out of range.
            MismatchError: the embedder is not the one of training.
        """
        name, rule = self._rule(selection)
        if not 1 <= n <= len(rule.columns):
            raise ArgumentError(
                f"N = {n}: selection '{name}' of this router has {len(rule.columns)} candidates, "
                "N must be 1 to that"
            )
        if not questions:
            return []
        ranking = rule.rank(self._embed(questions), n)
        return [
            [Choice(self.pool[int(j)], float(weight)) for j, weight in zip(order, weights, strict=True)]
            for order, weights in zip(ranking.order, ranking.weights, strict=True)
        ]

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits from everything that decides a ranking."""
        from sprint_eval.routing.storage import router_fingerprint

        return router_fingerprint(self)

    def check_model(self, fingerprint: str, layout: HeadLayout | None = None) -> None:
        """Refuse a base model other than the one whose outcomes the router learnt.

        Raises:
            MismatchError: another fingerprint.
            HeadError: the pool names a head that ``layout`` lacks.
        """
        if fingerprint != self.card.model_fingerprint:
            raise MismatchError(
                f"the router was trained on {self.card.model} ({self.card.model_fingerprint}), "
                f"this model is {fingerprint}; train a router on this model's own outcomes"
            )
        if layout is not None:
            try:
                self.pool.check(layout)
            except HeadError as error:
                raise HeadError(f"the router's pool does not fit the model: {error}") from error

    def check_questions(self, keys: Iterable[str], allow_seen: bool = False) -> int:
        """How many of the questions were in the training, up to their numbers.

        Args:
            keys: ``question_key`` of each question to be answered.
            allow_seen: count them instead of refusing.

        Raises:
            MismatchError: at least one was, and ``allow_seen`` is false.
        """
        return count_known(keys, self.card.question_keys, "in the router's training", allow=allow_seen)

    def check_prompts(self, facts: Mapping[str, Any]) -> None:
        """Refuse prompts of another format than the router was trained on.

        Raises:
            MismatchError: names the fact that differs.
        """
        check_prompt_facts(
            self.card.prompt_format, facts, "the router was trained on", "train a router on this one"
        )

    def warm_up(self) -> None:
        """Load the embedder now, and check that it is the one of training.

        Raises:
            MismatchError: it is another.
        """
        self._embed([PROBE])

    def save(self, folder: str | Path) -> None:
        """Write ``router.safetensors`` and ``router.json``, each whole or not at all."""
        from sprint_eval.routing.storage import save_router

        save_router(self, Path(folder))

    @classmethod
    def load(cls, folder: str | Path, embedder: Embedder | None = None) -> Router:
        """Read a router's folder; ``embedder`` replaces the one it names.

        Raises:
            DataError: the folder is not a router's, or is damaged.
            MismatchError: it was written by a newer version.
        """
        from sprint_eval.routing.storage import load_router

        return load_router(Path(folder), embedder)

    def _rule(self, selection: str | None) -> tuple[str, SelectionRule]:
        name = check_selection(selection or self.card.selection)
        if name not in self.rules:
            raise ArgumentError(
                f"this router has no selection '{name}', only {', '.join(self.rules)}; train one with it"
            )
        return name, self.rules[name]

    def _embed(self, questions: Sequence[str]) -> np.ndarray:
        if self._embedder is None:
            self._embedder = SentenceEmbedder(self.card.embedder, dtype=self.card.embedder_dtype)
        embedder = self._embedder
        vectors = np.asarray(embedder.encode(list(questions)), np.float32)
        check_embeddings(vectors, questions, embedder.name)
        if not self._probed:
            probe = embedder.encode([PROBE])[0]
            if probe.shape != self.probe.shape or not _close(probe, self.probe, self.card.embedder_dtype):
                raise MismatchError(
                    f"embedder {embedder.name} is not the one that the router was trained with "
                    f"({self.card.embedder}): it embeds the same sentence differently"
                )
            self._probed = True
        return vectors


def _close(found: np.ndarray, expected: np.ndarray, dtype: str) -> bool:
    distance = float(np.linalg.norm(found - expected))
    tolerance = _PROBE_TOLERANCE if dtype == FLOAT32 else _COARSE_TOLERANCE
    return distance <= tolerance * max(1.0, float(np.linalg.norm(expected)))
