"""Routers and outcomes that do not fit a task are refused before anything runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from sprint_eval.cli import main
from sprint_eval.compare.checks import check_inputs
from sprint_eval.compare.plan import Comparison
from sprint_eval.errors import CommandExit, MismatchError
from sprint_eval.heads import HeadPool
from sprint_eval.outcomes import Outcomes
from sprint_eval.outcomes.manifest import OutcomeQuestion, text_hash
from sprint_eval.routing import Router
from sprint_eval.tasks import load_task

TASK = "rg_math_pass_at_n_fewshot"
SIZES = {"train_size": "20", "test_size": "12"}


@pytest.fixture(scope="module")
def documents() -> list[dict[str, Any]]:
    return list(load_task(TASK, {name: int(size) for name, size in SIZES.items()}).eval_docs)


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A comparison whose outcomes and router were made from these questions, on prompts of this format."""

    def make(keys: tuple[str, ...] = ("new",), shots: int | None = 4, **facts: Any) -> Comparison:
        rows = [OutcomeQuestion(key, f"question {key}", "", key) for key in keys]
        outcomes = Outcomes.from_arrays(
            np.eye(len(rows), 2, dtype=np.int8),
            rows,
            HeadPool.from_names(["L0H0", "L0H1"]),
            num_fewshot=shots,
            **facts,
        )
        card = SimpleNamespace(prompt_format=outcomes.manifest.prompt_format, question_keys=frozenset(keys))
        monkeypatch.setattr(Outcomes, "load", lambda folder: outcomes)
        monkeypatch.setattr(Router, "load", lambda folder: SimpleNamespace(card=card, fingerprint="f"))
        return Comparison(
            model="tiny",
            tasks=(TASK,),
            methods=("greedy",),
            out=tmp_path / "out",
            n=2,
            outcomes={"": tmp_path / "z"},
            routers={TASK: [tmp_path / "r"]},
            metadata=SIZES,
        )

    return make


USERS = [("nearest", "router"), ("mixed", "router"), ("random", "outcomes"), ("cover", "outcomes")]
USERS += [("best", "outcomes"), ("mixed-cover", "outcomes")]


@pytest.mark.parametrize(("method", "source"), USERS)
def test_prompts_of_another_format_are_refused(given: Any, method: str, source: str) -> None:
    wrong = replace(given(shots=5), methods=("greedy", method))
    with pytest.raises(MismatchError, match=f"{source}.* num_fewshot = 5, these have 4; use the same"):
        check_inputs(wrong)
    check_inputs(replace(wrong, methods=("greedy", "sample:0.6", "oracle")))
    check_inputs(replace(given(shots=4), methods=(method,)))
    check_inputs(replace(given(shots=None), methods=(method,)))


@pytest.mark.parametrize(
    ("made", "extra", "message"),
    [
        ({"shots": 2}, ("--num_fewshot", "2"), None),
        ({"shots": 2}, ("-f", "2", "--batch_size", "4"), None),
        ({"shots": 4}, ("--num_fewshot=2",), "num_fewshot = 4, these have 2"),
        ({}, ("--system_instruction", "Be brief."), "system_instruction = None, these have '"),
        ({"chat_template": "abc"}, (), "chat_template = 'abc', these have None"),
        ({"chat_template": "abc"}, ("--apply_chat_template",), None),
        ({}, ("--apply_chat_template",), "chat_template = None, these have 'a template that only"),
        ({}, ("--num_fewshot", "many"), None),
        ({"chat_template": "abc", "facts": {"fewshot_as_multiturn": True}}, ("--apply_chat_template",), None),
        (
            {"chat_template": "abc", "facts": {"fewshot_as_multiturn": False}},
            ("--apply_chat_template",),
            "fewshot_as_multiturn = False, these have True",
        ),
        (
            {"chat_template": "abc", "facts": {"fewshot_as_multiturn": False}},
            ("--apply_chat_template", "--fewshot_as_multiturn", "false"),
            None,
        ),
        (
            {"shots": 0, "chat_template": "abc", "facts": {"fewshot_as_multiturn": False}},
            ("--apply_chat_template", "--num_fewshot", "0"),
            None,
        ),
    ],
)
def test_lm_evals_own_options_count(
    given: Any, made: dict[str, Any], extra: tuple[str, ...], message: str | None
) -> None:
    asked = replace(given(**made), methods=("nearest", "cover"), extra=extra)
    if message is None:
        check_inputs(asked)
        return
    with pytest.raises(MismatchError, match=message):
        check_inputs(asked)


def test_another_chat_template_is_refused(given: Any, smollm2: str) -> None:
    """``cover`` and ``best`` reach the model as mere heads: nobody else would see it."""
    asked = {"methods": ("cover",), "extra": ("--apply_chat_template",), "model": smollm2}
    template = AutoTokenizer.from_pretrained(smollm2).chat_template
    check_inputs(replace(given(chat_template=text_hash(template)), **asked))
    for other in ("abc", None):
        with pytest.raises(MismatchError, match=f"chat_template = {other!r}, these have"):
            check_inputs(replace(given(chat_template=other), **asked))


@pytest.mark.parametrize(("method", "source"), USERS)
def test_heads_chosen_on_the_test_are_refused(
    given: Any, documents: list[dict[str, Any]], method: str, source: str
) -> None:
    leak = replace(given((documents[9]["question_key"], "new")), methods=(method,))
    with pytest.raises(MismatchError, match=f"1 of 12 questions were in the .*{source}.* compare on others"):
        check_inputs(leak)
    check_inputs(replace(leak, limit=9))
    check_inputs(replace(leak, methods=("greedy", "oracle")))


def test_a_task_that_is_not_ours_is_left_to_the_models(given: Any) -> None:
    check_inputs(replace(given(shots=5), methods=("nearest",), tasks=("someone_elses",)))


def test_the_command_says_so_in_one_line_and_makes_nothing(
    given: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given(shots=5)
    out = tmp_path / "out"
    line = ["compare", "--model", "tiny", "--tasks", TASK, "--methods", "greedy", "best", "--n", "2"]
    line += ["--outcomes", "z", "--metadata", "train_size=20,test_size=12", "--out", str(out)]
    with pytest.raises(CommandExit) as caught:
        main(line)
    assert caught.value.code == 2
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert said.startswith("sprint-eval: error: the outcomes in z are of prompts with num_fewshot = 5")
    assert not out.exists()
