"""What N = 1..8 candidates cost: decoding and routing, seconds a question, one method at a time.

    python benchmarks/router_seconds.py --model smollm2-135m-instruct --task rg_math_pass_at_n_fewshot \\
        --outcomes RUNS/rg-base/outcomes --router RUNS/rg-base/router-0 --out seconds-rg-base.json

The first ``--limit`` test questions are decoded anew for every method and N, by a fresh engine on one loaded
model, methods in turn at each N. Routing is embedding the questions and ranking the pool; the embedder is
loaded before the clock starts, as the model is, and finds nothing in its cache. A table is written beside
the report, ``.md`` in place of ``.json``.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

from sprint_eval.commands.sweep import key_values
from sprint_eval.compare.plan import SAMPLING
from sprint_eval.files import write_atomic, write_json
from sprint_eval.outcomes import Outcomes
from sprint_eval.routing import fixed_cover

METHODS = ("greedy", "sample-0.1", "sample-0.6", "sample-0.9", "random", "cover", "nearest", "coverage")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True)
    parser.add_argument("--task", required=True)
    parser.add_argument("--outcomes", type=Path, required=True)
    parser.add_argument("--router", type=Path, required=True)
    parser.add_argument("--metadata", default="")
    parser.add_argument("--num-fewshot", type=int)
    parser.add_argument("--limit", type=int, default=8)
    parser.add_argument("--n", type=int, nargs="+", default=list(range(1, 9)))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    found: dict[str, dict[str, Any]] = {name: {} for name in args.methods}
    loaded = Loaded(args)
    loaded.measure("greedy", 1)  # what only the first call pays is paid here
    for n in args.n:
        for name in args.methods:
            if name == "greedy" and found[name]:
                continue  # one answer, whatever N
            found[name][str(n)] = loaded.measure(name, n)
            print(name, n, found[name][str(n)], flush=True)
    report = {
        "questions": args.limit,
        "dtype": args.dtype,
        "threads": loaded.threads,
        "machine": platform.processor() or platform.machine(),
        "methods": found,
    }
    write_json(args.out, report)
    write_atomic(args.out.with_suffix(".md"), "\n".join(table(report)))


def table(report: dict[str, Any]) -> list[str]:
    """Markdown of seconds a question, and of what share of them routing would add."""
    methods: dict[str, dict[str, Any]] = report["methods"]
    columns = sorted({int(n) for by_n in methods.values() for n in by_n})
    lines = [f"Seconds a question, {report['questions']} questions at a time, {report['threads']} threads."]
    lines += ["", "| | " + " | ".join(f"N = {n}" for n in columns) + " |", "|---|" + "---:|" * len(columns)]
    for name, by_n in methods.items():
        # Greedy has one answer, whatever N.
        cells = [by_n.get(str(n), by_n["1"] if name == "greedy" else {}) for n in columns]
        shown = [f"{cell['seconds']:.3f}" if cell else "" for cell in cells]
        lines.append(f"| {name} | " + " | ".join(shown) + " |")
        if any("routing_share" in cell for cell in cells):
            shares = [f"{cell['routing_share']:.2%}" if cell else "" for cell in cells]
            lines.append(f"| {name}: routing besides | " + " | ".join(shares) + " |")
    return [*lines, ""]


class Loaded:
    """The model, and every method on it."""

    def __init__(self, args: argparse.Namespace) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        from sprint_eval.models import resolve_model_path

        path = resolve_model_path(args.model)
        self.args = args
        self.model = AutoModelForCausalLM.from_pretrained(path, dtype=args.dtype)
        self.tokenizer = AutoTokenizer.from_pretrained(path)
        self.outcomes = Outcomes.load(args.outcomes)
        self.threads = torch.get_num_threads()

    def measure(self, name: str, n: int) -> dict[str, float]:
        """Seconds and tokens a question of a method's N candidates."""
        import lm_eval
        from lm_eval.tasks import TaskManager

        from sprint_eval.tasks import load_task

        metadata = key_values("--metadata", self.args.metadata)
        task = load_task(self.args.task, {**metadata, "n": n})
        with tempfile.TemporaryDirectory() as cache:
            os.environ["SPRINT_EVAL_CACHE"] = cache
            lm = self.method(name, n)
            lm_eval.simple_evaluate(
                model=lm,
                tasks=[task],
                task_manager=TaskManager(include_defaults=False),  # the task is at hand: nothing to look for
                num_fewshot=self.args.num_fewshot,
                limit=self.args.limit,
                gen_kwargs=SAMPLING.format(float(name[7:])) if name.startswith("sample-") else None,
                bootstrap_iters=0,
                verbosity="ERROR",
            )
        info = lm.get_model_info()
        counters = info["counters"]
        costs = {
            "seconds": counters["decode_seconds"],
            "routing_seconds": info.get("routing_seconds", 0.0),  # beside the seconds, not in them
            "tokens": counters["generated_tokens"],
        }
        rounded = {key: float(f"{value / self.args.limit:.4g}") for key, value in costs.items()}
        if costs["routing_seconds"]:
            rounded["routing_share"] = float(f"{costs['routing_seconds'] / costs['seconds']:.3g}")
        return rounded

    def method(self, name: str, n: int) -> Any:
        """An lm-eval model with an engine of its own."""
        from sprint_eval.model_wrappers.pruned_head import PrunedHeadLM
        from sprint_eval.model_wrappers.random_heads import RandomHeadsLM
        from sprint_eval.model_wrappers.sprint_router import SprintRouterLM

        common = {"tokenizer": self.tokenizer, "device": "cpu"}
        if name == "random":
            return RandomHeadsLM(self.model, outcomes=str(self.args.outcomes), **common)
        if name == "cover":
            pool = "/".join(map(str, fixed_cover(self.outcomes, n)))
            return PrunedHeadLM(self.model, pool=pool, **common)
        if name in ("nearest", "coverage"):
            return SprintRouterLM(self.model, router=str(self.args.router), selection=name, **common)
        return PrunedHeadLM(self.model, heads="base", **common)


if __name__ == "__main__":
    main()
