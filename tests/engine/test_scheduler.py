"""What runs when: drafts exist before they are needed, budgets hold, nobody starves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from toy import Digits

from sprint_eval.engine import Engine
from sprint_eval.engine.drafts import DraftPolicy
from sprint_eval.engine.request import Request
from sprint_eval.engine.runner import Runner
from sprint_eval.engine.scheduler import Limits, Scheduler
from sprint_eval.engine.settings import DecodingSettings
from sprint_eval.heads import HeadSet


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every plan that is run."""
    seen: list[Any] = []
    run = Runner.run

    def watching(self: Runner, plan: Any) -> Any:
        seen.append(plan)
        return run(self, plan)

    monkeypatch.setattr(Runner, "run", watching)
    return seen


def requests() -> list[Request]:
    shared = tuple(range(10, 22))
    pool = [HeadSet.parse(text) for text in ("L0H1", "L1H0", "L2H1", "base", "L2H2")]
    return [Request((*shared, 30 + q), heads, 8) for q in range(4) for heads in pool]


def decode(model: Any, limits: Limits) -> tuple[Engine, list[Any]]:
    engine = Engine(model, Digits(), settings=DecodingSettings(()), limits=limits)
    engine.why_plain()
    return engine, [g.tokens for g in engine.generate(requests())]


def test_limits_hold_and_change_nothing(tiny_model: Callable[..., Any], plans: list[Any]) -> None:
    model = tiny_model("llama")
    policy = DraftPolicy(4, 0.3, 2)
    _, wide = decode(model, Limits(1000, 1000, 100, policy, policy))
    for live, step in ((1, 64), (3, 4), (7, 16)):
        plans.clear()
        _, answers = decode(model, Limits(step, 1, live, policy, policy))
        assert answers == wide
        running = [len(plan.decisions) for plan in plans[2:]]  # the probe's two are not the engine's
        assert max(running) <= live


def test_the_base_of_each_prompt_is_decoded_first(tiny_model: Callable[..., Any], plans: list[Any]) -> None:
    policy = DraftPolicy(4, 0.3, 2)
    decode(tiny_model("llama"), Limits(8, 1, 4, policy, policy))
    first = plans[2].decisions
    assert all(sequence.request.heads.is_base for sequence, _ in first)
    assert len({sequence.request.prompt for sequence, _ in first}) == len(first)


def test_each_cell_runs_once(tiny_model: Callable[..., Any]) -> None:
    """Without drafts, tokens through the first layers are those of the tree of answers, no more."""
    none = DraftPolicy(0, 1.0, 0)
    engine, answers = decode(tiny_model("llama"), Limits(1000, 1, 100, none, none))
    fed = {(r.prompt, *a[:i]) for r, a in zip(requests(), answers, strict=True) for i in range(len(a))}
    bottom = len(fed) + 12  # plus the prefix; each request's own prompt token is in `fed`
    above = engine.counters.token_forwards * 3 - bottom
    whole = sum(len(a) for a in answers) + 12 * 5
    assert above <= 2 * whole
    assert engine.counters.token_forwards < whole


def test_no_slot_is_left_to_a_rejected_guess(
    tiny_model: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each forward, all tokens that hold slots are a prompt's or an answer's."""
    drop, rejected, held = Scheduler.drop_guesses, 0, 0

    def watching(self: Scheduler, guesses: Any) -> None:
        nonlocal rejected, held
        drop(self, guesses)
        rejected += sum(not node.visits for _, nodes in guesses for node in nodes)
        for tree in {id(sequence.tree): sequence.tree for sequence in self.live}.values():
            for track in tree._tracks.values():
                held += len(track.columns)
                assert all(node.visits or node in tree.prompt for node in track.columns)

    monkeypatch.setattr(Scheduler, "drop_guesses", watching)
    policy = DraftPolicy(4, 0.0, 1)
    decode(tiny_model("llama"), Limits(1000, 1, 100, policy, policy))
    assert rejected
    assert held
