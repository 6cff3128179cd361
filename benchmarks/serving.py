"""The built-in engine beside vLLM on the cells of one sweep: seconds, memory, equal answers, equal cells.

    .venv-vllm/bin/python benchmarks/serving.py [--questions 6] [--layers 15] [--tokens 24] [--dtype bfloat16]
    .venv-vllm/bin/python benchmarks/serving.py --task rg_math_pass_at_n --chat --sets 1 --tokens 128

Runs in the environment of ``make test-vllm``, which has both. Work: the first questions of a task's training
split, under every head of the layers and the base, or under the first ``--sets`` of those. The engines take
turns, ``--rounds`` times, each time with empty caches; the first engine's answers are what the others' are
compared with.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")

import psutil
from engine import describe_machine

from sprint_eval.architectures import attention_layout
from sprint_eval.backends import Backend, local_backend
from sprint_eval.engine.request import Generation, Request
from sprint_eval.engine.settings import DecodingSettings
from sprint_eval.export import export_heads, read_manifest
from sprint_eval.export.loading import load_model as load_weights
from sprint_eval.files import write_json
from sprint_eval.heads import HeadPool, HeadSet
from sprint_eval.sweep import SweepConfig
from sprint_eval.sweep.model import LoadedModel, load_model
from sprint_eval.sweep.prepare import Prepared, prepare

RESULTS = Path(__file__).resolve().parent / "results"


def main() -> None:
    args = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        report: dict[str, Any] = {
            "machine": describe_machine(args.device) | {"cores": os.cpu_count()},
            "arguments": {key: str(value) for key, value in vars(args).items() if key != "out"},
            "adapters": _export(args, Path(folder)),
            "engines": {},
        }
        running = {name: Running(args, name, folder) for name in args.engines.split(",")}
        for number in range(args.rounds):
            for name, engine in running.items():
                engine.decode()
                print(f"round {number + 1}: {name}: {engine.seconds[-1]:.1f} s", flush=True)
        first = next(iter(running.values()))
        for name, engine in running.items():
            report["engines"][name] = engine.summary() | engine.compared_with(first)
    print(json.dumps(report, indent=2))
    write_json(args.out, report)


class Running:
    """One engine with the sweep's cells: what it took to start, and to decode them."""

    def __init__(self, args: argparse.Namespace, name: str, adapters: str) -> None:
        started = time.perf_counter()
        config = _config(args, name, adapters)
        self.model = load_model(config)
        self.serves = name == "vllm"
        if self.serves:
            _ = self.model.backend.lm  # type: ignore[attr-defined]  # starts the engine
        self.load_seconds = time.perf_counter() - started
        self.prepared = prepare(config, self.model)
        self.requests = _requests(args, self.prepared)
        self.adapter_facts = _load_adapters(self.model) if self.serves else {}
        self.seconds: list[float] = []
        self.answers: list[Generation] = []
        warm_up = Request(tuple(self.model.lm.tokenizer.encode("Two and two make")), HeadSet(), 4)
        self._fresh().generate([warm_up])

    def decode(self) -> None:
        """Decode all cells once, from empty caches."""
        backend = self._fresh()
        started = time.perf_counter()
        self.answers = backend.generate(self.requests)
        self.seconds.append(time.perf_counter() - started)

    def summary(self) -> dict[str, Any]:
        """What the table needs."""
        tokens, best = sum(len(answer.tokens) for answer in self.answers), min(self.seconds)
        return {
            "cells": len(self.requests),
            "prompt_tokens": sum(len(request.prompt) for request in self.requests),
            "generated_tokens": tokens,
            "load_seconds": round(self.load_seconds, 1),
            "decode_seconds": [round(value, 1) for value in self.seconds],
            "cells_a_second": round(len(self.requests) / best, 2),
            "tokens_a_second": round(tokens / best, 1),
            **self.adapter_facts,
        }

    def compared_with(self, first: Running) -> dict[str, Any]:
        """How many answers and how many cells of Z are those of another engine."""
        pairs = list(zip(self.answers, first.answers, strict=True))
        cells = zip(self._cells(), first._cells(), strict=True)
        return {
            "answers_equal_to_first": sum(a.tokens == b.tokens for a, b in pairs),
            "cells_of_z_equal_to_first": sum(a == b for a, b in cells),
            "cells_solved": sum(self._cells()),
        }

    def _cells(self) -> list[bool]:
        docs = [self.prepared.questions[int(request.group)].doc for request in self.requests]
        texts = [answer.text for answer in self.answers]
        return [verdict.correct for verdict in self.prepared.grade(list(zip(docs, texts, strict=True)))]

    def _fresh(self) -> Backend:
        """The engine without what it remembers of earlier answers."""
        backend: Any = self.model.backend
        if self.serves:
            backend.lm.model.reset_prefix_cache()
            return backend
        lm = self.model.lm
        settings = DecodingSettings.from_model(lm.model, lm.tokenizer)
        name = "plain" if type(backend).__name__ == "PlainEngine" else "sprint"
        return local_backend(name, lm.model, lm.tokenizer, settings)


