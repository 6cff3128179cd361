"""Plans depend on what is asked, and not on where Python put it; making them stops no collector for good."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest
import torch
from toy import CharTokenizer

from sprint_eval.engine import Engine
from sprint_eval.engine.cache import Cache, Prefix
from sprint_eval.engine.garbage import no_collection
from sprint_eval.engine.plan import Planner
from sprint_eval.engine.request import Request
from sprint_eval.engine.runner import Runner
from sprint_eval.engine.segments import Segments
from sprint_eval.engine.sequence import Sequence
from sprint_eval.engine.settings import DecodingSettings
from sprint_eval.engine.text import StopChecker
from sprint_eval.engine.tree import AnswerTree
from sprint_eval.heads import HeadSet


@pytest.mark.parametrize("backwards", [False, True])
def test_prefixes_stand_in_the_order_of_the_requests(backwards: bool) -> None:
    """Not of their addresses: a run that is done again is to round the same."""
    prefixes = sorted((Prefix((token,) * 4) for token in range(10, 16)), key=id, reverse=backwards)
    pool = [HeadSet.parse("L1H0"), HeadSet()]
    segments = Segments(pool, 3)
    checker = StopChecker(CharTokenizer(), (), DecodingSettings((2,)))
    sequences = []
    for prefix in prefixes:
        tree = AnswerTree(prefix, [prefix.tokens[0] + 20])
        for heads in pool:
            request = Request((*prefix.tokens, prefix.tokens[0] + 20), heads, 4)
            keys = segments.keys(heads)
            order = segments.order(heads)
            sequences.append(Sequence(len(sequences), request, tree, keys, order, checker))
    plan = Planner(segments, Cache(segments, 64), torch.device("cpu")).plan(sequences)
    rests = plan.input_ids[: len(sequences)].tolist()
    assert rests == [prefix.tokens[0] + 20 for prefix in prefixes for _ in pool]
    heads = [str(row.request.heads) for row, _ in plan.decisions]
    assert heads == ["L1H0", "base"] * len(prefixes), (
        "variants of a prompt stand together, as in every segment"
    )


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_left_as_it_was(enabled: bool) -> None:
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        with no_collection():
            assert not gc.isenabled()
        assert gc.isenabled() is enabled
        with pytest.raises(ValueError, match="inside"), no_collection():
            raise ValueError("inside")
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if before else gc.disable)()


def test_cycles_are_looked_for_while_the_model_runs(
    tiny_model: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(tiny_model("llama"), CharTokenizer(), settings=DecodingSettings((2,)))
    assert engine.why_plain() is None  # the trial run behind it is no part of this
    states: list[tuple[str, bool]] = []
    run, plan = Runner.run, Planner.plan
    monkeypatch.setattr(Runner, "run", lambda *a: states.append(("run", gc.isenabled())) or run(*a))
    monkeypatch.setattr(Planner, "plan", lambda *a: states.append(("plan", gc.isenabled())) or plan(*a))
    engine.generate([Request((5, 6, 7), HeadSet.parse("L1H0"), 3)])
    assert set(states) == {("run", True), ("plan", False)}
    assert gc.isenabled()
