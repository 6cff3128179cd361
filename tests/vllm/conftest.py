"""The real vLLM, offline and served on loopback: run by ``make test-vllm`` in its own environment.

Where vLLM is not installed there is nothing to collect here.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# The proxy is a plain module beside the tests.
sys.path.insert(0, str(Path(__file__).parent))
from faults import FaultyProxy

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


class RealServer:
    """``vllm serve`` on loopback with every adapter of a folder; killed and started again on demand."""

    def __init__(self, model: str, adapters: Path, log: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._log = log
        modules = [f"{path.parent.name}={path.parent}" for path in sorted(adapters.glob("*/*config.json"))]
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model]
        command += ["--host", "127.0.0.1", "--port", str(self._port), "--dtype", "float32", "--enable-lora"]
        command += ["--max-lora-rank", "128", "--max-loras", "4", "--max-cpu-loras", "8"]
        command += ["--lora-target-modules", "o_proj", "--max-model-len", "512", "--max-num-seqs", "16"]
        self._command = [*command, "--enforce-eager", "--lora-modules", *modules]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address of its API."""
        return f"http://127.0.0.1:{self._port}/v1"

    def start(self) -> None:
        """Start it and wait until it answers."""
        # Its engine is a child of its own, which has to die with it: hence the group.
        environment = {**os.environ, "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1"}
        with self._log.open("a") as out:
            self._process = subprocess.Popen(
                self._command, stdout=out, stderr=subprocess.STDOUT, env=environment, start_new_session=True
            )
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/health", timeout=5):
                    return
            except OSError:
                time.sleep(0.5)
        pytest.fail(f"the server did not start:\n{self._log.read_text()[-4000:]}")

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End it and its engine, by default without warning."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            self._process.wait(60)
            self._process = None

    def ask(self, path: str, **body: str) -> None:
        """POST to its API."""
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            answer.read()


@pytest.fixture(scope="session")
def real_server(
    adapters: Path, smollm2: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealServer]:
    """One server for all tests, running."""
    made = RealServer(smollm2, adapters, tmp_path_factory.mktemp("server") / "log.txt")
    try:
        made.start()
        yield made
    finally:
        made.kill(signal.SIGTERM)


@pytest.fixture
def server(real_server: RealServer) -> str:
    """The address of its API."""
    return real_server.url


@pytest.fixture
def proxy(server: str) -> Iterator[FaultyProxy]:
    """A proxy before it that spoils answers on demand."""
    made = FaultyProxy(server)
    yield made
    made.close()


@pytest.fixture(scope="session")
def sweep_config(smollm2: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """``sweep_config("sprint")``: a small sweep of the pool on an engine, with the engine's arguments."""
    from sprint_eval.sweep import SweepConfig

    def config(engine: str, **model_args: Any) -> SweepConfig:
        return SweepConfig(
            model=smollm2,
            task="rg_math_pass_at_n_fewshot",
            out=str(tmp_path_factory.mktemp(engine) / "z"),
            pool="/".join(POOL),
            limit=4,
            num_fewshot=1,  # prompts, not answers, are what takes the time here
            dtype="float32",
            engine=engine,
            gen_kwargs={"max_gen_toks": 12},
            model_args=model_args,
            cells_at_once=6,  # one question
        )

    return config


@pytest.fixture(scope="session")
def swept_here(sweep_config: Callable[..., Any]) -> Any:
    """The same sweep on the built-in engine."""
    from sprint_eval.sweep import run_sweep

    return run_sweep(sweep_config("sprint")).outcomes
