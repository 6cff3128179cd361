"""Samples are streamed; runs of tasks that know nothing of candidates are read for what they say."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest
from synthetic import FakeRun, foreign, write_run

from sprint_eval.leaderboards.board import make_board
from sprint_eval.leaderboards.reader import read_runs
from sprint_eval.leaderboards.words import verdict


def test_foreign_tasks_are_compared_on_their_own_metric(tmp_path: Path) -> None:
    foreign(tmp_path / "a", "one", [1, 0, 1, 1, 0, 1, 1, 1])
    foreign(tmp_path / "b", "two", [1, 0, 0, 0, 0, 0, 0, 1])
    board = make_board([tmp_path])
    assert [standing.table.title for standing in board.standings] == [
        "gsm8k · exact_match, flexible",
        "gsm8k · exact_match, strict",
    ]
    standing = board.standings[0]
    assert [row.name for row in standing.rows] == ["hf greedy (one)", "hf greedy (two)"]
    assert standing.families["value"].mean[:, 0].tolist() == [0.75, 0.25]
    pairs = standing.pairs[("value", 1)]
    assert pairs.only is not None
    assert pairs.only[0, 1] == 4
    assert pairs.p[0, 1] == pytest.approx(0.125)


def test_a_metric_without_a_value_a_question_is_shown_as_stated(tmp_path: Path) -> None:
    """F1 and perplexity are made of all questions at once: their samples hold pairs, no score."""
    for name, f1 in (("one", 0.4), ("two", 0.6)):
        foreign(tmp_path / name, name, [1, 0, 1], ("none",))
        path = next((tmp_path / name).glob("results_*"))
        record = json.loads(path.read_text(encoding="utf-8"))
        record["results"]["gsm8k"]["f1,none"] = f1
        path.write_text(json.dumps(record), encoding="utf-8")
    board = make_board([tmp_path])
    scored, stated = board.standings
    assert (scored.table.score, stated.table.score) == ("exact_match", "f1")
    assert stated.families["value"].mean[:, 0].tolist() == [0.6, 0.4]
    assert stated.rows[0].serious == ["no value a question: no intervals, no comparison"]
    assert board.reading.problems == []


def test_what_has_no_value_a_question_is_not_said_to_lack_samples(tmp_path: Path) -> None:
    foreign(tmp_path, "one", [1, 0, 1], ("none",))
    path = next(tmp_path.glob("results_*"))
    record = json.loads(path.read_text(encoding="utf-8"))
    record["results"]["gsm8k"]["f1,none"] = 0.4
    path.write_text(json.dumps(record), encoding="utf-8")
    stated = make_board([tmp_path]).standings[1]
    assert verdict(stated).startswith("This metric has no value a question")
    next(tmp_path.glob("samples_*")).unlink()
    unlogged = make_board([tmp_path]).standings
    assert all(verdict(standing).startswith("No samples were logged") for standing in unlogged)


def test_a_pass_at_1_of_one_value_a_question_makes_one_table(tmp_path: Path) -> None:
    """HumanEval's: a number a question, and no candidates."""
    foreign(tmp_path, "one", [1, 0, 1, 1], ("create_test",), metric="pass@1")
    (standing,) = make_board([tmp_path]).standings
    assert (standing.table.score, standing.table.filter) == ("pass@1", "create_test")
    assert standing.families["value"].mean[0, 0] == 0.75
    next(tmp_path.glob("samples_*")).unlink()
    (unlogged,) = make_board([tmp_path]).standings
    assert unlogged.families["pass"].mean[0, 0] == 0.75, "without samples it is shown as stated"


def test_the_lowest_is_best_where_the_task_says_so(tmp_path: Path) -> None:
    for name, right in (("one", [1] * 9), ("two", [0] * 9)):
        foreign(tmp_path / name, name, right, ("none",))
        path = next((tmp_path / name).glob("results_*"))
        record = json.loads(path.read_text(encoding="utf-8"))
        record["higher_is_better"] = {"gsm8k": {"exact_match": False}}
        path.write_text(json.dumps(record), encoding="utf-8")
    standing = make_board([tmp_path]).standings[0]
    assert [row.name for row in standing.rows] == ["hf greedy (two)", "hf greedy (one)"]
    assert verdict(standing).startswith("hf greedy (two) is ahead of all others at exact_match (−1.000 over")


def test_texts_are_not_kept_while_samples_are_read(tmp_path: Path) -> None:
    """Samples may take gigabytes: what reading holds at once is a row's, not the file's."""
    run = FakeRun(questions=400, n=4)
    write_run(tmp_path, run, {(question, k): "x" * 20_000 for question in range(400) for k in range(4)})
    size = sum(path.stat().st_size for path in tmp_path.glob("samples_*"))
    tracemalloc.start()
    try:
        reading = read_runs([tmp_path])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(reading.runs) == 1
    assert size > 30e6
    assert peak < size / 8
