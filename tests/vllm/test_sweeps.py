"""A sweep on the real vLLM fills the built-in engine's matrix, whatever happens to the server meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sprint_eval.errors import ArgumentError, SprintError
from sprint_eval.outcomes import Outcomes
from sprint_eval.processes import Process
from sprint_eval.sweep import run_sweep
from sprint_eval.sweep.model import load_model

pytestmark = pytest.mark.timeout(600)  # an engine starts in a minute, and twice as long on a busy machine

CELLS = 4 * 6  # four questions, five head sets and the base
# Keeps vLLM's start short.
ENGINE = {"max_model_len": 512, "max_num_seqs": 16, "enforce_eager": True}


def _same(found: Outcomes, wanted: Outcomes) -> None:
    np.testing.assert_array_equal(found.z, wanted.z)
    np.testing.assert_array_equal(found.base, wanted.base)
    texts: set[tuple[int, str]] = set()
    for i in range(len(wanted.questions)):
        for j in range(len(wanted.pool)):
            assert found.cell(i, j) == wanted.cell(i, j)
            texts.add((i, found.cell(i, j).text))
    assert len(texts) > len(wanted.questions), "heads must change answers"
    found.manifest.check_same(wanted.manifest, "the store")  # either engine can go on for the other


def _written(folder: str) -> int:
    """Cells that a sweep under way has written."""
    try:
        return int((Outcomes.load(folder, use_cache=False).z >= 0).sum())
    except (SprintError, OSError):  # it has not begun, or is writing now
        return 0


def _once_it_writes(folder: str, act: Callable[[], None]) -> threading.Thread:
    """Act as soon as the sweep has written its first cells, so in the middle of it."""

    def watch() -> None:
        while not _written(folder):
            time.sleep(0.05)
        act()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def test_in_this_process_and_resumed(
    sweep_config: Callable[..., Any], adapters: Path, swept_here: Outcomes
) -> None:
    config = sweep_config("vllm", adapters=str(adapters), **ENGINE)
    model = load_model(config)
    assert run_sweep(config, process=Process(0, 2), model=model).written == CELLS // 2
    result = run_sweep(config, model=model)
    assert (result.written, result.missing) == (CELLS // 2, 0)
    _same(result.outcomes, swept_here)


def test_on_a_server(
    server: str, sweep_config: Callable[..., Any], adapters: Path, swept_here: Outcomes
) -> None:
    _same(run_sweep(sweep_config("openai", base_url=server, adapters=str(adapters))).outcomes, swept_here)


def test_500s_and_slow_answers_on_the_way_to_a_server_change_nothing(
    proxy: Any, sweep_config: Callable[..., Any], adapters: Path, swept_here: Outcomes
) -> None:
    slow = {7, 16}
    proxy.fault = lambda n: 20.0 if n in slow else 500 if n % 4 == 1 else None
    config = sweep_config("openai", base_url=proxy.url, adapters=str(adapters), timeout=15)
    result = run_sweep(config)
    assert proxy.happened["500"] > CELLS // 4
    assert proxy.happened["held"] == len(slow)
    assert (result.written, result.missing) == (CELLS, 0)
    _same(result.outcomes, swept_here)


def test_a_server_that_answers_500_for_good_stops_the_sweep_which_resumes(
    proxy: Any, sweep_config: Callable[..., Any], adapters: Path, swept_here: Outcomes
) -> None:
    config = sweep_config("openai", base_url=proxy.url, adapters=str(adapters), retries=2)
    proxy.fault = lambda n: 500 if _written(config.out) else None
    with pytest.raises(SprintError, match=r"/completions failed 3 times, last with: HTTP 500") as error:
        run_sweep(config)
    assert "\n" not in str(error.value)
    before = _written(config.out)
    assert 0 < before < CELLS
    proxy.fault = lambda n: None
    result = run_sweep(config)
    assert result.written < CELLS, "it went on where it stopped"
    assert result.missing == 0
    _same(result.outcomes, swept_here)


def test_an_adapter_that_the_server_loses_stops_the_sweep_which_resumes(
    real_server: Any, sweep_config: Callable[..., Any], adapters: Path, swept_here: Outcomes
) -> None:
    config = sweep_config("openai", base_url=real_server.url, adapters=str(adapters))

    def lose() -> None:
        real_server.ask("/unload_lora_adapter", lora_name="L10H8")

    watcher = _once_it_writes(config.out, lose)
    with pytest.raises(SprintError, match="L10H8") as error:
        run_sweep(config)
    watcher.join()
    assert "\n" not in str(error.value)
    assert 0 < _written(config.out) < CELLS
    with pytest.raises(ArgumentError, match="serves no adapter named L10H8"):
        run_sweep(config)
    real_server.ask("/load_lora_adapter", lora_name="L10H8", lora_path=str(adapters / "L10H8"))
    assert run_sweep(config).missing == 0
    _same(Outcomes.load(config.out), swept_here)


def test_a_server_killed_in_mid_sweep_is_waited_for(
    real_server: Any, sweep_config: Callable[..., Any], adapters: Path, swept_here: Outcomes
) -> None:
    config = sweep_config("openai", base_url=real_server.url, adapters=str(adapters), patience=400)
    killed_at: list[int] = []

    def restart() -> None:
        real_server.kill()
        killed_at.append(_written(config.out))
        real_server.start()

    watcher = _once_it_writes(config.out, restart)
    result = run_sweep(config)
    watcher.join()
    assert 0 < killed_at[0] < CELLS, "it was killed in the middle"
    assert (result.written, result.missing) == (CELLS, 0)
    _same(result.outcomes, swept_here)
