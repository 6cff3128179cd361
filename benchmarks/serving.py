"""The built-in engine beside vLLM on the cells of one sweep: seconds, tokens a second, equal answers.

    .venv-vllm/bin/python benchmarks/serving.py [--questions 6] [--layers 15] [--tokens 24]

Runs in the environment of ``make test-vllm``, which has both. Work: the first questions of rg_math's training
split behind the task's worked examples, under every head of the layers and the base.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")

from sprint_eval.architectures import attention_layout
from sprint_eval.engine.request import Generation
from sprint_eval.export import export_heads, read_manifest
from sprint_eval.export.loading import load_model as load_weights
from sprint_eval.files import write_json
from sprint_eval.heads import HeadPool, HeadSet
from sprint_eval.sweep import SweepConfig
from sprint_eval.sweep.model import load_model
from sprint_eval.sweep.prepare import prepare

RESULTS = Path(__file__).resolve().parent / "results"


def main() -> None:
    args = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        adapters = _export(args, Path(folder))
        report: dict[str, Any] = {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "arguments": {key: str(value) for key, value in vars(args).items()},
            "adapters": adapters,
            "engines": {},
        }
        answers: dict[str, list[Generation]] = {}
        for engine in args.engines.split(","):
            report["engines"][engine], answers[engine] = _measure(args, engine, folder)
            print(json.dumps({engine: report["engines"][engine]}), flush=True)
    first = next(iter(answers.values()))
    for engine, found in answers.items():
        same = sum(a.tokens == b.tokens for a, b in zip(first, found, strict=True))
        report["engines"][engine]["equal_to_first"] = f"{same} of {len(first)}"
    print(json.dumps(report, indent=2))
    write_json(args.out, report)


def _export(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    started = time.perf_counter()
    model = load_weights(args.model, args.dtype)
    pool = HeadPool.parse(f"{args.layers}:*", attention_layout(model).heads)
    export_heads(model, pool, folder, model_name=args.model)
    manifest = read_manifest(folder)
    return {
        "count": len(manifest["adapters"]),
        "rank": manifest["max_rank"],
        "bytes": manifest["num_bytes"],
        "seconds": round(time.perf_counter() - started, 2),
    }


def _measure(args: argparse.Namespace, engine: str, adapters: str) -> tuple[dict[str, Any], list[Generation]]:
    more: dict[str, Any] = {}
    if engine == "vllm":
        more = {"adapters": adapters, "max_model_len": 1024, "max_num_seqs": args.rows}
        more |= {"enforce_eager": True} if args.device == "cpu" else {}
    config = SweepConfig(
        model=args.model,
        task="rg_math_pass_at_n_fewshot",
        out="unused",
        layers=args.layers,
        limit=args.questions,
        dtype=args.dtype,
        device=None if engine == "vllm" else args.device,
        engine=engine,
        gen_kwargs={"max_gen_toks": args.tokens},
        model_args=more,
    )
    started = time.perf_counter()
    model = load_model(config)
    _ = getattr(model.backend, "dtype", None)  # starts vLLM
    loading = time.perf_counter() - started
    prepared = prepare(config, model)
    sets = [HeadSet(), *map(HeadSet.parse, prepared.manifest.pool)]
    requests = [prepared.request(i, heads) for i in range(len(prepared.questions)) for heads in sets]
    model.backend.generate(requests[:2])  # warm-up
    started = time.perf_counter()
    answers = model.backend.generate(requests)
    seconds = time.perf_counter() - started
    tokens = sum(len(answer.tokens) for answer in answers)
    found = {
        "cells": len(requests),
        "prompt_tokens": sum(len(request.prompt) for request in requests),
        "generated_tokens": tokens,
        "load_seconds": round(loading, 1),
        "decode_seconds": round(seconds, 1),
        "cells_a_second": round(len(requests) / seconds, 2),
        "tokens_a_second": round(tokens / seconds, 1),
    }
    return found, answers


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--engines", default="sprint,plain,vllm")
    parser.add_argument("--questions", type=int, default=6)
    parser.add_argument("--layers", default="15")
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--rows", type=int, default=32, help="sequences that vLLM runs at once")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=RESULTS / "serving.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
