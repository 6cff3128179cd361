"""Runs sweeps of a tiny model in processes that die: a child of test_kills.py, not a test itself.

One process loads torch and the model; each sweep runs in forks of it, which are killed by SIGKILL
after a random time. It writes ``report.json`` with what every process had decoded.

    python kill_worker.py FOLDER KILLS
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from sprint_eval.engine.plain import PlainEngine
from sprint_eval.engine.request import Generation, Request
from sprint_eval.grading import Verdict
from sprint_eval.heads import HeadLayout, HeadPool, HeadSet
from sprint_eval.outcomes import Manifest, OutcomeStore, Process, StoredQuestion
from sprint_eval.sweep.fill import Sweeper

QUESTIONS = 400
POOL = HeadPool.parse("*:*", HeadLayout.uniform(2, 2))


class Tokenizer:
    """60 printable characters, one a token."""

    pad_token_id = 0
    eos_token_id = 2

    def decode(self, tokens: Sequence[int], skip_special_tokens: bool = False) -> str:
        return "".join(chr(48 + token) for token in tokens if not (skip_special_tokens and token < 3))

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        return [ord(char) - 48 for char in text]


class Silent:
    def decoded(self, cells: int) -> None: ...


def build_engine() -> PlainEngine:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=60,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
        eos_token_id=2,
        pad_token_id=0,
    )
    model: Any = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, 0.4)
    return PlainEngine(model, Tokenizer())


def prompt(i: int) -> tuple[int, ...]:
    return tuple(3 + (i * 31 + k * k * 17) % 57 for k in range(6))


def grade(pairs: Sequence[tuple[Any, str]]) -> list[Verdict]:
    return [Verdict(sum(map(ord, text)) % 3 == 0, text[-1:] or None, "exact", "ok") for _, text in pairs]


def sweep(folder: Path, engine: PlainEngine, process: Process, log: Callable[[list[int]], None]) -> None:
    """Do a process's part; ``log`` is told of the questions before they are decoded."""
    rows = [StoredQuestion(f"d{i}", f"q{i}", "s", f"k{i}", f"p{i}", {}) for i in range(QUESTIONS)]
    manifest = Manifest("tiny", "f", "float32", "t", "1", "train", {}, tuple(POOL.names()), "1")

    def decode(requests: Sequence[Request], progress: Callable[[int], None]) -> list[Generation]:
        log(sorted({int(str(request.group)) for request in requests}))
        return engine.generate(requests)

    def request(i: int, heads: HeadSet) -> Request:
        return Request(prompt(i), heads, max_new_tokens=6, group=i)

    store = OutcomeStore(folder, manifest, rows)
    Sweeper(store, request, decode, grade).fill(process, Silent(), cells_at_once=len(POOL) + 1)


def fork_sweep(folder: Path, engine: PlainEngine, process: Process, log_file: Path) -> int:
    """Start a process's part in a child; its id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        with log_file.open("a") as handle:

            def log(questions: list[int]) -> None:
                handle.write(json.dumps(questions) + "\n")
                handle.flush()

            sweep(folder, engine, process, log)
        code = 0
    except BaseException as error:
        (log_file.parent / f"{log_file.stem}.error").write_text(repr(error))
    finally:
        os._exit(code)


def main(root: Path, kills: int) -> None:
    engine, chance = build_engine(), random.Random(20240607)
    started = time.monotonic()
    sweep(root / "unbroken", engine, Process(), lambda questions: None)
    whole = time.monotonic() - started
    runs, killed = [], 0
    # The work left shrinks with every round; half of the whole is spread over all the kills.
    while killed < kills:
        count = chance.choice([1, 2, 3])
        logs = [root / f"run{len(runs)}-{k}.log" for k in range(count)]
        parts = [Process(k, count) for k in range(count)]
        children = [fork_sweep(root / "broken", engine, *pair) for pair in zip(parts, logs, strict=True)]
        time.sleep(chance.uniform(0.0, 2 * whole / kills))
        for child in children:
            os.kill(child, signal.SIGKILL)
        ends = [os.waitpid(child, 0)[1] for child in children]
        killed += sum(os.WIFSIGNALED(end) for end in ends)
        runs.append([str(log) for log in logs])
    last = root / "last.log"
    finished = os.waitpid(fork_sweep(root / "broken", engine, Process(), last), 0)[1]
    report = {"killed": killed, "runs": runs, "last": str(last), "finished": finished, "seconds": whole}
    (root / "report.json").write_text(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
