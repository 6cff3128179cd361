"""Costs are what a run says, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic import FakeRun, board_of, write_run

from sprint_eval.leaderboards.board import make_board
from sprint_eval.leaderboards.cost import costs_of, pareto

BASE = FakeRun(questions=12)
OTHER = FakeRun("vllm", questions=12, seed=3)


def test_several_tasks_share_a_clock_so_no_task_has_its_time(tmp_path: Path) -> None:
    path = write_run(tmp_path, BASE)
    record = json.loads(path.read_text(encoding="utf-8"))
    record["results"]["other"], record["configs"]["other"] = {"acc,none": 0.5}, {"repeats": 1}
    path.write_text(json.dumps(record), encoding="utf-8")
    board = make_board([tmp_path])
    for standing in board.standings:
        assert costs_of(standing.rows[0])["total_seconds"] is None


def test_a_clock_of_one_task_is_its_own(tmp_path: Path) -> None:
    counters = {"decode_seconds": 3.5, "generated_tokens": 70, "forwards": 9, "peak_memory_bytes": 100}
    standing = board_of(
        tmp_path, replace(BASE, info={"counters": counters, "model_num_parameters": 5})
    ).standings[0]
    costs = costs_of(standing.rows[0])
    assert costs["decode_seconds"] == 3.5
    assert costs["generated_tokens"] == 70
    assert costs["total_seconds"] == pytest.approx(64.0)
    assert costs["parameters"] == 5


def test_tokens_are_summed_from_candidates_only_where_all_say_them(tmp_path: Path) -> None:
    said, silent = board_of(tmp_path, BASE, replace(OTHER, facts=False)).standings[0].rows
    if said.name != "hf greedy":
        said, silent = silent, said
    assert costs_of(said)["generated_tokens"] == 12 * sum(range(24, 28))
    assert costs_of(silent)["generated_tokens"] is None


def naive_front(points: list[tuple[float, float]]) -> list[bool]:
    return [not any((x2 < x and y2 >= y) or (x2 <= x and y2 > y) for x2, y2 in points) for x, y in points]


def test_pareto_front() -> None:
    rng = np.random.default_rng(1)
    points = [(float(x), float(y)) for x, y in rng.integers(0, 6, size=(20, 2))]
    assert pareto(points) == naive_front(points)
    assert pareto([*points, (None, 9.0), (0.0, None)])[-2:] == [False, False]
    assert pareto([(1.0, 5.0), (1.0, 4.0)], lower_is_better=True) == [False, True]
