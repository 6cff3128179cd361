"""From the harness's list of requests to questions with N candidates each, and back."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sprint_eval.errors import ArgumentError
from sprint_eval.prompt_facts import ATTRIBUTE
from sprint_eval.questions import masked_question_hash

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Question:
    """One question as the answering side may know it: never its gold answer.

    Attributes:
        prompt: the whole prompt's text.
        text: the question alone, for the router.
        key: identity of the question for guards of train against test.
        gen_kwargs: the task's generation settings.
        n: candidates asked for.
        positions: where in the harness's list each candidate's answer goes; padding clones of
            data parallel runs give a candidate more than one place.
        prompt_facts: how the task built the prompt, see :mod:`sprint_eval.prompt_facts`;
            empty for tasks that are not ours.
    """

    prompt: str
    text: str
    key: str
    gen_kwargs: dict[str, Any]
    n: int
    positions: tuple[tuple[int, ...], ...]
    prompt_facts: Mapping[str, Any] = field(default_factory=dict)


def group_requests(requests: Sequence[Any]) -> list[Question]:
    """Find the questions in the harness's requests: N identical ones in a row each.

    The k-th repeat of a question is its candidate k. Under data parallelism the harness appends
    whole copies of the last question's N requests to short ranks; those share the answers of the
    first.

    Args:
        requests: lm-eval ``Instance`` objects of one ``generate_until`` call.
    """
    by_instance: dict[int, list[int]] = {}
    for position, request in enumerate(requests):
        by_instance.setdefault(id(request), []).append(position)
    questions, fallbacks = [], 0
    for positions in by_instance.values():
        request = requests[positions[0]]
        n = int(getattr(request, "repeats", None) or len(positions))
        if len(positions) % n:
            raise ArgumentError(
                f"{len(positions)} requests for a question of {n} repeats: expected a multiple"
            )
        prompt, gen_kwargs = request.args
        doc = request.doc if isinstance(request.doc, dict) else {}
        text = doc.get("question")
        if not isinstance(text, str) or not text.strip():
            text, fallbacks = prompt, fallbacks + 1
        key = doc.get("question_key")
        places = tuple(tuple(positions[k::n]) for k in range(n))
        questions.append(
            Question(
                prompt,
                text,
                key if isinstance(key, str) else masked_question_hash(text),
                gen_kwargs,
                n,
                places,
                getattr(request, ATTRIBUTE, {}),
            )
        )
    if fallbacks:
        _LOGGER.warning(
            "%d of %d documents have no field 'question'; the whole prompt stands in for it, and without a "
            "'question_key' a router trained on them does not know them",
            fallbacks,
            len(questions),
        )
    return questions
