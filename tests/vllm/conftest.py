"""The real vLLM, offline and served on loopback: run by ``make test-vllm`` in its own environment.

Where vLLM is not installed there is nothing to collect here.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

collect_ignore_glob = [] if importlib.util.find_spec("vllm") else ["test_*.py"]

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB
os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")

POOL = ("L15H0", "L5H3", "L10H8", "L15H0+L15H3", "L3H1+L15H2+L15H4")
_START_SECONDS = 400


@pytest.fixture(scope="session")
def loaded(smollm2: str) -> tuple[Any, Any]:
    """SmolLM2-135M-Instruct in float32 and its tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(smollm2, dtype="float32").eval()
    return model, AutoTokenizer.from_pretrained(smollm2)


@pytest.fixture(scope="session")
def pool() -> tuple[str, ...]:
    """The head sets that are exported and served."""
    return POOL


@pytest.fixture(scope="session")
def adapters(loaded: tuple[Any, Any], smollm2: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from sprint_eval.export import export_heads
    from sprint_eval.heads import HeadPool, HeadSet

    sets = HeadPool(tuple(HeadSet.parse(text) for text in POOL))
    out = tmp_path_factory.mktemp("adapters")
    export_heads(loaded[0], sets, out, model_name=smollm2)
    return out


@pytest.fixture(scope="session")
def router(loaded: tuple[Any, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A router over the pool, trained on made-up outcomes of other questions than the task's."""
    import numpy as np

    from sprint_eval.fingerprint import model_fingerprint
    from sprint_eval.heads import HeadPool, HeadSet
    from sprint_eval.outcomes import Outcomes
    from sprint_eval.routing import RouterConfig, train_router

    sets = HeadPool(tuple(HeadSet.parse(text) for text in POOL))
    subjects = ("apples", "trains", "coins", "tiles")
    questions = [f"How many {subjects[i % 4]} are left of {i + 30}?" for i in range(40)]
    # Every head set is the only one to solve some questions, so that the router drops none.
    z = np.eye(len(POOL), dtype="int8")[np.arange(40) % len(POOL)]
    outcomes = Outcomes.from_arrays(
        z, questions, sets, base=[0] * 40, model_fingerprint=model_fingerprint(loaded[0])
    )
    out = tmp_path_factory.mktemp("router")
    train_router(outcomes, RouterConfig(epochs=5)).save(out)
    return out


@pytest.fixture(scope="session")
def server(adapters: Path, smollm2: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``vllm serve`` on loopback with every adapter; the address of its API."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    modules = [f"{path.parent.name}={path.parent}" for path in sorted(adapters.glob("*/adapter_config.json"))]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", smollm2]
    command += ["--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--enable-lora"]
    command += ["--max-lora-rank", "128", "--max-loras", "4", "--max-cpu-loras", "8"]
    command += ["--lora-target-modules", "o_proj", "--max-model-len", "512", "--max-num-seqs", "16"]
    command += ["--enforce-eager", "--lora-modules", *modules]
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        try:
            _wait(f"http://127.0.0.1:{port}/health", process, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            process.wait(60)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"the server did not start:\n{log.read_text()[-4000:]}")
