"""A sweep on a served engine fills the same store as the built-in one, whatever the server does."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sprint_eval.errors import ArgumentError, GenerationError
from sprint_eval.export import export_heads
from sprint_eval.heads import HeadPool, HeadSet
from sprint_eval.outcomes import Outcomes
from sprint_eval.sweep import SweepConfig, run_sweep

POOL = ("L0H0", "L1H2", "L0H1+L2H3")


@pytest.fixture(scope="module")
def adapters(tiny_pair: tuple[Any, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("adapters")
    pool = HeadPool(tuple(HeadSet.parse(text) for text in POOL))
    export_heads(tiny_pair[0], pool, out, model_name="tiny", say=lambda line: None)
    return out


@pytest.fixture
def config(server: Any, adapters: Path, tiny_checkpoint: str, tmp_path: Path) -> SweepConfig:
    return SweepConfig(
        model=tiny_checkpoint,
        task="rg_math_pass_at_n_fewshot",
        out=str(tmp_path / "served"),
        pool="/".join(POOL),
        limit=6,
        dtype="float32",
        engine="openai",
        gen_kwargs={"max_gen_toks": 8},
        model_args={"base_url": server.url, "adapters": str(adapters), "retries": 2, "patience": 20},
        cells_at_once=8,
    )


@pytest.fixture(scope="module")
def built_in(tiny_checkpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    config = SweepConfig(
        model=tiny_checkpoint,
        task="rg_math_pass_at_n_fewshot",
        out=str(tmp_path_factory.mktemp("built-in") / "z"),
        pool="/".join(POOL),
        limit=6,
        dtype="float32",
        engine="plain",
        gen_kwargs={"max_gen_toks": 8},
    )
    return run_sweep(config, show=lambda line: None).outcomes


def _same(first: Outcomes, second: Outcomes) -> None:
    np.testing.assert_array_equal(first.z, second.z)
    np.testing.assert_array_equal(first.base, second.base)
    texts = set()
    for i in range(len(first.questions)):
        for j in range(len(POOL)):
            assert first.cell(i, j) == second.cell(i, j)
            texts.add(first.cell(i, j).text)
    assert len(texts) > 6


def _quietly(config: SweepConfig) -> Any:
    return run_sweep(config, show=lambda line: None)


def test_the_same_store(config: SweepConfig, built_in: Outcomes) -> None:
    result = _quietly(config)
    assert (result.written, result.missing) == (24, 0)
    _same(result.outcomes, built_in)
    # Either engine can go on with what the other began.
    result.outcomes.manifest.check_same(built_in.manifest, config.out)
    assert "end_tokens" in built_in.manifest.generation, "a served engine ends answers by its own, too"
    assert "end_tokens" not in result.outcomes.manifest.generation
    assert result.outcomes.manifest.facts["model_fingerprint_declared"] is True
    assert _quietly(replace(config, engine="plain", model_args={})).written == 0


def test_killed_and_restarted_in_mid_sweep(server: Any, config: SweepConfig, built_in: Outcomes) -> None:
    def fault(number: int) -> str | None:
        if number == 11:
            threading.Thread(target=restart).start()
        return "garbage" if number % 7 == 3 else None

    def restart() -> None:
        server.kill()
        time.sleep(0.4)
        server.start()

    server.fault = fault
    assert _quietly(config).missing == 0
    _same(Outcomes.load(config.out), built_in)


def test_a_server_that_dies_stops_the_sweep_and_the_sweep_resumes(
    server: Any, config: SweepConfig, built_in: Outcomes
) -> None:
    server.fault = lambda n: 500 if n >= 14 else None
    with pytest.raises(GenerationError, match="run the same command again") as error:
        _quietly(config)
    assert "\n" not in str(error.value)
    kept = int((Outcomes.load(config.out).z >= 0).sum())
    assert 0 < kept < 18
    server.fault = lambda n: None
    result = _quietly(config)
    assert result.written < 24
    assert result.missing == 0
    _same(result.outcomes, built_in)


def test_slow_answers_are_waited_for_or_end_the_sweep_and_it_resumes(
    server: Any, config: SweepConfig, built_in: Outcomes
) -> None:
    def hurried(**arguments: Any) -> SweepConfig:
        more = {"timeout": 3.0, "concurrency": 2, **arguments}
        return replace(config, model_args={**config.model_args, **more})

    server.fault = lambda n: 4.0 if n >= 14 else None  # four probes, a first batch of eight
    with pytest.raises(GenerationError, match=r"no answer within 3 s; .* run the same command again"):
        _quietly(hurried(retries=0))
    assert 0 < int((Outcomes.load(config.out).z >= 0).sum()) < 18
    slow = len(server.bodies) + 5
    server.fault = lambda n: 4.0 if n == slow else None
    assert _quietly(hurried(retries=5)).missing == 0
    assert len(server.bodies) > slow, "a slow answer was met"
    _same(Outcomes.load(config.out), built_in)


def test_an_adapter_lost_in_mid_sweep_is_named_and_z_stays_right(
    server: Any, config: SweepConfig, built_in: Outcomes
) -> None:
    def fault(number: int) -> None:
        if number == 12:
            server.adapters.remove("L1H2")

    server.fault = fault
    with pytest.raises((ArgumentError, GenerationError), match="L1H2"):
        _quietly(config)
    server.adapters.append("L1H2")
    server.fault = lambda n: None
    assert _quietly(config).missing == 0
    _same(Outcomes.load(config.out), built_in)


def test_a_pool_without_its_adapters_is_refused_before_anything_is_asked(
    server: Any, config: SweepConfig
) -> None:
    with pytest.raises(ArgumentError, match="has no adapter for L0H2"):
        _quietly(replace(config, pool="L0H0/L0H2"))
    assert server.bodies == []
