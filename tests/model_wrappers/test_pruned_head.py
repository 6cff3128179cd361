"""``pruned-head`` through lm-eval's own evaluator, on a random model."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sprint_eval.candidate import facts_of
from sprint_eval.errors import CommandExit
from sprint_eval.model_wrappers.candidates import group_requests
from sprint_eval.model_wrappers.pruned_head import PrunedHeadLM


def instances(n: int, questions: int = 3, **gen_kwargs: Any) -> list[Any]:
    """What the harness hands a model: each question's instance n times in a row."""
    made = []
    for number in range(questions):
        doc = {"question": f"What is {number} + 7?", "answer": "secret", "question_key": f"{number:016x}"}
        args = (f"Q: {doc['question']}\nA:", {"until": ["\n\n"], "max_gen_toks": 6} | gen_kwargs)
        made += [SimpleNamespace(args=args, doc=doc, repeats=n, task_name="t")] * n
    return made


def build(checkpoint: str, **arguments: Any) -> PrunedHeadLM:
    return PrunedHeadLM(checkpoint, device="cpu", dtype="float32", **arguments)


def test_candidate_k_takes_pool_entry_k(tiny_checkpoint: str) -> None:
    model = build(tiny_checkpoint, pool="base/0:0/1:2", engine="plain")
    answers = model.generate_until(instances(3), disable_tqdm=True)
    assert [facts_of(answer).heads for answer in answers] == ["base", "L0H0", "L1H2"] * 3
    assert len(set(answers)) > 3, "the masks must change some answers"
    for k, heads in enumerate(["base", "L0H0", "L1H2"]):
        alone = build(tiny_checkpoint, heads=heads, engine="plain").generate_until(instances(1), True)
        assert alone == answers[k::3]


def test_both_engines_give_the_same_text(tiny_checkpoint: str) -> None:
    pool = "*:*"
    plain = build(tiny_checkpoint, pool=pool, engine="plain").generate_until(instances(8), True)
    sprint = build(tiny_checkpoint, pool=pool).generate_until(instances(8), True)
    assert plain == sprint
    assert [facts_of(a).tokens for a in plain] == [facts_of(a).tokens for a in sprint]


def test_one_head_set_is_decoded_once_a_question(tiny_checkpoint: str) -> None:
    model = build(tiny_checkpoint, heads="L0H0+L2H3")
    answers = model.generate_until(instances(4), disable_tqdm=True)
    info = model.get_model_info()
    assert info["counters"]["requests"] == 3
    assert info["deterministic"]
    assert all(len(set(answers[i : i + 4])) == 1 for i in range(0, 12, 4))
    assert info["pool"] == ["L0H0+L2H3"]
    assert info["n"] == 4
    assert info["method"] == "pruned-head"


def test_seeded_sampling_gives_different_candidates_and_repeats_itself(tiny_checkpoint: str) -> None:
    sampled = {"do_sample": True, "temperature": 2.0}
    model = build(tiny_checkpoint, heads="L0H0")
    first = model.generate_until(instances(4, **sampled), True)
    assert not model.get_model_info()["deterministic"]
    again = build(tiny_checkpoint, heads="L0H0").generate_until(instances(4, **sampled), True)
    other = build(tiny_checkpoint, heads="L0H0", draw_seed=1).generate_until(instances(4, **sampled), True)
    assert first == again != other
    assert len(set(first[:4])) > 1


def test_padding_clones_share_the_answers_of_the_first(tiny_checkpoint: str) -> None:
    model = build(tiny_checkpoint, pool="0:*", engine="plain")
    requests = instances(4, questions=2)
    padded = [*requests, *requests[-4:]]
    answers = model.generate_until(padded, disable_tqdm=True)
    assert answers[8:] == answers[4:8]
    assert model.get_model_info()["counters"]["requests"] == 8


def test_loglikelihood_is_scored_under_the_mask(tiny_checkpoint: str) -> None:
    request = SimpleNamespace(args=("What is 3 + 4?", " 7"), task_name="t")
    scores = {
        heads: build(tiny_checkpoint, heads=heads).loglikelihood([request], disable_tqdm=True)[0][0]
        for heads in ("base", "L0H0")
    }
    assert scores["base"] != scores["L0H0"]


def test_loglikelihood_of_a_pool_is_refused(tiny_checkpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    model = build(tiny_checkpoint, pool="0:*")
    with pytest.raises(CommandExit) as refusal:
        model.loglikelihood([SimpleNamespace(args=("a", " b"), task_name="t")])
    assert refusal.value.code == 2
    assert "log-likelihood tasks have no one model to score" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"heads": "L3H0"}, "L3H0: the model has layers 0 to 2"),
        ({"heads": "L0H4"}, "L0H4: layer 0 of the model has heads 0 to 3"),
        ({"pool": "0:9"}, "head 9 is out of range: the model has heads 0 to 3"),
        ({"head": "L0H0"}, "model argument 'head' is unknown to pruned-head (did you mean 'heads'?)"),
        ({}, "pruned-head takes heads=L15H0 (one head set) or pool=5/10:* (one a candidate), found neither"),
        ({"heads": "L0H0", "pool": "0:*"}, "found both"),
        ({"heads": "L0H0", "engine": "vlm"}, "engine 'vlm' is unknown"),
        ({"heads": "L0H0", "made_on": "model-00aa"}, "outcomes of the model 00aa, this model is"),
        ({"heads": "L0H0", "mixed_precision_dtype": "bfloat16"}, "use dtype=bfloat16"),
        ({"heads": "L0H0", "draw_seed": "x"}, "draw_seed = 'x': expected a whole number"),
    ],
)
def test_bad_arguments_are_one_line_and_exit_2(
    arguments: dict[str, Any], message: str, tiny_checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CommandExit) as refusal:
        build(tiny_checkpoint, **arguments)
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert refusal.value.code == 2
    assert error.startswith("sprint-eval: error: ")
    assert message in error


def test_more_candidates_than_the_pool_has_are_refused(
    tiny_checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = build(tiny_checkpoint, pool="0:*")
    with pytest.raises(CommandExit):
        model.generate_until(instances(5), disable_tqdm=True)
    assert "asks for N = 5 candidates and the pool has 4 head sets" in capsys.readouterr().err


def test_the_answering_side_never_sees_the_gold() -> None:
    questions = group_requests(instances(2))
    assert "secret" not in repr(questions)


def test_a_document_without_a_question_falls_back_to_the_prompt(caplog: pytest.LogCaptureFixture) -> None:
    request = SimpleNamespace(args=("What is 1 + 1?", {}), doc={"text": "x"}, repeats=1)
    with caplog.at_level("WARNING"):
        assert group_requests([request])[0].text == "What is 1 + 1?"
    assert "no field 'question'" in caplog.text
