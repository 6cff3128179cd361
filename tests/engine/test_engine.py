"""The engine gives, token for token, what one-by-one decoding of the cut model gives."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from toy import CharTokenizer, zero_columns

from sprint_eval.architectures import ARCHITECTURES, attention_layout
from sprint_eval.engine import Engine
from sprint_eval.engine.request import Generation, Request, Sampling
from sprint_eval.engine.settings import DecodingSettings
from sprint_eval.errors import GenerationError, HeadError
from sprint_eval.heads import HeadSet

HEADS = ["base", "L0H1", "L1H0", "L1H2+L2H0", "L2H3", "L2H0", "L1H1"]
NOT_SHARED = {"gptj", "stablelm"}
LIMIT = 10


def one_by_one(model: Any, request: Request) -> list[int]:
    """Greedy decoding of one request without a cache; token 2 ends it."""
    cut, ids = zero_columns(model, request.heads), list(request.prompt)
    for _ in range(request.max_new_tokens):
        with torch.no_grad():
            ids.append(int(cut(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
        if ids[-1] == 2:
            break
    return ids[len(request.prompt) :]


def make_requests(questions: int = 2, prefix: int = 10, heads: list[str] = HEADS) -> list[Request]:
    """Questions of different lengths behind a common prefix, each under every head set."""
    draw = random.Random(5)
    shared = tuple(draw.randrange(3, 60) for _ in range(prefix))
    rests = [tuple(draw.randrange(3, 60) for _ in range(2 + 3 * q)) for q in range(questions)]
    return [
        Request(shared + rest, HeadSet.parse(text), max_new_tokens=LIMIT, group=q)
        for q, rest in enumerate(rests)
        for text in heads
    ]


def make_engine(model: Any, **options: Any) -> Engine:
    return Engine(model, CharTokenizer(), settings=DecodingSettings((2,)), **options)


def tokens(generations: list[Generation]) -> list[list[int]]:
    return [list(generation.tokens) for generation in generations]


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


def test_a_small_budget_preempts_and_changes_nothing(tiny_model: Callable[..., Any]) -> None:
    model, requests = tiny_model("llama"), make_requests()
    free = make_engine(model).generate(requests)
    for budget in (30, 60, 120):
        assert make_engine(model, token_budget=budget).generate(requests) == free
    with pytest.raises(GenerationError, match="raise token_budget"):
        make_engine(model, token_budget=4).generate(requests)


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


def test_a_lone_prompt_uses_a_prefix_of_the_call_before(tiny_model: Callable[..., Any]) -> None:
    model, requests = tiny_model("llama"), make_requests(questions=5, prefix=30)
    alone = [request for request in requests if request.group == 4]
    others = [request for request in requests if request.group != 4]
    engine, fresh = make_engine(model), make_engine(model)
    engine.generate(others)
    cost = engine.counters.token_forwards
    assert engine.generate(alone) == fresh.generate(alone)
    assert engine.counters.token_forwards - cost < fresh.counters.token_forwards - 30


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
    assert caplog.text.count("half the token budget") == 2


@pytest.mark.parametrize(
    "sampling",
    [Sampling(repetition_penalty=1.4), Sampling(True, 1.3, seed=1)],
    ids=["penalty", "drawn"],
)
def test_memory_may_run_out_while_tokens_are_chosen(
    sampling: Sampling, tiny_model: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever has been chosen of a forward by then must not be kept twice, nor be lost."""
    from sprint_eval.engine import engine as module

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
    assert tokens(make_engine(model).generate([*short, *long])) == alone
    assert "rotary embedding changes for texts beyond 24 tokens" in caplog.text


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
    assert all(not layer._forward_pre_hooks for layer in attention_layout(model).layers)


def test_sampling_depends_on_the_seed_alone(tiny_model: Callable[..., Any]) -> None:
    model = tiny_model("llama")
    requests = [
        Request(r.prompt, r.heads, LIMIT, sampling=Sampling(True, 1.3, top_k=20, top_p=0.95, seed=seed % 4))
        for seed, r in enumerate(make_requests(questions=2))
    ]
    together = tokens(make_engine(model).generate(requests))
    assert together == [tokens(make_engine(model).generate([request]))[0] for request in requests]
    assert together[::-1] == tokens(make_engine(model, batch_size=3).generate(requests[::-1]))
    assert together != tokens(make_engine(model).generate(make_requests(questions=2)))


def test_a_draw_from_all_tokens_is_the_same_in_any_batch(tiny_model: Callable[..., Any]) -> None:
    """Among many tokens some are equal but for rounding, which differs from batch to batch."""
    model = tiny_model("llama")
    requests = [
        Request(r.prompt, r.heads, 60, sampling=Sampling(True, 1.3, seed=seed))
        for seed, r in enumerate(make_requests())
    ]
    free = make_engine(model).generate(requests)
    for budget in (70, 120):
        assert make_engine(model, token_budget=budget).generate(requests) == free


def test_repeated_samples_share_their_prompt(tiny_model: Callable[..., Any]) -> None:
    prompt = make_requests(questions=1)[0].prompt
    requests = [
        Request(prompt, max_new_tokens=LIMIT, sampling=Sampling(True, 1.5, seed=seed)) for seed in range(6)
    ]
    engine = make_engine(tiny_model("llama"))
    answers = engine.generate(requests)
    assert len({answer.tokens for answer in answers}) == 6
    assert engine.counters.token_forwards < len(prompt) + sum(len(a.tokens) for a in answers)


def test_repetition_penalty_is_transformers_own(tiny_model: Callable[..., Any]) -> None:
    model = tiny_model("llama")
    requests = [
        Request(r.prompt, r.heads, LIMIT, sampling=Sampling(repetition_penalty=1.4)) for r in make_requests()
    ]
    answers = make_engine(model).generate(requests)
    for request, answer in zip(requests[::5], answers[::5], strict=True):
        output = zero_columns(model, request.heads).generate(
            torch.tensor([request.prompt]),
            attention_mask=torch.ones(1, len(request.prompt), dtype=torch.long),
            max_new_tokens=LIMIT,
            do_sample=False,
            repetition_penalty=1.4,
            eos_token_id=2,
            pad_token_id=0,
        )
        assert list(answer.tokens) == output[0, len(request.prompt) :].tolist()
    assert tokens(answers) != tokens(make_engine(model).generate(make_requests()))


def test_stop_strings_end_drafted_answers_where_plain_decoding_ends_them(
    tiny_model: Callable[..., Any],
) -> None:
    from sprint_eval.engine.plain import PlainEngine

    model = tiny_model("llama")
    free = make_engine(model).generate(make_requests())
    stop = (free[0].text[5:7], free[8].text[3])
    requests = [Request(r.prompt, r.heads, LIMIT, stop) for r in make_requests()]
    plain = PlainEngine(model, CharTokenizer(), settings=DecodingSettings((2,))).generate(requests)
    answers = make_engine(model).generate(requests)
    assert answers == plain
    assert any(a.finish_reason == "stop" and len(a.tokens) < LIMIT for a in answers)


def test_a_head_that_the_model_lacks_is_refused(tiny_model: Callable[..., Any]) -> None:
    with pytest.raises(HeadError, match="L7H0"):
        make_engine(tiny_model("llama")).generate([Request((1, 2), HeadSet.parse("L7H0"))])
