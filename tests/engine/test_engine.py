"""The engine gives, token for token, what one-by-one decoding of the cut model gives."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
from toy import LIMIT, make_engine, make_requests, one_by_one, tokens

from sprint_eval.architectures import ARCHITECTURES, attention_layout
from sprint_eval.engine.request import GREEDY, Request, Sampling
from sprint_eval.errors import HeadError
from sprint_eval.heads import HeadSet

NOT_SHARED = {"gptj", "stablelm"}


@pytest.mark.parametrize("model_type", sorted(ARCHITECTURES))
def test_every_architecture_decodes_as_its_cut_models(
    model_type: str, tiny_model: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    untied = {"tie_word_embeddings": False} if model_type == "gemma" else {}  # else it repeats its input
    model, requests = tiny_model(model_type, seed=2, **untied), make_requests()
    engine = make_engine(model)
    with caplog.at_level(logging.WARNING):
        answers = engine.generate(requests)
    expected = [one_by_one(model, request) for request in requests]
    assert tokens(answers) == expected
    assert len({tuple(answer) for answer in expected}) > 2, "head sets and questions must differ"
    if model_type in NOT_SHARED:
        assert "shares nothing" in caplog.text
    else:
        assert engine.why_plain() is None
        assert engine.counters.layers_skipped > 0
        assert engine.counters.drafted_tokens > 0
        plain = sum(len(r.prompt) + len(e) - 1 for r, e in zip(requests, expected, strict=True))
        assert engine.counters.token_forwards < plain


def test_drafts_are_also_rejected(tiny_model: Callable[..., Any]) -> None:
    engine = make_engine(tiny_model("llama"))
    engine.generate(make_requests())
    assert 0 < engine.counters.accepted_tokens < engine.counters.drafted_tokens


@pytest.mark.parametrize(
    ("model_type", "window"),
    # The trial run's nine tokens see no window of more; tiny Gemmas repeat themselves under any.
    [("gemma2", 6), ("gemma3_text", 6), *((name, 14) for name in ("mistral", "phi3", "qwen2", "qwen2_moe"))],
)
def test_sliding_windows_shorter_than_the_text(
    model_type: str, window: int, tiny_model: Callable[..., Any]
) -> None:
    qwen = {"use_sliding_window": True, "max_window_layers": 1} if model_type.startswith("qwen") else {}
    model = tiny_model(model_type, sliding_window=window, **qwen)
    requests = make_requests(questions=2)
    engine = make_engine(model)
    wide = make_engine(tiny_model(model_type, sliding_window=200, **qwen)).generate(requests)
    answers = engine.generate(requests)
    assert tokens(answers) == [one_by_one(model, request) for request in requests]
    assert tokens(answers) != tokens(wide), "the window must matter"
    assert engine.why_plain() is None


@pytest.mark.parametrize("prefix", [0, 3, 40])
def test_any_length_of_common_prefix(prefix: int, tiny_model: Callable[..., Any]) -> None:
    model, requests = tiny_model("qwen2"), make_requests(prefix=prefix)
    assert tokens(make_engine(model).generate(requests)) == [one_by_one(model, r) for r in requests]


def test_one_question_many_variants_and_one_request_alone(tiny_model: Callable[..., Any]) -> None:
    model, requests = tiny_model("llama"), make_requests(questions=1)
    together = tokens(make_engine(model).generate(requests))
    assert together == [one_by_one(model, request) for request in requests]
    assert tokens(make_engine(model).generate(requests[3:4])) == together[3:4]
    assert make_engine(model).generate([]) == []


def test_prefixes_outlive_a_call(tiny_model: Callable[..., Any]) -> None:
    model, requests = tiny_model("llama"), make_requests(questions=4, prefix=30)
    fresh = make_engine(model)
    expected = fresh.generate(requests)
    engine = make_engine(model)
    half = len(requests) // 2
    first = engine.generate(requests[:half])
    cost = engine.counters.token_forwards
    assert first + engine.generate(requests[half:]) == expected
    assert engine.counters.token_forwards - cost < cost - 30
    stream = engine.generate_stream(requests)
    next(stream)
    stream.close()
    assert engine.generate(requests) == expected


def test_prefixes_do_not_outlive_the_weights_they_were_computed_with(tiny_model: Callable[..., Any]) -> None:
    model, requests = tiny_model("llama"), make_requests(prefix=30)
    engine = make_engine(model)
    before = engine.generate(requests)
    with torch.no_grad():
        model.model.layers[0].self_attn.v_proj.weight.mul_(-1.5)
    expected = make_engine(model).generate(requests)
    assert expected != before
    assert engine.generate(requests) == expected
    hook = model.model.layers[1].register_forward_hook(lambda module, given, output: output * 1.5)
    changed = make_engine(model).generate(requests)
    assert changed != expected
    engine.forget()  # no weight says so
    assert engine.generate(requests) == changed
    hook.remove()


def test_a_lone_prompt_uses_a_prefix_of_the_call_before(tiny_model: Callable[..., Any]) -> None:
    model, requests = tiny_model("llama"), make_requests(questions=5, prefix=30)
    alone = [request for request in requests if request.group == 4]
    others = [request for request in requests if request.group != 4]
    engine, fresh = make_engine(model), make_engine(model)
    engine.generate(others)
    cost = engine.counters.token_forwards
    assert engine.generate(alone) == fresh.generate(alone)
    assert engine.counters.token_forwards - cost < fresh.counters.token_forwards - 30


def test_a_rotation_that_follows_the_longest_text_is_not_shared(
    tiny_model: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    rope = {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "short_factor": [1.0] * 4,
        "long_factor": [9.0] * 4,
        "original_max_position_embeddings": 24,
    }
    model = tiny_model("phi3", rope_parameters=rope, original_max_position_embeddings=24)
    short, long = make_requests(1, prefix=4)[:3], make_requests(1, prefix=40)[:1]
    alone = [one_by_one(model, request) for request in (*short, *long)]
    assert tokens(make_engine(model).generate(short)) == alone[:3]
    assert "plainly" not in caplog.text, "short texts alone are shared"
    engine = make_engine(model)
    assert tokens(engine.generate([*long, *short])) == [alone[3], *alone[:3]]
    assert "rotary embedding changes for texts beyond 24 tokens" in caplog.text
    assert engine.counters.layers_skipped > 0, "short texts beside long ones are shared"


@pytest.mark.parametrize("model_type", ["llama", "gemma3_text"])
def test_a_long_text_is_not_turned_by_a_longer_one_before_it(
    model_type: str, tiny_model: Callable[..., Any]
) -> None:
    """``transformers`` keeps a dynamic rotation at the longest text so far."""
    rope: dict[str, Any] = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    if model_type == "gemma3_text":
        rope = dict.fromkeys(("sliding_attention", "full_attention"), rope)
    model = tiny_model(model_type, seed=2, rope_parameters=rope, max_position_embeddings=12)
    long = Request(tuple(range(5, 25)), max_new_tokens=LIMIT)
    longer = Request(tuple(range(60, 3, -1)), max_new_tokens=LIMIT)
    engine = make_engine(model)
    first = engine.generate([long])
    assert engine.generate([longer]) != first
    assert engine.generate([long]) == first
    assert engine.generate([longer, long])[1:] == first


def test_the_stream_gives_each_answer_once_and_before_the_last(tiny_model: Callable[..., Any]) -> None:
    model, requests = tiny_model("llama"), make_requests()
    engine = make_engine(model, batch_size=4)
    streamed = list(engine.generate_stream(requests))
    assert sorted(index for index, _ in streamed) == list(range(len(requests)))
    assert [g for _, g in sorted(streamed, key=lambda item: item[0])] == make_engine(model).generate(requests)
    told: list[int] = []
    engine.generate(requests, progress=told.append)
    assert sum(told) == len(requests)


def test_model_is_left_as_it_was(tiny_model: Callable[..., Any]) -> None:
    model = tiny_model("llama")
    ids = torch.tensor([[1, 5, 9, 11]])
    before, name = model(ids).logits, model.config._attn_implementation
    stream = make_engine(model).generate_stream(make_requests())
    next(stream)  # a consumer may run the model between two answers
    assert torch.equal(model(ids).logits, before)
    assert model.config._attn_implementation == name
    for layer in attention_layout(model).layers:
        assert not layer._forward_pre_hooks
        assert not layer._forward_hooks


def test_a_request_that_is_not_finite_spoils_no_other(tiny_model: Callable[..., Any]) -> None:
    """In half precision activations may overflow: that text is lost, and those beside it are not."""
    for model_type in ("llama", "gemma2"):
        model = tiny_model(model_type)
        engine = make_engine(model)
        assert engine.why_plain() is None
        with torch.no_grad():
            model.get_input_embeddings().weight[60] = float("inf")
        sound = [Request(tuple(range(5, 5 + width)), max_new_tokens=6) for width in (3, 4, 6)]
        alone = [engine.generate([request])[0] for request in sound]
        for sampling in (GREEDY, Sampling(True, 1.0, top_k=20, top_p=0.9)):
            spoilt = Request((60, 61), max_new_tokens=6, sampling=sampling)
            assert engine.generate([spoilt, *sound])[1:] == alone


def test_a_head_that_the_model_lacks_is_refused(tiny_model: Callable[..., Any]) -> None:
    with pytest.raises(HeadError, match="L7H0"):
        make_engine(tiny_model("llama")).generate([Request((1, 2), HeadSet.parse("L7H0"))])
