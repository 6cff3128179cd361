"""Routing's share of decoding on a model of the paper's size, whose weights are random.

    python benchmarks/router_share.py --data-dir DATA --out share.json [--tokens 64] [--n 1 4 8]

GSM8K questions without worked examples, N candidates each. How long a token takes does not depend on the
weights, and such answers do not end by themselves, so that each has about ``--tokens`` tokens; what siblings
share does depend on them, hence look at N = 1 first. The router chooses among all heads of that model; its
outcomes are simulated, its embedder is the default one. Every measurement has questions of its own, which no
cache has seen.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from engine import describe_machine, shown
from engine_workload import load_lm, synchronize
from router_training import simulated_outcomes

from sprint_eval.architectures import attention_layout
from sprint_eval.engine import Engine
from sprint_eval.files import write_atomic, write_json
from sprint_eval.prompts import GenerationSettings, encode_prompts
from sprint_eval.routing import Router, RouterConfig, SentenceEmbedder, train_router
from sprint_eval.tasks import load_task

TASK = "gsm8k_pass_at_n"
RULES = ("nearest", "coverage")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="shape:qwen2.5-math-1.5b")
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--questions", type=int, default=8, help="at a time")
    parser.add_argument("--tokens", type=int, default=64, help="an answer")
    parser.add_argument("--n", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    lm = load_lm(args.model, args.device, args.dtype)
    layout = attention_layout(lm.model).heads.heads_per_layer
    outcomes = simulated_outcomes(300, sum(layout), per_layer=layout[0])
    task = load_task(TASK, {"data_dir": args.data_dir}, split="train")
    task.build_all_requests(limit=args.questions * (1 + len(RULES) * len(args.n)), rank=0, world_size=1)
    instances = list({instance.doc_id: instance for instance in reversed(task.instances)}.values())
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        router = train_router(outcomes, RouterConfig(), SentenceEmbedder(cache=Path(cache)))
        router.rank([i.doc["question"] for i in instances[: args.questions]], 1)  # what a first call pays
        for place, (n, rule) in enumerate(((n, rule) for n in args.n for rule in RULES), start=1):
            asked = instances[place * args.questions : (place + 1) * args.questions]
            rows.append({"n": n, "rule": rule, **measure(lm, router, asked, n, rule, args.tokens)})
            print(rows[-1], flush=True)
    report = {"machine": describe_machine(args.device), "arguments": shown(args), "rows": rows}
    write_json(args.out, report)
    write_atomic(args.out.with_suffix(".md"), "\n".join(table(rows)))


def measure(lm: Any, router: Router, asked: list[Any], n: int, rule: str, tokens: int) -> dict[str, float]:
    """Seconds a question of routing and of decoding what was chosen, and tokens an answer."""
    started = time.perf_counter()
    choices = router.rank([instance.doc["question"] for instance in asked], n, rule)
    routing = time.perf_counter() - started
    settings = GenerationSettings.from_gen_kwargs({"max_gen_toks": tokens}, lm.model, lm.tokenizer)
    prompts = encode_prompts(lm.tokenizer, [instance.args[0] for instance in asked], lm.max_length - tokens)
    engine = Engine(lm.model, lm.tokenizer)
    engine.why_plain()
    requests = [
        settings.request(prompt, choice.heads, number)
        for number, (prompt, chosen) in enumerate(zip(prompts, choices, strict=True))
        for choice in chosen
    ]
    started = time.perf_counter()
    list(engine.generate(requests))
    synchronize(str(lm.device))
    decoding = time.perf_counter() - started
    return {
        "routing_seconds": float(f"{routing / len(asked):.4g}"),
        "decoding_seconds": float(f"{decoding / len(asked):.4g}"),
        "routing_share": float(f"{routing / decoding:.3g}"),
        "tokens_an_answer": engine.counters.as_dict()["generated_tokens"] / len(requests),
    }


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Markdown, a line a measurement."""
    lines = ["| N | rule | routing, ms a question | decoding, s | share | tokens an answer |"]
    lines.append("|---:|---|---:|---:|---:|---:|")
    for row in rows:
        lines.append(
            f"| {row['n']} | `{row['rule']}` | {1e3 * row['routing_seconds']:.1f} "
            f"| {row['decoding_seconds']:.2f} | {row['routing_share']:.2%} | {row['tokens_an_answer']:.0f} |"
        )
    return [*lines, ""]


if __name__ == "__main__":
    main()
