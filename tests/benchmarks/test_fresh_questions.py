"""Questions that earlier reports did not use."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from types import ModuleType

import pytest

TASK = "rg_math_pass_at_n_fewshot"


@pytest.fixture(scope="module")
def fresh(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("fresh_questions")


def test_places_are_of_questions_that_a_smaller_test_lacks(
    fresh: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--train-size", "60", "--used", "60", "--of", "120"]
    monkeypatch.setattr(sys, "argv", ["fresh_questions.py", TASK, *arguments])
    fresh.main()
    places = json.loads(capsys.readouterr().out)[TASK]
    assert len(set(places)) == 60
    keys = fresh.test_keys(TASK, 60, 120)
    used = set(fresh.test_keys(TASK, 60, 60))
    assert not {keys[place] for place in places} & used
    assert {keys[place] for place in places} | used == set(keys)
