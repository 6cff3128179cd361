"""Prefixes stay within their budget, whatever the pool, and change no answer."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from toy import Digits

from sprint_eval.engine import Engine
from sprint_eval.engine.prefix_memory import PrefixMemory
from sprint_eval.engine.request import Request
from sprint_eval.engine.runner import Runner
from sprint_eval.engine.settings import DecodingSettings
from sprint_eval.heads import HeadLayout, HeadPool

POOL = ["base", *HeadPool.single_heads(HeadLayout.uniform(3, 4)).names()]


def requests(shared: bool) -> list[Request]:
    """Prompts of 41 tokens that begin alike, or have nothing in common."""
    pool = HeadPool.from_names(POOL)
    return [
        Request((*(3 + (t + (0 if shared else 7 * q)) % 50 for t in range(40)), 3 + q), heads, 4, group=q)
        for q in range(5)
        for heads in pool
    ]


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Tokens of prefixes that are there before each forward."""
    seen: list[float] = []
    begin = PrefixMemory.begin_step

    def watching(self: PrefixMemory) -> None:
        begin(self)
        seen.append(self._measure())

    monkeypatch.setattr(PrefixMemory, "begin_step", watching)
    return seen


def decode(model: Any, shared: bool, **options: Any) -> list[tuple[int, ...]]:
    engine = Engine(model, Digits(), settings=DecodingSettings(()), **options)
    assert engine.why_plain() is None
    return [answer.tokens for answer in engine.generate(requests(shared))]


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("budget", [90, 150])
def test_the_budget_holds(
    shared: bool, budget: int, tiny_model: Callable[..., Any], held: list[float]
) -> None:
    model = tiny_model("llama")
    expected = decode(model, shared)
    assert max(held) > 2 * budget, "without a budget far more is kept"
    held.clear()
    assert decode(model, shared, token_budget=budget) == expected
    assert 40 <= max(held) <= budget


def test_a_prefix_larger_than_the_budget_runs_alone(
    tiny_model: Callable[..., Any], held: list[float]
) -> None:
    model = tiny_model("llama")
    expected = decode(model, True)
    held.clear()
    assert decode(model, True, token_budget=20) == expected
    assert max(held) <= 2 * 40, "that of one head set, and of the base that it starts from"


def test_what_an_earlier_call_left_gives_way(tiny_model: Callable[..., Any], held: list[float]) -> None:
    model = tiny_model("llama")
    engine = Engine(model, Digits(), settings=DecodingSettings(()), token_budget=150)
    wanted = requests(True)
    whole = engine.generate(wanted)
    again = engine.generate([request for request in wanted if str(request.heads) in ("L0H0", "L0H1")])
    assert again == [a for a, r in zip(whole, wanted, strict=True) if str(r.heads) in ("L0H0", "L0H1")]
    assert max(held) <= 150


@pytest.mark.parametrize("budget", [100, 200, 280, 300, 320, 340, 500])
def test_a_pool_may_come_again_whatever_the_budget(budget: int, tiny_model: Callable[..., Any]) -> None:
    """What one call's evictions leave is whole: the next one builds on it."""
    model, wanted = tiny_model("llama"), requests(True)
    engine = Engine(model, Digits(), settings=DecodingSettings(()), token_budget=budget)
    first = engine.generate(wanted)
    assert [engine.generate(wanted), engine.generate(wanted[::-1])] == [first, first[::-1]]


def test_the_budget_holds_with_one_request_at_a_time(
    tiny_model: Callable[..., Any], held: list[float]
) -> None:
    model = tiny_model("llama")
    expected = decode(model, True)
    held.clear()
    assert decode(model, True, token_budget=150, batch_size=1) == expected
    assert max(held) <= 150


def test_prompts_that_come_one_a_call_share_a_prefix(tiny_model: Callable[..., Any]) -> None:
    model, wanted = tiny_model("llama"), requests(True)
    engine = Engine(model, Digits(), settings=DecodingSettings(()))
    answers, costs = [], [0.0]
    for question in range(5):
        answers += engine.generate([request for request in wanted if request.group == question])
        costs.append(engine.counters.token_forwards)
    steps = [after - before for before, after in pairwise(costs)]
    assert [answer.tokens for answer in answers] == decode(model, True)
    assert max(steps[2:]) < steps[0] / 2, "from the third on the worked examples are there"
    assert steps[1] < steps[0] * 1.5


def test_prefixes_count_in_the_size_of_a_forward(
    tiny_model: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sprint_eval.engine.limits import default_limits

    sizes: list[int] = []
    run = Runner.run

    def watching(self: Runner, plan: Any) -> Any:
        sizes.append(len(plan.input_ids))
        return run(self, plan)

    model = tiny_model("llama")
    step = default_limits(torch.device("cpu")).step_tokens
    monkeypatch.setattr(Runner, "run", watching)
    many = [
        Request(tuple(3 + (t * (q + 1)) % 50 for t in range(200)), heads, 2)
        for q in range(3)
        for heads in HeadPool.from_names(POOL)
    ]
    Engine(model, Digits(), settings=DecodingSettings(())).generate(many)
    assert max(sizes) < step + 200 + 39
