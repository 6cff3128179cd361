"""A sweep with sampled answers in its pool, and the router that chooses among them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sprint_eval.commands.sweep import add_arguments, config_of
from sprint_eval.draws import Draw
from sprint_eval.errors import ArgumentError, MismatchError
from sprint_eval.heads import HeadLayout
from sprint_eval.outcomes import Outcomes
from sprint_eval.outcomes.export import export_rows
from sprint_eval.outcomes.manifest import Manifest
from sprint_eval.sweep import SweepConfig, run_sweep

TASK = "rg_math_pass_at_n_fewshot"
DRAWN = ["L0H0", "L2H3", "base~T1.5K0P1D1", "base~T1.5K0P1D2"]


@pytest.fixture(scope="module")
def config(tiny_checkpoint, tmp_path_factory) -> SweepConfig:
    return SweepConfig(
        model=tiny_checkpoint,
        task=TASK,
        out=str(tmp_path_factory.mktemp("draws") / "z"),
        pool="L0H0/L2H3",
        draws=2,
        temperature=1.5,
        top_k=0,
        top_p=1.0,
        limit=3,
        dtype="float32",
        engine="plain",
    )


@pytest.fixture(scope="module")
def swept(config) -> Outcomes:
    return run_sweep(config, show=lambda text: None).outcomes


def test_draws_are_columns_that_a_store_names(config, swept):
    assert swept.pool.names() == DRAWN
    assert json.loads((Path(config.out) / "manifest.json").read_text())["schema_version"] == 1
    assert Outcomes.load(config.out).pool == swept.pool
    for i in range(3):
        assert len({swept.cell(i, j).text for j in (-1, 2, 3)}) == 3, "the draws differ from greedy"
    assert {row["heads"] for row in export_rows(swept)} == {"base", *DRAWN}


def test_the_same_as_lm_eval_finds(config, swept):
    """Where a draw stands among the candidates does not matter: its number does."""
    import lm_eval

    pool = [DRAWN[3], "base", DRAWN[2]]
    args = {"pretrained": config.model, "dtype": "float32", "device": "cpu", "engine": "plain"}
    results = lm_eval.simple_evaluate(
        model="pruned-head",
        model_args=args | {"pool": "/".join(pool), "score": "base_logprob"},
        tasks=[TASK],
        limit=3,
        log_samples=True,
        metadata={"n": 3, "split": "train"},
        bootstrap_iters=0,
    )
    for i, sample in enumerate(sorted(results["samples"][TASK], key=lambda sample: sample["doc_id"])):
        found = [swept.cell(i, j) for j in (3, -1, 2)]
        assert sample["resps"][0] == [cell.text for cell in found]
        assert [record["heads"] for record in sample["candidates"]] == pool
        assert [record["tokens"] for record in sample["candidates"]] == [cell.tokens for cell in found]
        scores = [record["score"] for record in sample["candidates"]]
        assert scores[1] > max(scores[0], scores[2]), "greedy is what the base finds likely"
    assert "best@3,none" in results["results"][TASK]


def test_other_draws_are_another_store(config, swept):
    with pytest.raises(MismatchError, match="pool is '4 head sets"):
        Manifest.load(Path(config.out)).check_same(
            replace(swept.manifest, pool=(*DRAWN[:2], "base~T0.6K40P0.95D1")), config.out
        )


def test_options(tmp_path):
    import argparse

    parser = argparse.ArgumentParser()
    add_arguments(parser)

    def read(*more: str) -> SweepConfig:
        return config_of(parser.parse_args(["--model", "m", "--task", "t", "--out", "o", *more]))

    four = read("--draws", "4")
    assert (four.draws, four.temperature, four.top_k, four.top_p) == (4, 0.6, 40, 0.95)
    assert read("--draws", "4", "--top-k", "0", "--top-p", "1") == replace(four, top_k=0, top_p=1.0)
    for option, value in (("--temperature", "0.8"), ("--top-k", "0"), ("--top-p", "1")):
        with pytest.raises(ArgumentError, match=f"{option} is of sampled answers"):
            read(option, value)
    config = SweepConfig("m", "t", "o", layers="0", draws=1)
    pool = config.head_pool(HeadLayout.uniform(2, 2))
    assert pool.names() == ["L0H0", "L0H1", "base~T0.6K40P0.95D1"]
    assert (
        SweepConfig("m", "t", "o", layers="0").head_pool(HeadLayout.uniform(2, 2)).names() == pool.names()[:2]
    )
    with pytest.raises(ArgumentError, match="--draws -1"):
        SweepConfig("m", "t", "o", draws=-1)
    assert isinstance(pool[2], Draw)
    assert [len(entry) for entry in pool] == [1, 1, 0]
