"""Pruned heads on the real vLLM give what the built-in engine gives, in float32, token for token."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sprint_eval.engine import Engine
from sprint_eval.engine.request import Request
from sprint_eval.heads import HeadSet

pytestmark = pytest.mark.timeout(600)  # an engine starts in a minute, and twice as long on a busy machine

TASK = "rg_math_pass_at_n_fewshot"
TOKENS = 12
# Keeps vLLM's start short.
ENGINE = {"max_model_len": 512, "max_num_seqs": 16, "enforce_eager": True}
QUESTIONS = (
    "Question: Tom has 3 apples and buys 5 more. How many apples does he have?\nAnswer:",
    "Question: What is the greatest common divisor of 12 and 18?\nAnswer:",
    "Question: What is 7 * 8?\nAnswer: The answer is",
)


@pytest.fixture(scope="module")
def offline(smollm2: str, adapters: Path, router: Path) -> Any:
    """sprint-router on vLLM in this process; its engine starts at the first request."""
    from sprint_eval.model_wrappers.sprint_router import SprintRouterLM

    return SprintRouterLM(
        smollm2, router=str(router), engine="vllm", adapters=str(adapters), dtype="float32", **ENGINE
    )


@pytest.fixture(scope="module")
def built_in(smollm2: str, router: Path) -> Any:
    from sprint_eval.model_wrappers.sprint_router import SprintRouterLM

    return SprintRouterLM(smollm2, router=str(router), dtype="float32", device="cpu")


def _requests(tokenizer: Any, pool: tuple[str, ...]) -> list[Request]:
    sets = [HeadSet(), *map(HeadSet.parse, pool)]
    prompts = [tuple(tokenizer.encode(text)) for text in QUESTIONS]
    return [Request(prompt, heads, TOKENS, ("\n\n",)) for prompt in prompts for heads in sets]


def _evaluate(model: Any) -> list[list[str]]:
    """The candidates of a few questions, through lm-eval's own evaluator."""
    import lm_eval

    results = lm_eval.simple_evaluate(
        model=model,
        tasks=[TASK],
        limit=3,
        num_fewshot=1,  # prompts, not answers, are what takes the time here
        gen_kwargs=f"max_gen_toks={TOKENS}",
        metadata={"n": 3},
        log_samples=True,
        bootstrap_iters=0,
    )
    samples = sorted(results["samples"][TASK], key=lambda sample: sample["doc_id"])
    heads = [[record["heads"] for record in sample["candidates"]] for sample in samples]
    assert all(len(set(row)) == 3 for row in heads), "each candidate has a head set of its own"
    return [sample["resps"][0] for sample in samples]


def test_requests_of_many_heads_in_one_batch(
    offline: Any, loaded: tuple[Any, Any], pool: tuple[str, ...]
) -> None:
    model, tokenizer = loaded
    requests = _requests(tokenizer, pool)
    assert len(requests) == 18
    wanted = Engine(model, tokenizer).generate(requests)
    answers = offline._backend().generate(requests)
    equal = [answer == expected for answer, expected in zip(answers, wanted, strict=True)]
    print(f"offline: {sum(equal)} of {len(equal)} answers equal")
    assert all(equal)
    assert len({answer.tokens for answer in answers}) > 6, "heads must change answers"


def test_the_router_through_lm_eval(offline: Any, built_in: Any) -> None:
    assert _evaluate(offline) == _evaluate(built_in)
    info = offline.get_model_info()
    assert info["engine"] == "vllm"
    assert info["model_fingerprint"] == built_in.get_model_info()["model_fingerprint"]


def test_the_router_on_a_server_through_the_command(
    server: str, built_in: Any, smollm2: str, adapters: Path, router: Path, tmp_path: Path
) -> None:
    """As a user types it, in an environment whose transformers is older than the built-in engine's."""
    model_args = f"pretrained={smollm2},router={router},engine=openai,base_url={server},adapters={adapters}"
    command = [sys.executable, "-m", "lm_eval", "--model", "sprint-router", "--model_args", model_args]
    command += [
        "--tasks",
        TASK,
        "--limit",
        "3",
        "--num_fewshot",
        "1",
        "--gen_kwargs",
        f"max_gen_toks={TOKENS}",
    ]
    command += ["--metadata", "n=3", "--log_samples", "--output_path", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (results,) = tmp_path.glob("*/results_*.json")
    config = json.loads(results.read_text(encoding="utf-8"))["config"]
    assert (config["engine"], config["model_fingerprint_declared"]) == ("openai", True)
    assert config["model_fingerprint"] == built_in.get_model_info()["model_fingerprint"]
    (samples,) = tmp_path.glob("*/samples_*.jsonl")
    rows = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
    answers = [row["resps"][0] for row in sorted(rows, key=lambda row: row["doc_id"])]
    assert answers == _evaluate(built_in)


def test_scores_under_one_head_set(offline: Any, loaded: tuple[Any, Any]) -> None:
    from types import SimpleNamespace

    import torch

    from sprint_eval.masking import HeadMasker

    heads = HeadSet.parse("L15H0+L15H3")
    model, tokenizer = loaded
    context, answer = "What is 7 * 8? It is", " 56"
    ids = torch.tensor([tokenizer.encode(context + answer)])
    cut = len(tokenizer.encode(context))
    with torch.no_grad(), HeadMasker(model).every_row(heads):
        scores = model(input_ids=ids).logits[0].log_softmax(-1)
    wanted = sum(float(scores[i - 1, ids[0, i]]) for i in range(cut, ids.shape[1]))
    scorer = offline._backend().use_for_loglikelihood(heads)
    request = SimpleNamespace(args=(context, answer), task_name="t")
    assert scorer.loglikelihood([request], disable_tqdm=True)[0][0] == pytest.approx(wanted, abs=1e-3)


def test_requests_to_a_server(server: str, loaded: tuple[Any, Any], pool: tuple[str, ...]) -> None:
    from sprint_eval.backends.http import JsonClient
    from sprint_eval.backends.openai import OpenAIBackend
    from sprint_eval.engine.settings import DecodingSettings

    model, tokenizer = loaded
    requests = _requests(tokenizer, pool)
    backend = OpenAIBackend(JsonClient(server), tokenizer, DecodingSettings.from_model(model, tokenizer))
    answers = backend.generate(requests)
    wanted = Engine(model, tokenizer).generate(requests)
    equal = [answer == expected for answer, expected in zip(answers, wanted, strict=True)]
    print(f"served: {sum(equal)} of {len(equal)} answers equal")
    assert all(equal)