def _load_adapters(model: LoadedModel) -> dict[str, Any]:
    """Hand vLLM every adapter, one after the other: seconds each, and memory of all processes."""
    backend: Any = model.backend
    engine = backend.lm.model.llm_engine
    before, seconds = _memory(), []
    for text in backend._adapters.paths:
        started = time.perf_counter()
        engine.add_lora(backend._lora_request(HeadSet.parse(text)))
        seconds.append(time.perf_counter() - started)
    return {
        "adapters_loaded": len(seconds),
        "seconds_to_load_an_adapter": round(sum(seconds) / len(seconds), 4),
        "memory_before_adapters_mb": round(before / 1e6),
        "memory_of_adapters_mb": round((_memory() - before) / 1e6, 1),
    }


def _memory() -> int:
    """Resident bytes of vLLM's processes, which are children of this one."""
    return sum(child.memory_info().rss for child in psutil.Process().children(recursive=True))


def _export(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    model = load_weights(args.model, args.dtype)
    pool = HeadPool.parse(f"{args.layers}:*", attention_layout(model).heads)
    started = time.perf_counter()
    export_heads(model, pool, folder, model_name=args.model)
    manifest = read_manifest(folder)
    return {
        "count": len(manifest["adapters"]),
        "rank": manifest["max_rank"],
        "bytes": manifest["num_bytes"],
        "export_seconds": round(time.perf_counter() - started, 2),
    }


def _config(args: argparse.Namespace, engine: str, adapters: str) -> SweepConfig:
    more: dict[str, Any] = {}
    if engine == "vllm":
        more = {"adapters": adapters, "max_model_len": 1024, "max_num_seqs": args.rows}
        more |= {"enforce_eager": True} if args.device == "cpu" else {}
    return SweepConfig(
        model=args.model,
        task=args.task,
        out="unused",
        layers=args.layers,
        limit=args.questions,
        apply_chat_template=args.chat,
        dtype=args.dtype,
        device=None if engine == "vllm" else args.device,
        engine=engine,
        gen_kwargs={"max_gen_toks": args.tokens},
        model_args=more,
    )


def _requests(args: argparse.Namespace, prepared: Prepared) -> list[Request]:
    sets = [HeadSet(), *map(HeadSet.parse, prepared.manifest.pool)]
    chosen = sets[: args.sets] if args.sets else sets
    return [prepared.request(i, heads) for i in range(len(prepared.questions)) for heads in chosen]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--task", default="rg_math_pass_at_n_fewshot")
    parser.add_argument("--chat", action="store_true", help="prompts through the chat template")
    parser.add_argument("--engines", default="sprint,plain,vllm")
    parser.add_argument("--questions", type=int, default=6)
    parser.add_argument("--layers", default="15")
    parser.add_argument("--sets", type=int, help="head sets a question, the base first; all where not given")
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--rows", type=int, default=32, help="sequences that vLLM runs at once")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=RESULTS / "serving.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
