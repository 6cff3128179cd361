"""``engine=openai`` through the model wrappers: no weights in this process, the same answers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sprint_eval.backends.served import ServedModel
from sprint_eval.candidate import facts_of
from sprint_eval.errors import CommandExit
from sprint_eval.model_wrappers.pruned_head import PrunedHeadLM

POOL = "base/L0H0/L1H2/L0H1+L2H3"


def _instances(n: int) -> list[Any]:
    made = []
    for number in range(3):
        doc = {"question": f"What is {number} + 7?", "question_key": f"{number:016x}"}
        args = (f"Q: {doc['question']}\nA:", {"until": ["\n\n"], "max_gen_toks": 6})
        made += [SimpleNamespace(args=args, doc=doc, repeats=n, task_name="t")] * n
    return made


def _served(checkpoint: str, url: str, **arguments: Any) -> PrunedHeadLM:
    given = {"pool": POOL, "engine": "openai", "base_url": url, "fingerprint": "0123456789abcdef"}
    return PrunedHeadLM(checkpoint, device="cpu", **(given | arguments))


def test_answers_equal_the_built_in_ones(server: Any, tiny_checkpoint: str) -> None:
    here = PrunedHeadLM(tiny_checkpoint, device="cpu", dtype="float32", pool=POOL, engine="plain")
    wanted = here.generate_until(_instances(4), disable_tqdm=True)
    model = _served(tiny_checkpoint, server.url)
    assert isinstance(model.model, ServedModel)
    answers = model.generate_until(_instances(4), disable_tqdm=True)
    assert answers == wanted
    assert [facts_of(answer) for answer in answers] == [facts_of(answer) for answer in wanted]
    assert len(set(answers)) > 4
    info = model.get_model_info()
    assert info["engine"] == "openai"
    assert info["model_fingerprint"] == "0123456789abcdef"
    assert info["model_fingerprint_declared"] is True
    assert info["counters"]["requests"] == 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"base_url": None}, "engine=openai needs base_url="),
        ({"fingerprint": None}, "fingerprint="),
        ({"engine": "opneai"}, "did you mean 'openai'"),
        ({"peft": "somewhere"}, "peft is not possible with engine=openai"),
        ({"tensor_parallel_size": 2}, "'tensor_parallel_size' is unknown"),
        ({"timeout": "soon"}, "timeout = 'soon': expected a number"),
        ({"pool": "L9H9"}, "L9H9"),
        ({"adapters": "/nowhere"}, "manifest not found"),
    ],
)
def test_what_cannot_be_is_refused(
    arguments: dict[str, Any],
    message: str,
    server: Any,
    tiny_checkpoint: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(CommandExit):
        _served(tiny_checkpoint, server.url, **arguments).generate_until(_instances(4), True)
    assert message in capsys.readouterr().err
    assert server.bodies == []


def test_loglikelihood_is_refused(
    server: Any, tiny_checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = _served(tiny_checkpoint, server.url, pool=None, heads="L0H0")
    with pytest.raises(CommandExit):
        model.loglikelihood([])
    assert "scores no log-likelihoods" in capsys.readouterr().err
