"""Attention under a mask: block by block it is what it is at once, and masks do not pile up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from toy import make_engine, make_requests, one_by_one, tokens

from sprint_eval.engine import kernel
from sprint_eval.engine.runner import Runner


@pytest.mark.parametrize("model_type", ["llama", "gemma2", "mistral"])
def test_blocks_of_queries_give_the_same_texts(
    model_type: str, tiny_model: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Grouped queries, a soft cap, and windows shorter than the text; prompts wider than a block."""
    windowed = {"sliding_window": 6} if model_type != "llama" else {}
    model = tiny_model(model_type, seed=2, **windowed)
    requests = [*make_requests(questions=2, prefix=30), *make_requests(questions=1)]
    sizes: list[int] = []
    mask = kernel.Kernel._mask

    def counted(self: kernel.Kernel, places: torch.Tensor, *given: Any) -> torch.Tensor:
        found = mask(self, places, *given)
        if places.shape[1] > 1:  # a token a request is not divided
            sizes.append(found.numel())
        return found

    monkeypatch.setattr(kernel.Kernel, "_mask", counted)
    monkeypatch.setattr(kernel, "MASK_SIZE", 200)
    assert tokens(make_engine(model).generate(requests)) == [one_by_one(model, r) for r in requests]
    assert 100 < max(sizes) <= 200, "a prefix of 30 tokens would take 1,800"


def test_masks_of_segments_that_are_done_are_let_go(
    tiny_model: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[list[int]] = []
    run, mask = Runner.run, kernel.Kernel._mask

    def watched(self: Runner, plan: Any) -> torch.Tensor:
        made.append([])
        logits = run(self, plan)
        assert len(plan.stages) > 2
        assert not any(stage.memo for stage in plan.stages[:-1])
        return logits

    def counted(self: kernel.Kernel, *given: Any) -> torch.Tensor:
        found = mask(self, *given)
        made[-1].append(found.numel())
        return found

    monkeypatch.setattr(Runner, "run", watched)
    monkeypatch.setattr(kernel.Kernel, "_mask", counted)
    make_engine(tiny_model("llama")).generate(make_requests(questions=2, prefix=60))
    assert max(map(len, made)) > 2, "several segments had masks of their own"
