"""``--model random-heads``: not for questions that the heads were chosen on, unless the run says so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from asked import NEW, OTHER_PROMPTS, check_refused_or_marked, instances

from sprint_eval.candidate import facts_of
from sprint_eval.errors import CommandExit
from sprint_eval.fingerprint import model_fingerprint
from sprint_eval.heads import HeadPool
from sprint_eval.model_wrappers.random_heads import RandomHeadsLM
from sprint_eval.outcomes import Outcomes

TRAINED = ["Tom has old pens", "Ann has red hats", "Eve sells nuts"]


@pytest.fixture
def build(tiny_checkpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    from transformers import AutoModelForCausalLM

    outcomes = Outcomes.from_arrays(
        np.array([[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0]]),
        TRAINED,
        HeadPool.from_names([f"L0H{head}" for head in range(4)]),
        model=tiny_checkpoint,
        model_fingerprint=model_fingerprint(AutoModelForCausalLM.from_pretrained(tiny_checkpoint)),
        num_fewshot=2,
    )
    monkeypatch.setattr(Outcomes, "load", lambda folder: outcomes)

    def make(**arguments: Any) -> RandomHeadsLM:
        return RandomHeadsLM(tiny_checkpoint, outcomes="z", device="cpu", dtype="float32", **arguments)

    return make


def test_heads_are_drawn_from_the_cover(build: Any) -> None:
    model = build()
    heads = [facts_of(answer).heads for answer in model.generate_until(instances(NEW), disable_tqdm=True)]
    assert set(heads) <= {"L0H0", "L0H1", "L0H2"}
    assert heads[0] != heads[1]
    assert model.get_model_info()["heads_chosen_on_test"] is False


def test_known_questions_are_refused_or_mark_the_run(build: Any) -> None:
    check_refused_or_marked(build, TRAINED[1], "in the outcomes z", "heads_chosen_on_test")


@pytest.mark.parametrize(("asked", "message"), OTHER_PROMPTS)
def test_prompts_of_another_format_are_refused(build: Any, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(CommandExit, match=message):
        build().generate_until(instances(NEW, **asked), disable_tqdm=True)
