"""24 (question, head set) pairs of the real model, against ``transformers`` one at a time."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch

from sprint_eval.engine import Engine
from sprint_eval.engine.request import Request
from sprint_eval.heads import HeadSet
from sprint_eval.masking import HeadMasker

SHOTS = (
    "Question: a shelf holds 12 blue mugs and 9 white mugs . how many mugs does the shelf hold ?\n"
    "Answer: 12 + 9 = 21. The answer is 21.\n\n"
    "Question: each tray has 6 rows and each row has 8 plants . how many plants are on one tray ?\n"
    "Answer: 6 * 8 = 48. The answer is 48.\n\n"
)
HEADS = ["base", "L5H2", "L10H4", "L15H0", "L20H7", "L25H3"]


@pytest.mark.slow
def test_token_for_token_as_transformers_alone(smollm2: str, shared_data: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(smollm2, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(smollm2)
    lines = (shared_data / "asdiv_a_fold0.jsonl").read_text(encoding="utf-8").splitlines()
    questions = [json.loads(line)["question"] for line in random.Random(4).sample(lines, 4)]
    requests = [
        Request(
            tuple(tokenizer.encode(f"{SHOTS}Question: {question}\nAnswer:")),
            HeadSet.parse(text),
            max_new_tokens=24,
            stop=("\n\n",),
            group=number,
        )
        for number, question in enumerate(questions)
        for text in HEADS
    ]
    engine = Engine(model, tokenizer)
    answers = engine.generate(requests)
    assert engine.why_plain() is None
    masker = HeadMasker(model)
    for request, answer in zip(requests, answers, strict=True):
        ids = torch.tensor([request.prompt])
        with masker.every_row(request.heads), torch.no_grad():
            output = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=request.max_new_tokens,
                stop_strings=list(request.stop),
                tokenizer=tokenizer,
                do_sample=False,
                pad_token_id=0,
            )
        assert output[0, len(request.prompt) :].tolist() == list(answer.tokens), request.heads
    counters = engine.counters
    assert counters.layers_skipped > 0
    assert 0 < counters.accepted_tokens < counters.drafted_tokens
    assert len({answer.tokens for answer in answers}) > len(questions)
    assert {answer.finish_reason for answer in answers} == {"stop", "length"}, "both ends are met"
