"""Which chat template prompts were built with, and with what arguments: told of every request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sprint_eval.errors import MismatchError
from sprint_eval.model_wrappers.candidates import group_requests
from sprint_eval.model_wrappers.templated import TemplatedLM
from sprint_eval.model_wrappers.trained import prompt_formats
from sprint_eval.outcomes.manifest import text_hash
from sprint_eval.prompt_facts import check_prompt_facts
from sprint_eval.tasks import load_task

TEMPLATE = "{{ messages[-1].content }}{% if enable_thinking is false %}<think></think>{% endif %}"


@pytest.fixture
def build(tiny_checkpoint: str) -> Any:
    """A model of its own at each call, with a template that thinking changes."""

    def make(**arguments: Any) -> TemplatedLM:
        lm = TemplatedLM(tiny_checkpoint, device="cpu", dtype="float32", **arguments)
        lm.tokenizer.chat_template = TEMPLATE
        return lm

    return make


def ask(lm: TemplatedLM, chat: bool = True, cache: bool = False) -> list[Any]:
    """Requests of a task of ours, built as lm-eval's evaluator does."""
    task = load_task("rg_math_pass_at_n", {"n": 1, "test_size": 6, "train_size": 10})
    task.build_all_requests(
        limit=2,
        rank=0,
        world_size=1,
        cache_requests=cache,
        apply_chat_template=chat,
        chat_template=lm.apply_chat_template if chat else None,
        tokenizer_name=lm.tokenizer_name if chat else "",
    )
    return list(task.instances)


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lm_eval.caching.cache.PATH", str(tmp_path))


@pytest.mark.parametrize("chat", [True, False])
def test_requests_out_of_the_cache_tell_of_the_template_too(build: Any, cached: None, chat: bool) -> None:
    told, asked = [], []
    for _ in range(2):
        lm = build()
        told.append(prompt_formats(lm, group_requests(ask(lm, chat, cache=True))))
        asked.append(lm.prompt_facts()["chat_template"] is not None)
    assert asked == [chat, False], "the second model's template is not asked for anything"
    assert told[0] == told[1]
    assert told[0][0]["chat_template"] == (text_hash(TEMPLATE) if chat else None)
    assert "apply_chat_template" not in told[0][0]


def test_the_cache_serves_no_prompts_of_another_thinking_mode(build: Any, cached: None) -> None:
    models = [build(enable_thinking=False), build(), build(enable_thinking=False)]
    prompts = [[one.args[0] for one in ask(lm, cache=True)] for lm in models]
    assert prompts[0] == prompts[2] != prompts[1]
    assert models[2].prompt_facts() == {"chat_template": None}, "out of the cache"


def test_other_arguments_of_the_template_are_another_format(build: Any) -> None:
    models = [build(enable_thinking=False), build(), build(chat_template_args={"date": None, "b": 1, "a": 2})]
    found = [prompt_formats(lm, group_requests(ask(lm)))[0] for lm in models]
    assert [facts["chat_template_args"] for facts in found] == [
        {"enable_thinking": False},
        {},
        {"a": 2, "b": 1},
    ]
    assert len({facts["chat_template"] for facts in found}) == 1
    check_prompt_facts(found[0], found[0], "the router was trained on", "")
    with pytest.raises(
        MismatchError, match=r"chat_template_args = \{'enable_thinking': False\}, these have \{\}"
    ):
        check_prompt_facts(found[0], found[1], "the router was trained on", "train another")
    older = {name: fact for name, fact in found[0].items() if name != "chat_template_args"}
    check_prompt_facts(older, found[1], "the router was trained on", "")


def test_of_a_task_that_does_not_say_it_counts_what_the_model_was_asked_for(build: Any) -> None:
    lm = build()
    assert lm.prompt_facts() == {"chat_template": None}
    lm.apply_chat_template([{"role": "user", "content": "1 + 1?"}])
    assert lm.prompt_facts() == {"chat_template": text_hash(TEMPLATE), "chat_template_args": {}}
