"""``score=`` and ``reward_model=`` through the model wrappers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sprint_eval.candidate import facts_of
from sprint_eval.errors import CommandExit
from sprint_eval.model_wrappers.pruned_head import PrunedHeadLM

POOL = "base/0:0/1:2"


def instances(n: int, questions: int = 3, **gen_kwargs: Any) -> list[Any]:
    made = []
    for number in range(questions):
        doc = {"question": f"What is {number} + 7?", "answer": "secret", "question_key": f"{number:016x}"}
        args = (f"Q: {doc['question']}\nA:", {"until": ["\n\n"], "max_gen_toks": 6} | gen_kwargs)
        made += [SimpleNamespace(args=args, doc=doc, repeats=n, task_name="t")] * n
    return made


def build(checkpoint: str, **arguments: Any) -> PrunedHeadLM:
    return PrunedHeadLM(checkpoint, device="cpu", dtype="float32", **arguments)


def scores(answers: list[str]) -> list[float | None]:
    return [facts_of(answer).score for answer in answers]


@pytest.mark.parametrize("engine", ["sprint", "plain"])
def test_every_candidate_is_scored_by_the_base(engine: str, tiny_checkpoint: str) -> None:
    model = build(tiny_checkpoint, pool=POOL, engine=engine, score="base_logprob")
    answers = model.generate_until(instances(3), disable_tqdm=True)
    assert answers == build(tiny_checkpoint, pool=POOL, engine=engine).generate_until(instances(3), True)
    found = scores(answers)
    base = build(tiny_checkpoint, heads="base")
    compared = 0
    for answer, score, request in zip(answers, found, instances(3), strict=True):
        context, text = base.tok_encode(request.args[0]), base.tok_encode(str(answer))
        # Random tokens seldom survive being text; those that do can be scored by lm-eval itself.
        if facts_of(answer).truncated and len(text) == facts_of(answer).tokens:
            [(total, _)] = base._loglikelihood_tokens([(("", ""), context, text)], disable_tqdm=True)
            assert score == pytest.approx(total / len(text), abs=1e-4)
            compared += 1
    assert compared > 0
    assert len(set(found)) > 3
    info = model.get_model_info()
    assert info["scorer"] == "base_logprob"
    assert info["scored_answers"] == len(set(zip(answers, [i // 3 for i in range(9)], strict=True)))
    assert info["score_seconds"] > 0


def test_a_store_keeps_scores_for_other_methods(tiny_checkpoint: str, tmp_path: Path) -> None:
    pool = build(tiny_checkpoint, pool=POOL, score="base_logprob", store=str(tmp_path))
    wanted = scores(pool.generate_until(instances(3), disable_tqdm=True))
    assert pool.get_model_info()["score_seconds"] > 0
    alone = build(tiny_checkpoint, heads="L0H0", score="base_logprob", store=str(tmp_path))
    assert scores(alone.generate_until(instances(1), disable_tqdm=True)) == wanted[1::3]
    info = alone.get_model_info()
    assert info["scores_from_store"] == info["scored_answers"] == 3
    assert "score_seconds" not in info


def test_a_store_may_be_named_by_digits(
    tiny_checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of which lm-eval makes a number."""
    monkeypatch.chdir(tmp_path)
    model = build(tiny_checkpoint, heads="L0H0", score="base_logprob", store=2024)
    assert None not in scores(model.generate_until(instances(1), disable_tqdm=True))
    assert (tmp_path / "2024" / "scores").is_dir()


def test_the_base_scores_what_another_head_set_answers(tiny_checkpoint: str) -> None:
    """A fixed head set scores log-likelihood tasks under its mask, but candidates under none."""
    one = build(tiny_checkpoint, heads="L1H2", score="base_logprob")
    pool = build(tiny_checkpoint, pool=POOL, score="base_logprob")
    alone = one.generate_until(instances(1), disable_tqdm=True)
    together = pool.generate_until(instances(3), disable_tqdm=True)
    assert alone == together[2::3]
    assert scores(alone) == pytest.approx(scores(together[2::3]), abs=1e-5)


