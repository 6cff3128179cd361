"""``base_logprob`` against a plain loop over one answer at a time."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from sprint_eval.architectures import ARCHITECTURES
from sprint_eval.errors import GenerationError
from sprint_eval.heads import HeadSet
from sprint_eval.masking import HeadMasker
from sprint_eval.pruning.surgery import cut
from sprint_eval.scoring import Answer, BaseLogprob
from sprint_eval.scoring.prefix import PrefixChain


def answers(count: int = 12, seed: int = 0) -> list[Answer]:
    """Answers of 1 to 9 tokens to prompts of 3 to 20."""
    draw = torch.Generator().manual_seed(seed)

    def ids(length: int) -> tuple[int, ...]:
        return tuple(torch.randint(3, 60, (length,), generator=draw).tolist())

    prompts = [ids(3 + 4 * (i % 5)) for i in range(5)]
    return [Answer(prompts[i % 5], ids(1 + i % 9), "q", f"a{i}") for i in range(count)]


def siblings(count: int = 24) -> list[Answer]:
    """Answers of 1 to 9 tokens to four prompts that begin alike, one of them the beginning of another."""
    draw = torch.Generator().manual_seed(1)
    ids = torch.randint(3, 60, (60,), generator=draw).tolist()
    prompts = [tuple(ids[:30]), tuple(ids[:34]), (*ids[:25], *ids[40:47]), tuple(ids[50:60])]
    tails = torch.randint(3, 60, (count, 9), generator=draw).tolist()
    return [Answer(prompts[i % 4], tuple(tails[i][: 1 + i % 9]), "q", f"a{i}") for i in range(count)]


def naive(model: Any, answer: Answer) -> float:
    """The definition: a token at a time, a forward each."""
    total = 0.0
    for t, token in enumerate(answer.tokens):
        ids = torch.tensor([[*answer.prompt, *answer.tokens[:t]]])
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, -1]
        total += float(torch.log_softmax(logits.double(), -1)[token])
    return total / len(answer.tokens)


@pytest.mark.parametrize("model_type", sorted(ARCHITECTURES))
def test_it_is_the_mean_of_the_tokens_log_probabilities(model_type: str, tiny_model: Any) -> None:
    model = tiny_model(model_type)
    wanted = answers()
    scores = BaseLogprob(model).score(wanted)
    assert scores == pytest.approx([naive(model, answer) for answer in wanted], abs=2e-4)
    assert len(set(scores)) == len(scores)


@pytest.mark.parametrize("model_type", sorted(ARCHITECTURES))
def test_so_it_is_where_answers_share_a_prompt(model_type: str, tiny_model: Any) -> None:
    model = tiny_model(model_type)
    tokens: list[int] = []
    model.register_forward_pre_hook(
        lambda module, args, kwargs: tokens.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    wanted = siblings()
    scores = BaseLogprob(model).score(wanted)
    spent, whole = sum(tokens), sum(len(answer.prompt) + len(answer.tokens) for answer in wanted)
    shares = PrefixChain.suits(model)
    assert shares or model_type not in ("llama", "qwen2", "qwen3", "gpt2", "gpt_neox", "opt", "olmo2")
    assert spent < 0.5 * whole if shares else spent >= whole
    assert scores == pytest.approx([naive(model, answer) for answer in wanted], abs=2e-4)


def test_a_cut_model_shares_prompts_too(tiny_model: Any) -> None:
    """Its layers hold fewer keys than the config says, and one of them none."""
    model = cut(tiny_model("llama"), HeadSet.parse("L0H0+L0H1+L0H2+L0H3+L1H2"), allow_empty_layers=True)
    scores = BaseLogprob(model).score(siblings())
    assert scores == pytest.approx([naive(model, answer) for answer in siblings()], abs=2e-4)
    assert scores != pytest.approx(BaseLogprob(tiny_model("llama")).score(siblings()), abs=1e-2)


@pytest.mark.parametrize("max_tokens", [1, 80, 10_000])
def test_few_siblings_at_once_change_nothing(
    max_tokens: int, tiny_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model("llama")
    whole = BaseLogprob(model).score(siblings())
    assert BaseLogprob(model, max_tokens).score(siblings()) == pytest.approx(whole, abs=1e-5)
    monkeypatch.setattr("sprint_eval.scoring.base_logprob._LOGITS", 64 * 20)
    told: list[int] = []
    assert BaseLogprob(model).score(siblings(), told.append) == pytest.approx(whole, abs=1e-5)
    assert sum(told) == len(siblings())
    assert max(told) < 20


def test_a_prompt_of_one_token_has_nothing_to_share(tiny_model: Any) -> None:
    model = tiny_model("llama")
    wanted = [Answer((5,), tuple(range(6, 8 + i)), "q", "a") for i in range(3)] + siblings()
    assert BaseLogprob(model).score(wanted) == pytest.approx([naive(model, a) for a in wanted], abs=2e-4)


@pytest.mark.parametrize("max_tokens", [1, 40, 10_000])
def test_batches_change_nothing(max_tokens: int, tiny_model: Any) -> None:
    model = tiny_model("llama")
    alone = [BaseLogprob(model).score([answer])[0] for answer in answers()]
    assert BaseLogprob(model, max_tokens).score(answers()) == pytest.approx(alone, abs=1e-5)


def test_few_logits_are_kept_at_once(tiny_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("llama")
    whole = BaseLogprob(model).score(answers())
    monkeypatch.setattr("sprint_eval.scoring.base_logprob._LOGITS", 64 * 20)
    monkeypatch.setattr("sprint_eval.scoring.base_logprob._AT_ONCE", 64 * 2)
    seen = []
    forward = model.forward

    def spy(*args: Any, **kwargs: Any) -> Any:
        found = forward(*args, **kwargs)
        seen.append(found.logits.shape[0] * found.logits.shape[1])
        return found

    scorer = BaseLogprob(model)
    model.forward = spy
    assert scorer.score(answers()) == pytest.approx(whole, abs=1e-5)
    assert max(seen) <= 20


def test_a_model_that_keeps_all_logits_is_scored_the_same(tiny_model: Any) -> None:
    model = tiny_model("gpt2")
    whole = BaseLogprob(model).score(answers())
    forward = model.forward
    model.forward = lambda input_ids, attention_mask, use_cache: forward(
        input_ids=input_ids, attention_mask=attention_mask, use_cache=use_cache
    )
    assert BaseLogprob(model).score(answers()) == pytest.approx(whole, abs=1e-5)


def test_equal_answers_are_scored_once(tiny_model: Any) -> None:
    model = tiny_model("llama")
    rows = []
    model.register_forward_pre_hook(
        lambda module, args, kwargs: rows.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    told: list[int] = []
    wanted = answers()
    scores = BaseLogprob(model).score([*wanted, *reversed(wanted)], told.append)
    assert sum(rows) == sum(told) == len(wanted)
    assert scores[: len(wanted)] == scores[: len(wanted) - 1 : -1]
    assert BaseLogprob(model).score([]) == []


def test_a_mask_would_show(tiny_model: Any) -> None:
    """The other tests would prove nothing if a head made no difference."""
    model = tiny_model("llama")
    base = BaseLogprob(model).score(answers())
    with HeadMasker(model).every_row(HeadSet.parse("L0H0")):
        assert BaseLogprob(model).score(answers()) != pytest.approx(base, abs=1e-3)


def test_scores_that_are_not_finite_are_refused(tiny_model: Any) -> None:
    model = tiny_model("llama")
    with torch.no_grad():
        model.model.norm.weight.fill_(math.nan)
    with pytest.raises(GenerationError, match="12 of 12 answers a score that is not finite"):
        BaseLogprob(model).score(answers())
