"""lm-eval's texts and settings become requests exactly as its ``hf`` model reads them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sprint_eval.backends.served import ServedModel
from sprint_eval.errors import ArgumentError
from sprint_eval.heads import HeadSet
from sprint_eval.prompts import GenerationSettings, encode_prompts, generation_facts


class WordTokenizer:
    """One token a word; token 1 begins a text where it is asked for."""

    bos_token = "<s>"
    eos_token_id = 2

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        return [1] * add_special_tokens + [10 + len(word) for word in text.split()]

    def decode(self, tokens: Any) -> str:
        return "</s>"


def model(**config: Any) -> Any:
    return SimpleNamespace(generation_config=SimpleNamespace(**config))


def read(gen_kwargs: dict[str, Any], **config: Any) -> GenerationSettings:
    return GenerationSettings.from_gen_kwargs(gen_kwargs, model(**config), WordTokenizer())


def test_greedy_is_the_default_and_the_end_string_stops() -> None:
    settings = read({"until": "\n\n", "temperature": 0.7, "do_sample": False, "max_gen_toks": 9})
    assert settings.stop == ("\n\n", "</s>")
    assert settings.max_new_tokens == 9
    assert not settings.sampling.do_sample


def test_temperature_alone_samples_with_the_models_own_cuts() -> None:
    sampling = read({"temperature": 0.6}, top_k=20, top_p=0.8, repetition_penalty=1.1).sampling
    assert (sampling.do_sample, sampling.temperature) == (True, 0.6)
    assert (sampling.top_k, sampling.top_p, sampling.repetition_penalty) == (20, 0.8, 1.1)
    assert read({"temperature": 0.6}).sampling.top_k == 50


def test_numbers_may_come_as_text_and_stop_strings_as_any_list() -> None:
    settings = read({"max_gen_toks": "9", "temperature": "0.6", "top_k": 40.0, "until": ("a", "b")})
    assert (settings.max_new_tokens, settings.stop) == (9, ("a", "b", "</s>"))
    assert (settings.sampling.temperature, settings.sampling.top_k) == (0.6, 40)


def test_only_sampled_requests_have_seeds() -> None:
    greedy, sampled = read({}), read({"do_sample": True, "temperature": 1.0})
    assert greedy.request((1,), HeadSet(), 0, "a", 0) == greedy.request((1,), HeadSet(), 0, "a", 1)
    seeds = {sampled.request((1,), HeadSet(), 0, "a", k).sampling.seed for k in range(4)}
    assert len(seeds) == 4


@pytest.mark.parametrize(
    ("gen_kwargs", "message"),
    [
        ({"temprature": 1}, r"'temprature' is not supported \(did you mean 'temperature'\?\)"),
        ({"num_beams": 4}, "num_beams = 4 is not supported"),
        ({"do_sample": True}, "do_sample=True needs a temperature above 0"),
        ({"do_sample": True, "temperature": 1, "top_p": 0}, "top_p = 0.0"),
        ({"max_gen_toks": "1k"}, "setting max_gen_toks = '1k': expected a number"),
        ({"max_new_tokens": [8]}, r"setting max_new_tokens = \[8\]: expected a number"),
        ({"max_gen_toks": float("inf")}, "setting max_gen_toks = inf: expected a number"),
        ({"max_gen_toks": True}, "setting max_gen_toks = True: expected a number"),
        ({"do_sample": True, "temperature": "high"}, "setting temperature = 'high': expected a number"),
        ({"temperature": 1, "top_p": "x"}, "setting top_p = 'x': expected a number"),
        ({"temperature": 1, "top_k": "all"}, "setting top_k = 'all': expected a number"),
        ({"repetition_penalty": "some"}, "setting repetition_penalty = 'some': expected a number"),
        ({"until": 5}, "setting until = 5: expected a text or a list of texts"),
        ({"until": ["a", 5]}, r"setting until = \['a', 5\]: expected a text or a list of texts"),
    ],
)
def test_settings_that_cannot_be_carried_out_are_refused(gen_kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        read(gen_kwargs)


@pytest.mark.parametrize(("ends", "known"), [([7, 2], [2, 7]), (5, [5]), (None, [2])])
def test_end_tokens_are_among_the_facts_where_the_model_is_here(ends: Any, known: list[int]) -> None:
    lm = SimpleNamespace(model=model(eos_token_id=ends), tokenizer=WordTokenizer(), think_end_token="</t>")
    facts = generation_facts(read({}), lm)
    assert facts == {**read({}).as_dict(), "think_end_token": "</t>", "end_tokens": known}
    lm.model = ServedModel(None, lm.model.generation_config)
    assert "end_tokens" not in generation_facts(read({}), lm)


def test_prompts_keep_their_end_and_never_two_starts() -> None:
    tokenizer = WordTokenizer()
    assert encode_prompts(tokenizer, ["a bb ccc"], 10) == [(1, 11, 12, 13)]
    assert encode_prompts(tokenizer, ["a bb ccc"], 2) == [(12, 13)]
    assert encode_prompts(tokenizer, ["<s> a"], 9) == [(13, 11)]
    assert encode_prompts(tokenizer, ["a"], 9, add_bos_token=False) == [(11,)]
    with pytest.raises(ArgumentError, match="leaves no room"):
        encode_prompts(tokenizer, ["a"], 0)
