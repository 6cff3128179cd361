"""``--model sprint-router``: what it refuses, what it marks, what it says of its cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asked import NEW, OTHER_PROMPTS, check_refused_or_marked, instances

from sprint_eval.candidate import facts_of
from sprint_eval.errors import CommandExit
from sprint_eval.fingerprint import model_fingerprint
from sprint_eval.heads import HeadPool
from sprint_eval.model_wrappers.sprint_router import SprintRouterLM
from sprint_eval.outcomes import Outcomes
from sprint_eval.prompt_facts import ATTRIBUTE
from sprint_eval.routing import Router, RouterConfig, train_router

NAMES, KINDS = ("Tom", "Ann", "Eve", "Bob"), ("red", "old", "new")
TRAINED = [f"{name} has {kind} pens" for name in NAMES for kind in KINDS]


class LetterEmbedder:
    """Counts of letters."""

    name, dtype = "letters", "float32"

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([[text.count(letter) for letter in "abehnorst"] for text in texts], np.float32)


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: str) -> Path:
    """Trained on made-up outcomes of the tiny model, on prompts with two worked examples."""
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("router")
    outcomes = Outcomes.from_arrays(
        np.random.default_rng(0).integers(0, 2, (len(TRAINED), 4)),
        TRAINED,
        HeadPool.from_names([f"L0H{head}" for head in range(4)]),
        model=tiny_checkpoint,
        model_fingerprint=model_fingerprint(AutoModelForCausalLM.from_pretrained(tiny_checkpoint)),
        num_fewshot=2,
    )
    train_router(outcomes, RouterConfig(epochs=3), LetterEmbedder()).save(folder)
    return folder


@pytest.fixture
def build(router: Path, tiny_checkpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    loaded = Router.load(router, LetterEmbedder())
    monkeypatch.setattr(Router, "load", lambda folder: loaded)

    def make(**arguments: Any) -> SprintRouterLM:
        return SprintRouterLM(tiny_checkpoint, router=str(router), device="cpu", dtype="float32", **arguments)

    return make


def test_a_run_says_what_routing_cost_and_that_nothing_was_trained_on(build: Any) -> None:
    model = build()
    answers = model.generate_until(instances(NEW), disable_tqdm=True)
    heads = [facts_of(answer).heads for answer in answers]
    assert heads[0] != heads[1]
    assert heads[2] != heads[3]
    info = model.get_model_info()
    assert info["router_trained_on_test"] is False
    assert 0 < info["routing_seconds"] < info["counters"]["decode_seconds"] + 1


def test_trained_questions_are_refused_or_mark_the_run(build: Any) -> None:
    check_refused_or_marked(build, TRAINED[1], "in the router's training", "router_trained_on_test")


def test_a_trained_question_in_another_process_marks_the_run(
    build: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rank 0, which writes the results, has none of them in its own share."""
    there = build(allow_trained_questions=True)
    told: list[Any] = []
    monkeypatch.setattr(there, "gather_object", lambda value: told.append(value) or [value])
    there.generate_until(instances([TRAINED[0], TRAINED[2]]), disable_tqdm=True)
    here = build(allow_trained_questions=True)
    others = iter(told)
    monkeypatch.setattr(here, "gather_object", lambda value: [value, next(others)])
    here.generate_until(instances(NEW), disable_tqdm=True)
    info = here.get_model_info()
    assert info["router_trained_on_test"] is True
    assert info["requests_by_process"] == [4, 4]


@pytest.mark.parametrize(("asked", "message"), OTHER_PROMPTS)
def test_prompts_of_another_format_are_refused(build: Any, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(CommandExit, match=message):
        build().generate_until(instances(NEW, **asked), disable_tqdm=True)


def test_a_task_that_tells_nothing_of_its_prompts_is_answered(build: Any) -> None:
    asked = instances(NEW, n=1, shots=0)
    for one in asked:
        delattr(one, ATTRIBUTE)
    assert len(build().generate_until(asked, disable_tqdm=True)) == 2
