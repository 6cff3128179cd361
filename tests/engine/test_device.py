"""On a device apart from the processor: nothing is mixed up, and little crosses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from elsewhere import DEVICE, Elsewhere, Visit, send
from test_varlen import TYPES, reference
from toy import make_engine, make_requests, one_by_one, tokens

from sprint_eval.engine import varlen
from sprint_eval.engine.request import Sampling

SPELT = ["gemma2", "mistral"]  # with windows and soft caps that the kernel does not take


def attention(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    bias: None,
    query_starts: torch.Tensor,
    key_starts: torch.Tensor,
    most_queries: int,
    most_keys: int,
    dropout: float,
    mask: int,
    compute_log_sumexp: bool,
    *,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The memory-efficient kernel, called as PyTorch's is."""
    assert query_starts.dtype == key_starts.dtype == torch.int32
    nothing = torch.zeros(0)
    lengths = varlen.Lengths(query_starts, key_starts, (most_queries, most_keys), nothing, nothing)
    output, weights = reference(query[0], keys[0], values[0], lengths, mask, scale)
    return output[None], weights


@pytest.fixture
def visit(monkeypatch: pytest.MonkeyPatch) -> Visit:
    make = torch.tensor

    def tensor(data: Any, *, device: Any = None, **options: Any) -> torch.Tensor:
        made = make(data, **options)  # on meta it would have no numbers
        return made if device is None else made.to(device)

    monkeypatch.setattr(torch, "tensor", tensor)
    monkeypatch.setattr(varlen, "fits", lambda query: isinstance(query, Elsewhere))
    return Visit(attention)


@pytest.mark.parametrize(
    ("model_type", "joined"),
    [*((name, joined) for name in TYPES for joined in (True, False)), *((name, True) for name in SPELT)],
)
def test_the_same_texts(
    model_type: str,
    joined: bool,
    tiny_model: Callable[..., Any],
    visit: Visit,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not joined:
        monkeypatch.setattr(varlen, "_JOINED_BYTES", 0)
    window = {"sliding_window": 6} if model_type in SPELT else {}
    model, requests = tiny_model(model_type, seed=2, **window), make_requests(questions=3)
    expected = [one_by_one(model, request) for request in requests]
    with visit:
        engine = make_engine(send(model))
        assert tokens(engine.generate(requests)) == expected
    assert engine.why_plain() is None
    assert engine.counters.accepted_tokens > 0
    assert bool(visit.launches["_efficient_attention_forward"]) == (model_type not in SPELT)


def test_little_crosses(tiny_model: Callable[..., Any], visit: Visit) -> None:
    """A forward fetches its best tokens, and sends its plan, and where attention's sequences end."""
    model = tiny_model("llama", seed=2)
    with visit:
        engine = make_engine(send(model))
        assert engine.why_plain() is None
        visit.sent = visit.fetched = 0
        engine.generate(make_requests(questions=3))
    forwards, segments = engine.counters.forwards, 3
    assert forwards > 1
    assert visit.fetched == forwards
    assert visit.sent == forwards * (1 + segments) + segments  # the first has prefixes to attend to, too


def test_draws_are_the_same(tiny_model: Callable[..., Any], visit: Visit) -> None:
    model = tiny_model("llama", seed=2)
    sampling = Sampling(do_sample=True, temperature=1.0, top_k=20, top_p=0.9, repetition_penalty=1.2, seed=3)
    requests = [replace(request, sampling=sampling) for request in make_requests()]
    with visit:
        there = make_engine(send(model)).generate(requests)
    assert visit.launches["_efficient_attention_forward"]
    assert there == make_engine(model).generate(requests)


def test_devices_are_told_apart(visit: Visit) -> None:
    """Else these tests would show nothing."""
    with visit:
        there = torch.arange(3, device=DEVICE)
        assert (there + 1).tolist() == [1, 2, 3]
        assert visit.sent == 0
        assert visit.fetched == 1
        with pytest.raises(AssertionError, match="two devices"):
            there + torch.arange(3)
