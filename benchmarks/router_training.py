"""How long a router takes to train and to route, and how much memory.

    python benchmarks/router_training.py [--sizes 1500x60 12000x448] [--patience 0] [--out FILE]

Outcomes and embeddings are simulated: topics with heads of their own, so that there is something to
learn and training does not stop at once. Every selection rule is trained, as ``sprint-eval
train-router`` does; embedding the questions is measured apart, with the default embedder.

Each size runs in a process of its own, so that peak memory is its own, on one thread: processor
seconds are then what the work takes, whatever else the machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before anything that reads it is imported
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
from engine import RESULTS, describe_machine

from sprint_eval.files import write_json
from sprint_eval.heads import Head, HeadPool, HeadSet
from sprint_eval.outcomes import Outcomes
from sprint_eval.routing import RouterConfig, SentenceEmbedder
from sprint_eval.routing.trainer import train_router

WIDTH, TOPICS = 384, 12


class SimulatedEmbedder:
    """Unit vectors of the default embedder's width around a direction for each topic."""

    name, dtype = "simulated", "float32"

    def __init__(self, seed: int = 0) -> None:
        self._topics = np.random.default_rng(seed).normal(size=(TOPICS, WIDTH))

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        vectors = np.empty((len(texts), WIDTH), np.float32)
        for i, text in enumerate(texts):
            number = int(text.split()[-1]) if text.split()[-1].isdigit() else 0
            vectors[i] = self._topics[number % TOPICS] + np.random.default_rng(number).normal(size=WIDTH)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def simulated_outcomes(questions: int, heads: int, seed: int = 0, per_layer: int = 16) -> Outcomes:
    """Each head solves 30 % of everything, and 60 % of one topic; the base 35 %."""
    generator = np.random.default_rng(seed)
    chance = np.full((questions, heads), 0.3)
    own = np.arange(questions)[:, None] % TOPICS == np.arange(heads)[None] % TOPICS
    chance[own] = 0.6
    z = (generator.random((questions, heads)) < chance).astype(np.int8)
    pool = HeadPool(tuple(HeadSet.of(Head(*divmod(j, per_layer))) for j in range(heads)))
    base = (generator.random(questions) < 0.35).astype(np.int8)
    return Outcomes.from_arrays(z, [f"question {i}" for i in range(questions)], pool, base=base)


def peak_mib() -> float:
    """Peak resident memory of the process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(size: str, patience: int) -> dict[str, float | int | str]:
    """Training every rule on ``size``, questions x heads, and ranking with each."""
    import torch

    questions, heads = (int(number) for number in size.split("x"))
    outcomes = simulated_outcomes(questions, heads)
    config = replace(RouterConfig(), patience=patience)
    embedder = SimulatedEmbedder()
    before = peak_mib()
    started, started_cpu = time.perf_counter(), time.process_time()
    router = train_router(outcomes, config, embedder)
    seconds, cpu = time.perf_counter() - started, time.process_time() - started_cpu
    result: dict[str, float | int | str] = {
        "questions": questions,
        "heads": heads,
        "threads": torch.get_num_threads(),
        "steps": router.card.metrics["epochs_run"],
        "train_seconds": round(seconds, 2),
        "train_cpu_seconds": round(cpu, 2),
        "of_which_eq_1_seconds": router.card.metrics["fit_seconds"],
        "peak_mib_before": round(before),
        "peak_mib": round(peak_mib()),
    }
    new = [f"question {i}" for i in range(questions, questions + 64)]
    for selection in router.rules:
        router.rank(new[:1], 1, selection)
        started = time.perf_counter()
        router.rank(new, min(8, heads), selection)
        result[f"rank_ms_{selection}"] = round((time.perf_counter() - started) / len(new) * 1000, 3)
    return result


def measure_embedder(dtype: str) -> dict[str, float]:
    """Processor milliseconds a question of some 35 tokens with the default embedder, nothing stored."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        embedder = SentenceEmbedder(cache=Path(folder), dtype=dtype)
        for size in (1, 8, 64):
            embedder.encode(
                [f"A first batch of {size} pays what is paid once, number {i}." for i in range(size)]
            )
            texts = [
                f"Tom has {size} shelves with {i} boxes of 12 pencils and gives {i + 5} pencils away. "
                "How many pencils are left?"
                for i in range(64)
            ]
            started = time.process_time()
            for at in range(0, len(texts), size):
                embedder.encode(texts[at : at + size])
            found[f"embed_ms_{dtype}_of_{size}"] = round((time.process_time() - started) / 64 * 1000, 2)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", default=["1500x60", "12000x448"], help="questions x heads")
    parser.add_argument("--patience", type=int, default=0, help="0, the default here, runs all 200 steps")
    parser.add_argument("--no-embedder", action="store_true", help="leave out the default embedder")
    parser.add_argument("--out", type=Path, default=RESULTS / "router_training.json")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.alone:
        print(json.dumps(measure(args.sizes[0], args.patience)))
        return 0
    report: dict[str, Any] = {"machine": describe_machine("cpu"), "training": []}
    for size in args.sizes:
        command = [sys.executable, __file__, "--alone", "--sizes", size, "--patience", str(args.patience)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        report["training"].append(json.loads(output.splitlines()[-1]))
        print(report["training"][-1], flush=True)
    if not args.no_embedder:
        report["embedder"] = measure_embedder("float32") | measure_embedder("bfloat16")
        print(report["embedder"], flush=True)
    write_json(args.out, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
