"""What a request may ask for beyond greedy tokens: draws by seed, a penalty, stop strings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from toy import LIMIT, CharTokenizer, make_engine, make_requests, one_by_one, tokens, zero_columns

from sprint_eval.architectures import ARCHITECTURES
from sprint_eval.draws import Draw
from sprint_eval.engine.request import Request, Sampling
from sprint_eval.engine.settings import DecodingSettings
from sprint_eval.errors import ArgumentError


def test_a_prompt_is_token_ids() -> None:
    assert Request([5, 6], stop=["\n"]) == Request((5, 6), stop=("\n",))  # type: ignore[arg-type]
    for wrong in ({"prompt": "What is 7 + 8?"}, {"prompt": (5,), "stop": "\n"}):
        with pytest.raises(ArgumentError, match="text; give"):
            Request(**wrong)  # type: ignore[arg-type]


def test_a_draw_brings_sampling_of_its_own() -> None:
    with pytest.raises(ArgumentError, match=r"by GenerationSettings\.request"):
        Request((5, 6), Draw.parse("base~T0.6K40P0.95D1"))


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


@pytest.mark.parametrize("model_type", sorted(ARCHITECTURES))
def test_draws_of_one_prompt_and_twins_share_cells_to_the_end(
    model_type: str, tiny_model: Callable[..., Any]
) -> None:
    """Fewer tokens than the model was given leave its last layer."""
    model = tiny_model(model_type, seed=2)
    requests = [request for request in make_requests(questions=1) for _ in range(2)]
    answers = tokens(make_engine(model).generate(requests))
    assert answers == [one_by_one(model, request) for request in requests]
    prompt = requests[0].prompt
    draws = [Request(prompt, max_new_tokens=LIMIT, sampling=Sampling(True, 1.5, seed=s)) for s in (0, 1, 0)]
    drawn = tokens(make_engine(model).generate(draws))
    assert drawn == [tokens(make_engine(model).generate([draw]))[0] for draw in draws]


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
