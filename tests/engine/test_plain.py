"""Plain batched generation equals one-by-one decoding of a model whose weights are cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from toy import CharTokenizer, zero_columns

from sprint_eval.architectures import ARCHITECTURES
from sprint_eval.backends import local_backend
from sprint_eval.engine import Engine
from sprint_eval.engine.limits import default_limits
from sprint_eval.engine.plain import PlainEngine
from sprint_eval.engine.request import Request, Sampling
from sprint_eval.engine.settings import DecodingSettings
from sprint_eval.errors import ArgumentError, GenerationError, UnsupportedModelError
from sprint_eval.heads import HeadSet

HEADS = ["base", "L0H1", "L1H2+L2H0", "L2H3"]


def greedy_one_by_one(model: Any, prompt: tuple[int, ...], limit: int) -> list[int]:
    ids = list(prompt)
    for _ in range(limit):
        with torch.no_grad():
            ids.append(int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
        if ids[-1] == 2:
            break
    return ids[len(prompt) :]


@pytest.mark.parametrize("model_type", sorted(ARCHITECTURES))
def test_mixed_batch_decodes_each_row_as_its_cut_model(
    model_type: str, tiny_model: Callable[..., Any]
) -> None:
    model = tiny_model(model_type)
    prompts = [(1, 5, 9, 11), (1, 7, 8), (1, 30, 31, 32, 33), (1, 5, 9, 11)]
    requests = [
        Request(prompt, HeadSet.parse(heads), max_new_tokens=6)
        for prompt, heads in zip(prompts, HEADS, strict=True)
    ]
    settings = DecodingSettings((2,))
    answers = PlainEngine(model, CharTokenizer(), settings=settings, batch_size=4).generate(requests)
    for request, answer in zip(requests, answers, strict=True):
        expected = greedy_one_by_one(zero_columns(model, request.heads), request.prompt, 6)
        assert list(answer.tokens) == expected


def test_answers_come_batch_by_batch(tiny_model: Callable[..., Any]) -> None:
    requests = [Request((1, 4 + place, 9), max_new_tokens=3) for place in range(6)]
    settings = DecodingSettings(())
    engine = PlainEngine(tiny_model("llama"), CharTokenizer(), settings=settings, batch_size=2)
    seen = [(index, engine.counters.requests) for index, _ in engine.generate_stream(requests)]
    assert sorted(index for index, _ in seen) == list(range(6))
    assert [done for _, done in seen] == [2, 2, 4, 4, 6, 6]
    told: list[int] = []
    engine.generate(requests, told.append)
    assert sum(told) == 6


def test_seeded_draws_do_not_depend_on_the_batch(tiny_model: Callable[..., Any]) -> None:
    model = tiny_model("llama")
    requests = [
        Request((1, 4 + seed, 9), max_new_tokens=8, sampling=Sampling(True, 1.5, seed=seed % 3))
        for seed in range(6)
    ]
    engine = PlainEngine(model, CharTokenizer(), settings=DecodingSettings(()), batch_size=6)
    together = engine.generate(requests)
    alone = [engine.generate([request])[0] for request in requests]
    assert [a.tokens for a in together] == [a.tokens for a in alone]
    assert len({a.tokens for a in together}) > 1


def test_stop_string_ends_and_trims(tiny_model: Callable[..., Any]) -> None:
    model = tiny_model("llama")
    tokenizer = CharTokenizer()
    free = PlainEngine(model, tokenizer, settings=DecodingSettings(())).generate(
        [Request((1, 5, 9), max_new_tokens=12)]
    )[0]
    assert free.finish_reason == "length"
    assert len(free.tokens) == 12
    stop = tokenizer.decode(list(free.tokens[4:6]))
    ended = PlainEngine(model, tokenizer, settings=DecodingSettings(())).generate(
        [Request((1, 5, 9), max_new_tokens=12, stop=(stop,))]
    )[0]
    assert ended.finish_reason == "stop"
    assert ended.text == free.text.split(stop)[0]
    assert len(ended.tokens) <= 6


def test_generation_config_that_is_not_carried_out_is_refused(tiny_model: Callable[..., Any]) -> None:
    model = tiny_model("llama")
    for name, value in (("no_repeat_ngram_size", 3), ("max_time", 5.0), ("stop_strings", "x")):
        setattr(model.generation_config, name, value)
        with pytest.raises(UnsupportedModelError, match=rf"sets {name} = .*which is not supported"):
            DecodingSettings.from_model(model, CharTokenizer())
        setattr(model.generation_config, name, None)


def test_a_batch_that_does_not_fit_is_halved(
    tiny_model: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = tiny_model("llama")
    requests = [Request((1, 5, 9 + i), HeadSet.parse(HEADS[i % 4]), max_new_tokens=5) for i in range(8)]
    settings = DecodingSettings((2,))
    expected = PlainEngine(model, CharTokenizer(), settings=settings).generate(requests)
    generate, sizes = model.generate, []

    def small(input_ids: torch.Tensor, **arguments: Any) -> torch.Tensor:
        sizes.append(len(input_ids))
        if len(input_ids) > most:
            raise RuntimeError("CUDA error: out of memory")
        return generate(input_ids=input_ids, **arguments)

    monkeypatch.setattr(model, "generate", small)
    most = 2
    engine = PlainEngine(model, CharTokenizer(), settings=settings, batch_size=6)
    assert engine.generate(requests) == expected
    assert max(sizes[3:]) <= 3
    assert "going on with batches of 1" in caplog.text or "going on with batches of 3" in caplog.text
    most = 0
    with pytest.raises(GenerationError, match="even with one request"):
        engine.generate(requests)


def test_the_batch_size_that_is_asked_for_reaches_every_local_engine(tiny_model: Callable[..., Any]) -> None:
    model, settings = tiny_model("llama"), DecodingSettings((2,))
    sizes = [
        local_backend("sprint", model, CharTokenizer(), settings, 3)._limits.live,  # type: ignore[attr-defined]
        local_backend("plain", model, CharTokenizer(), settings, 3)._batch_size,  # type: ignore[attr-defined]
    ]
    assert sizes == [3, 3]
    for name in ("sprint", "plain"):
        for size in (0, -1):
            with pytest.raises(ArgumentError, match=f"batch size {size}: expected 1 or more"):
                local_backend(name, model, CharTokenizer(), settings, size)


def test_a_batch_size_counts_beside_limits_too(tiny_model: Callable[..., Any]) -> None:
    limits = default_limits(torch.device("cpu"))
    engine = Engine(tiny_model("llama"), CharTokenizer(), limits=limits, batch_size=3)
    assert engine._limits == replace(limits, live=3) != limits