def test_one_answer_is_scored_once(tiny_checkpoint: str) -> None:
    model = build(tiny_checkpoint, heads="L0H0", score="base_logprob")
    answers = model.generate_until(instances(4), disable_tqdm=True)
    assert model.get_model_info()["scored_answers"] == 3
    assert all(len(set(scores(answers[i : i + 4]))) == 1 for i in range(0, 12, 4))


def test_nothing_is_scored_unless_asked_for(tiny_checkpoint: str) -> None:
    model = build(tiny_checkpoint, heads="L0H0", score="none")
    answers = model.generate_until(instances(2), disable_tqdm=True)
    assert scores(answers) == [None] * 6
    assert not {"scorer", "scored_answers", "score_seconds"} & set(model.get_model_info())


def test_a_reward_model_sees_question_and_answer(
    tiny_checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reward = classifier(tmp_path, tiny_checkpoint)
    seen: list[Any] = []
    from sprint_eval.scoring import RewardModel

    encode = RewardModel._encode
    monkeypatch.setattr(RewardModel, "_encode", lambda self, *pair: seen.append(pair) or encode(self, *pair))
    model = build(tiny_checkpoint, pool=POOL, reward_model=reward)
    answers = model.generate_until(instances(3), disable_tqdm=True)
    assert set(seen) == {(f"What is {i // 3} + 7?", str(answer)) for i, answer in enumerate(answers)}
    assert len(seen) == len(set(seen))
    assert None not in scores(answers)
    info = model.get_model_info()
    assert (info["scorer"], info["reward_model"]) == ("reward_model", reward)
    assert "secret" not in repr(seen)


def classifier(folder: Path, tokenizer_of: str) -> str:
    from transformers import AutoTokenizer, LlamaConfig, LlamaForSequenceClassification

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_of)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = LlamaConfig(vocab_size=len(tokenizer), num_labels=1, pad_token_id=0, **shape)
    LlamaForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"score": "base_logprobs"}, "score = 'base_logprobs' is unknown (did you mean 'base_logprob'?)"),
        ({"score": "base_logprob", "reward_model": "x"}, "both choose best@k's scorer"),
        ({"reward_model": "/no/such/folder"}, "no such folder"),
        (
            {
                "score": "base_logprob",
                "engine": "openai",
                "base_url": "http://127.0.0.1:9",
                "fingerprint": "0123456789abcdef",
            },
            "score=base_logprob needs the model in this process, engine=openai holds it elsewhere",
        ),
    ],
)
def test_what_cannot_be_scored_is_refused_before_weights_are_loaded(
    arguments: dict[str, Any],
    message: str,
    tiny_checkpoint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(PrunedHeadLM, "_create_model", lambda *args, **kwargs: pytest.fail("loaded"))
    with pytest.raises(CommandExit):
        build(tiny_checkpoint, heads="L0H0", **arguments)
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("sprint-eval: error: ")
    assert message in error


def test_a_reward_model_scores_what_a_server_decodes(
    tiny_checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sprint_eval.backends.openai import OpenAIBackend
    from sprint_eval.engine.request import Generation

    monkeypatch.setattr(
        OpenAIBackend,
        "generate",
        lambda self, requests, progress=None: [Generation((5,), str(r.heads), "stop") for r in requests],
    )
    served = {"engine": "openai", "base_url": "http://127.0.0.1:9", "fingerprint": "0123456789abcdef"}
    reward = classifier(tmp_path, tiny_checkpoint)
    model = PrunedHeadLM(tiny_checkpoint, device="cpu", pool=POOL, reward_model=reward, **served)
    answers = model.generate_until(instances(3), disable_tqdm=True)
    assert None not in scores(answers)
    assert len(set(scores(answers))) == 9
