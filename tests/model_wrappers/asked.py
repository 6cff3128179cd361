"""What the tests of models share: lm-eval's requests for questions, and what becomes of known ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from sprint_eval.errors import CommandExit
from sprint_eval.prompt_facts import ATTRIBUTE, prompt_facts
from sprint_eval.questions import masked_question_hash

NEW = ["Sam eats nuts", "She bakes a tart"]
SETTINGS = {"until": ["\n\n"], "max_gen_toks": 4}


def instances(texts: Sequence[str], n: int = 2, shots: int = 2, system: str | None = None) -> list[Any]:
    made = []
    for text in texts:
        doc = {"question": text, "answer": "secret", "question_key": masked_question_hash(text)}
        one = SimpleNamespace(args=(f"Q: {text}\nA:", SETTINGS), doc=doc, repeats=n, task_name="t")
        setattr(one, ATTRIBUTE, prompt_facts(shots, system))
        made += [one] * n
    return made


OTHER_PROMPTS = [
    ({"shots": 0}, "num_fewshot = 2, these have 0"),
    ({"system": "Be brief."}, "system_instruction = None"),
]
"""Ways to ask that differ from prompts with two worked examples, and what a refusal says."""


def check_refused_or_marked(build: Callable[..., Any], known: str, words: str, fact: str) -> None:
    """One ``known`` question among new ones is refused in these words, or allowed and said in ``fact``."""
    asked = instances([*NEW, known])
    with pytest.raises(CommandExit, match=f"1 of 3 questions were {words}"):
        build().generate_until(asked, disable_tqdm=True)
    model = build(allow_trained_questions=True)
    model.generate_until(asked, disable_tqdm=True)
    assert model.get_model_info()[fact] is True
