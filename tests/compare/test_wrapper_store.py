"""``store=`` on our lm-eval models: another method finds what the first one decoded."""

from types import SimpleNamespace

import pytest

from sprint_eval.candidate import facts_of
from sprint_eval.errors import CommandExit
from sprint_eval.model_wrappers.pruned_head import PrunedHeadLM


def instances(n, questions=2):
    made = []
    for number in range(questions):
        doc = {"question": f"What is {number} + 7?", "answer": "secret", "question_key": f"{number:016x}"}
        args = (f"Q: {doc['question']}\nA:", {"until": ["\n\n"], "max_gen_toks": 5})
        made += [SimpleNamespace(args=args, doc=doc, repeats=n, task_name="t")] * n
    return made


def run(checkpoint, store, n, **arguments):
    model = PrunedHeadLM(checkpoint, device="cpu", dtype="float32", store=store, **arguments)
    answers = model.generate_until(instances(n), disable_tqdm=True)
    return answers, model.get_model_info()["counters"]


def test_a_pool_fills_the_store_and_one_head_is_found_in_it(tiny_checkpoint, tmp_path):
    store = str(tmp_path / "store")
    pool, counters = run(tiny_checkpoint, store, 3, pool="0:0-2")
    assert "decode_seconds" in counters
    assert counters["requests"] == 6
    alone, counters = run(tiny_checkpoint, store, 1, heads="L0H1")
    assert alone == pool[1::3]
    assert [facts_of(a) for a in alone] == [facts_of(a) for a in pool[1::3]]
    assert counters["from_store"] == counters["requests"] == 2
    assert "decode_seconds" not in counters
    assert counters["generated_tokens"] == sum(facts_of(a).tokens for a in alone)
    _, counters = run(tiny_checkpoint, store, 1, heads="L0H3")
    assert "decode_seconds" in counters


def test_a_served_engine_has_no_store(tiny_checkpoint, tmp_path, capsys):
    with pytest.raises(CommandExit):
        PrunedHeadLM(
            tiny_checkpoint,
            heads="L0H0",
            store=str(tmp_path),
            engine="openai",
            base_url="http://127.0.0.1:9",
            fingerprint="0123456789abcdef",
        )
    assert "store= keeps answers" in capsys.readouterr().err
