"""Memory that is short, or runs out: the same texts, later."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
from toy import LIMIT, make_engine, make_requests

from sprint_eval.engine.request import Request, Sampling
from sprint_eval.errors import GenerationError


def test_a_small_budget_preempts_and_changes_nothing(tiny_model: Callable[..., Any]) -> None:
    model, requests = tiny_model("llama"), make_requests()
    free = make_engine(model).generate(requests)
    for budget in (30, 60, 120):
        assert make_engine(model, token_budget=budget).generate(requests) == free
    with pytest.raises(GenerationError, match="raise token_budget"):
        make_engine(model, token_budget=4).generate(requests)


def test_out_of_memory_halves_the_budget_and_goes_on(
    tiny_model: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from sprint_eval.engine import runner

    model, requests = tiny_model("llama"), make_requests()
    expected = make_engine(model).generate(requests)
    engine = make_engine(model)
    assert engine.why_plain() is None
    run, calls = runner.Runner.run, []

    def failing(self: Any, plan: Any) -> Any:
        calls.append(1)
        if len(calls) in (2, 5):
            raise torch.OutOfMemoryError("out of memory")
        return run(self, plan)

    monkeypatch.setattr(runner.Runner, "run", failing)
    with caplog.at_level(logging.WARNING):
        assert engine.generate(requests) == expected
    assert caplog.text.count("out of memory: going on") == 2


@pytest.mark.parametrize("failures", [1, 7, None])
def test_memory_that_runs_out_under_one_small_request_may_come_back(
    failures: int | None, tiny_model: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The budget is never less than the request needs; only what lasts is the end."""
    from sprint_eval.engine import runner

    model, requests = tiny_model("llama"), make_requests(questions=1)[:1]
    expected = make_engine(model).generate(requests)
    engine = make_engine(model, token_budget=100_000)
    assert engine.why_plain() is None
    run, calls = runner.Runner.run, []

    def failing(self: Any, plan: Any) -> Any:
        calls.append(1)
        if failures is None or len(calls) in range(3, 3 + failures):
            raise torch.OutOfMemoryError("out of memory")
        return run(self, plan)

    monkeypatch.setattr(runner.Runner, "run", failing)
    if failures is not None:
        assert engine.generate(requests) == expected
    else:
        with pytest.raises(GenerationError, match="one request at a time"):
            engine.generate(requests)
        assert len(calls) < 20


@pytest.mark.parametrize(
    "sampling",
    [Sampling(repetition_penalty=1.4), Sampling(True, 1.3, seed=1)],
    ids=["penalty", "drawn"],
)
def test_memory_may_run_out_while_tokens_are_chosen(
    sampling: Sampling, tiny_model: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever has been chosen of a forward by then must not be kept twice, nor be lost."""
    from sprint_eval.engine import call as module

    model = tiny_model("llama")
    requests = [Request(r.prompt, r.heads, LIMIT, sampling=sampling) for r in make_requests()]
    expected = make_engine(model).generate(requests)
    choose = module.choose_token
    for fails_at in (3, 17, 40, 71):
        calls: list[int] = []

        def failing(*arguments: Any, at: int = fails_at, seen: list[int] = calls) -> int:
            seen.append(1)
            if len(seen) == at:
                raise torch.OutOfMemoryError("out of memory")
            return choose(*arguments)

        monkeypatch.setattr(module, "choose_token", failing)
        assert make_engine(model).generate(requests) == expected
        assert len(calls) > fails_at
