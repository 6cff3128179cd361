"""Answers chosen without the oracle: wmaj@k and best@k beside maj@k, where a method has them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import FakeRun, outcomes, write_run

from sprint_eval.leaderboards.board import make_board
from sprint_eval.leaderboards.build import build
from sprint_eval.leaderboards.columns import columns_of
from sprint_eval.leaderboards.markdown import terminal

ROUTER = FakeRun("sprint-router", "pretrained=org/tiny-model,router=r", n=3, seed=5, questions=30)
WEIGHTS = (0.9, 0.2, 0.3)
SCORES = (-3.0, -1.0, -2.0)


def change(folder: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Rewrite each row of the folder's samples."""
    [path] = folder.rglob("samples_*.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        edit(row)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def told(row: dict[str, Any]) -> None:
    for candidate, weight, score in zip(row["candidates"], WEIGHTS, SCORES, strict=True):
        candidate |= {"weight": weight, "score": score}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A router's run with weights and scores, and a plain one."""
    write_run(tmp_path / "router", ROUTER)
    change(tmp_path / "router", told)
    write_run(tmp_path / "plain", FakeRun(n=3, seed=6, questions=30))
    return tmp_path


def test_they_are_made_from_what_candidates_say(folder: Path) -> None:
    [standing] = make_board([folder]).standings
    names = [row.name for row in standing.rows]
    router, plain = names.index("sprint-router"), 1 - names.index("sprint-router")
    correct = outcomes(ROUTER)
    # One vote of 0.9 outweighs 0.2 + 0.3, whoever agrees; -1 is the highest score, given second.
    assert standing.families["wmaj"].mean[router, 2] == pytest.approx(correct[:, 0].mean())
    best = [correct[:, 0].mean(), correct[:, 1].mean(), correct[:, 1].mean()]
    assert standing.families["best"].mean[router] == pytest.approx(best)
    assert np.isnan(standing.families["wmaj"].mean[plain]).all()
    assert np.isnan(standing.families["best"].mean[plain]).all()
    assert not np.isnan(standing.families["maj"].mean).any()


def test_the_plain_vote_counts_no_weights(folder: Path) -> None:
    [standing] = make_board([folder / "router"]).standings
    correct = outcomes(ROUTER)
    won = [sum(row) >= 2 or (sum(row) == 1 and row[0]) for row in correct.tolist()]
    assert standing.families["maj"].mean[0, 2] == pytest.approx(np.mean(won))


def test_tables_and_site_show_them(folder: Path) -> None:
    board = make_board([folder])
    titles = [column.title for column in columns_of(board.standings[0])]
    assert [title for title in titles if title[0] in "mwb"] == ["maj@3", "wmaj@3", "best@3"]
    assert "wmaj@3" in terminal(board)
    build([folder], folder / "site", plots=False, instances=True)
    assert "wmaj@{}" in (folder / "site" / "index.html").read_text()


def test_a_table_where_no_method_has_them_is_as_it_was(folder: Path) -> None:
    [standing] = make_board([folder / "plain"]).standings
    assert list(standing.families) == ["pass", "unbiased", "maj"]


def test_a_fact_that_some_candidate_lacks_makes_no_score(folder: Path) -> None:
    def forget(row: dict[str, Any]) -> None:
        if row["doc_id"] == 7:
            row["candidates"][1]["weight"] = None

    change(folder / "router", forget)
    [standing] = make_board([folder]).standings
    assert "wmaj" not in standing.families
    assert "best" in standing.families


def test_what_the_task_states_counts(folder: Path) -> None:
    def state(row: dict[str, Any]) -> None:
        row |= {f"best@{k}": 1.0 for k in (1, 2, 3)}

    change(folder / "router", state)
    [standing] = make_board([folder / "router"]).standings
    assert standing.families["best"].mean[0].tolist() == [1, 1, 1]


def test_without_samples_the_stated_figures_are_shown(folder: Path) -> None:
    [results] = (folder / "router").rglob("results_*.json")
    values = json.loads(results.read_text())
    [task] = values["results"].values()
    task |= {f"{name}@{k},none": 0.5 for name in ("wmaj", "best") for k in (1, 2, 3)}
    results.write_text(json.dumps(values))
    [samples] = (folder / "router").rglob("samples_*.jsonl")
    samples.unlink()
    [standing] = make_board([folder / "router"]).standings
    assert standing.families["wmaj"].mean[0].tolist() == [0.5, 0.5, 0.5]
    assert standing.families["best"].mean[0, 2] == 0.5
