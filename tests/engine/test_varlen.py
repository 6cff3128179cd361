"""Attention over sequences of many lengths in one call: the path of GPUs, with and without one."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from test_attention import HEADS, UNEVEN
from toy import make_engine, make_requests, one_by_one, tokens

from sprint_eval.engine import varlen
from sprint_eval.engine.cache import Prefix, PrefixCells
from sprint_eval.engine.cells import Runs
from sprint_eval.engine.segments import Segments
from sprint_eval.engine.stages import Span, Stage
from sprint_eval.heads import HeadSet
from sprint_eval.pruning.surgery import cut

ALIGNED = 32  # the kernel's log-sum-exp is padded to a multiple of it
TYPES = ["llama", "qwen2", "qwen3", "phi", "gpt2"]


def reference(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    lengths: varlen.Lengths,
    mask: int,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the kernel computes, sequence by sequence."""
    assert query.shape[1] == keys.shape[1] == values.shape[1]
    widths, pasts = lengths.queries.diff(), lengths.keys.diff()
    assert (int(widths.max()), int(pasts.max())) == lengths.longest
    padded = -(-lengths.longest[0] // ALIGNED) * ALIGNED
    weights = torch.full((len(widths), query.shape[1], padded), torch.nan)
    outputs = []
    parts = (query.split(widths.tolist()), keys.split(pasts.tolist()), values.split(pasts.tolist()))
    for number, (q, k, v) in enumerate(zip(*parts, strict=True)):
        scores = torch.einsum("qhd,khd->hqk", q, k) * scale
        if mask == varlen._FROM_BOTTOM_RIGHT:
            ahead = torch.ones(len(q), len(k)).triu(len(k) - len(q) + 1).bool()
            scores = scores.masked_fill(ahead, -torch.inf)
        weights[number, :, : len(q)] = scores.logsumexp(-1)
        outputs.append(torch.einsum("hqk,khd->qhd", scores.softmax(-1), v))
    return torch.cat(outputs), weights


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let the CPU go the GPU's way, by the reference; the masks of its calls."""
    masks: list[int] = []

    def run(*args: Any) -> Any:
        masks.append(args[4])
        return reference(*args)

    monkeypatch.setattr(varlen, "fits", lambda query: True)
    monkeypatch.setattr(varlen, "_run", run)
    return masks


@pytest.mark.parametrize("model_type", TYPES)
@pytest.mark.parametrize("prefix", [0, 10])
@pytest.mark.parametrize("joined", [True, False])
def test_many_lengths_in_one_call(
    model_type: str,
    prefix: int,
    joined: bool,
    tiny_model: Callable[..., Any],
    calls: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A prefix stands in front of each request behind it while that is little to copy, or is read apart."""
    if not joined:
        monkeypatch.setattr(varlen, "_JOINED_BYTES", 0)
    model, requests = tiny_model(model_type, seed=2), make_requests(questions=3, prefix=prefix)
    engine = make_engine(model)
    assert tokens(engine.generate(requests)) == [one_by_one(model, request) for request in requests]
    assert engine.why_plain() is None
    assert engine.counters.accepted_tokens > 0
    apart = set() if joined else {varlen._EVERYTHING}  # also where requests have no prefix: the probe has one
    assert set(calls) == {varlen._FROM_BOTTOM_RIGHT} | apart


def test_joined_pasts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request's keys are its prefix's and then its own; a prefix is copied from once a request."""
    stage = make_stage()
    joined = varlen.Joined.of(stage, torch.zeros(4, 4, 8))
    assert joined is not None
    assert joined is varlen.Joined.of(stage, torch.zeros(4, 4, 8))
    store = torch.arange(10.0)[:, None, None, None].expand(-1, 2, 2, 8)
    seen = joined.keys_values(store, 0)[:, 0, 0, 0].tolist()
    assert seen == [100, 101, 102, 7, 3, 100, 101, 102, 7, 5, 4, 200, 201, 1, 8]
    assert joined.lengths.keys.tolist() == [0, 5, 11, 14, 15]
    assert joined.lengths.queries.tolist() == [0, 1, 2, 3, 4]
    monkeypatch.setattr(varlen, "_JOINED_BYTES", 15 * 2 * 4 * 8 * 4 - 1)  # one less than 15 keys take
    stage.memo.clear()
    assert varlen.Joined.of(stage, torch.zeros(4, 4, 8)) is None


def make_stage() -> Stage:
    """Two requests behind one prefix, one behind another, one behind none; layer 0 alone."""
    keys = Segments([HeadSet.parse("L0H0"), HeadSet()], 1)
    heads = [keys.keys(HeadSet.parse(text))[0] for text in ("L0H0", "base")]
    long, short, none = (Prefix(tuple(range(length))) for length in (3, 2, 0))
    for prefix, key, first in ((long, heads[0], 100.0), (short, heads[1], 200.0)):
        prefix.cells[key] = cells = PrefixCells()
        cells.keys_values[0] = (first + torch.arange(len(prefix)))[:, None, None, None].expand(-1, 2, 2, 8)
    empty = torch.zeros(0, dtype=torch.int64)
    pasts = ([7, 3], [7, 5, 4], [1], [8])
    return Stage(
        segment=0,
        layer=0,
        tokens=torch.arange(4),
        rows=4,
        from_previous=(empty, empty),
        same=False,
        from_store=(empty, empty),
        from_prefix=[],
        slots=torch.tensor([3, 4, 1, 8]),
        pruned=(empty, empty),
        spans=[Span(0, 2, long, heads[0]), Span(2, 3, short, heads[1]), Span(3, 4, none, heads[1])],
        prefixes=[],
        runs=Runs(np.arange(4), np.ones(4, int), np.array(list(map(len, pasts))), np.concatenate(pasts)),
        empty=False,
    )


def test_uneven_groups_of_many_lengths(tiny_model: Callable[..., Any], calls: list[int]) -> None:
    model, requests = tiny_model("llama", seed=2), make_requests(heads=HEADS)
    cut(model, UNEVEN)
    engine = make_engine(model)
    assert tokens(engine.generate(requests)) == [one_by_one(model, request) for request in requests]
    assert engine.why_plain() is None
    assert calls


@pytest.mark.parametrize("model_type", ["gemma2", "mistral"])
def test_windows_and_soft_caps_stay_in_buckets(
    model_type: str, tiny_model: Callable[..., Any], calls: list[int]
) -> None:
    model, requests = tiny_model(model_type, sliding_window=6), make_requests()
    engine = make_engine(model)
    assert tokens(engine.generate(requests)) == [one_by_one(model, request) for request in requests]
    assert engine.why_plain() is None
    assert not calls or model_type == "mistral"  # whose texts may be shorter than the window


def test_a_processor_keeps_its_own_kernel() -> None:
    assert not varlen.fits(torch.zeros(3, 4, 8))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("model_type", [*TYPES, "gemma2", "mistral"])
def test_a_gpu_gives_the_same_texts(model_type: str, tiny_model: Callable[..., Any]) -> None:
    model, requests = tiny_model(model_type, seed=2), make_requests(questions=3)
    engine = make_engine(copy.deepcopy(model).to("cuda"))
    assert tokens(engine.generate(requests)) == [one_by_one(model, request) for request in requests]
    assert engine.why_plain() is None
    assert engine.counters.accepted_tokens > 0
