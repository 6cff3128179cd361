"""What is put side by side, what is kept apart, and what is said of a row."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import TASK, FakeRun, board_of, outcomes, results, rows, stamp, write_run

from sprint_eval.leaderboards.board import Board, make_board

BASE = FakeRun(questions=12)
OTHER = FakeRun("vllm", questions=12, seed=3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "task version: 2"),
        ({"questions": 11}, "questions: 11"),
        ({"num_fewshot": 4}, "few-shot examples: 4"),
        ({"generation": {"max_gen_toks": 64}}, "token limit: 64"),
        ({"generation": {"max_gen_toks": None, "max_tokens": 64}}, "token limit: 64"),
        ({"generation": {"max_gen_toks": None, "max_completion_tokens": 64}}, "token limit: 64"),
        ({"generation": {"until": ["Q:"]}}, "stop strings: 'Q:'"),
        ({"extra": {"chat_template_sha": "abcdef0123456789"}}, "chat template: abcdef01"),
        ({"extra": {"system_instruction_sha": "feedbeef00"}}, "system prompt: feedbeef"),
        ({"extra": {"fewshot_as_multiturn": True}}, "few-shot as turns: yes"),
    ],
)
def test_what_differs_is_kept_apart_and_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    board = board_of(tmp_path, BASE, replace(OTHER, **change))
    assert len(board.standings) == 2
    assert any(said in standing.table.title for standing in board.standings)
    assert all(len(standing.rows) == 1 for standing in board.standings)


def test_order_of_questions_does_not_matter(tmp_path: Path) -> None:
    write_run(tmp_path / "0", BASE)
    path = write_run(tmp_path / "1", replace(OTHER, date=BASE.date + 1))
    samples = next(path.parent.glob("samples_*"))
    lines = samples.read_text(encoding="utf-8").splitlines()
    samples.write_text("\n".join(reversed(lines)) + "\n", encoding="utf-8")
    standing = make_board([tmp_path]).standings[0]
    assert len(standing.rows) == 2
    expected = (outcomes(BASE)[:, 0] > outcomes(OTHER)[:, 0]).sum()
    names = [row.name for row in standing.rows]
    pairs = standing.pairs[("pass", 1)]
    assert pairs.only is not None
    assert pairs.only[names.index("hf greedy"), names.index("vllm greedy")] == expected


def test_fewer_candidates_are_flagged_and_come_last(tmp_path: Path) -> None:
    board = board_of(tmp_path, BASE, OTHER, FakeRun("sglang", questions=12, n=2, skill=0.99))
    rows = board.standings[0].rows
    assert rows[-1].name == "sglang greedy"
    assert rows[-1].serious == ["2 of 4 candidates"]
    assert board.standings[0].rank_low[-1] is None


def test_one_deterministic_answer_serves_every_k(tmp_path: Path) -> None:
    single = FakeRun(
        "pruned-head", "pretrained=m,heads=L0H1", {"deterministic": True}, questions=12, n=1, skill=0.5
    )
    standing = board_of(tmp_path, BASE, single).standings[0]
    index = [row.name for row in standing.rows].index("pruned-head L0H1")
    assert not standing.rows[index].serious
    family = standing.families["pass"]
    assert family.mean[index, 3] == family.mean[index, 0] == outcomes(single)[:, 0].mean()


@pytest.mark.parametrize(("sampled", "flags"), [(False, []), (True, ["1 of 4 candidates"])])
def test_a_greedy_run_that_was_asked_once_serves_every_k(
    sampled: bool, flags: list[str], tmp_path: Path
) -> None:
    settings = {"do_sample": sampled, "temperature": 0.7}
    once = FakeRun("vllm", questions=12, n=1, skill=0.5, generation=settings)
    standing = board_of(tmp_path, BASE, once).standings[0]
    (row,) = [row for row in standing.rows if row.name.startswith("vllm")]
    assert row.serious == flags
    assert np.isfinite(standing.families["pass"].mean[standing.rows.index(row), 3]) != sampled


def test_a_router_that_was_asked_once_says_nothing_of_more_candidates(tmp_path: Path) -> None:
    """Its second candidate would be another head set, however greedily each is decoded."""
    once = FakeRun(
        *("sprint-router", "pretrained=m,router=r", {"deterministic": False}),
        **{"questions": 12, "n": 1, "skill": 0.5, "generation": {"do_sample": False}},
    )
    standing = board_of(tmp_path, BASE, once).standings[0]
    (row,) = [row for row in standing.rows if row.name.startswith("sprint-router")]
    assert row.serious == ["1 of 4 candidates"]
    family = standing.families["pass"]
    assert np.isfinite(family.mean[standing.rows.index(row), 0])
    assert np.isnan(family.mean[standing.rows.index(row), 3])


def test_newest_of_repeats_wins_and_others_are_listed(tmp_path: Path) -> None:
    board = board_of(tmp_path, replace(BASE, skill=0.1), replace(BASE, skill=0.9), replace(BASE, skill=0.5))
    (row,) = board.standings[0].rows
    assert row.run.header.date == BASE.date + 2
    assert len(row.repeats) == 2
    assert "newest of 3 runs" in row.notes


def test_of_several_token_limits_the_first_counts(tmp_path: Path) -> None:
    """As in lm-eval: synthetic runs state max_gen_toks, too."""
    (standing,) = board_of(tmp_path, BASE, replace(OTHER, generation={"max_tokens": 64})).standings
    assert standing.table.settings["token limit"] == "256"


def test_newest_of_repeats_says_that_prompts_differ(tmp_path: Path) -> None:
    (row,) = board_of(tmp_path, replace(BASE, other_prompts=3), BASE, BASE).standings[0].rows
    assert "newest of 3 runs, 1 with other prompts" in row.notes
    assert not row.serious


def test_rows_with_other_prompts_are_flagged(tmp_path: Path) -> None:
    third = FakeRun("sglang", questions=12, seed=4)
    two = board_of(tmp_path / "two", BASE, replace(OTHER, other_prompts=7)).standings
    assert [row.serious for row in two[0].rows] == [["other prompts on 7 of 12 questions"]] * 2
    assert len(two) == 1
    (three,) = board_of(tmp_path / "three", BASE, replace(OTHER, other_prompts=7), third).standings
    flagged = {row.name: row.serious for row in three.rows if row.serious}
    assert flagged == {"vllm greedy": ["other prompts on 7 of 12 questions"]}


def test_prompts_are_compared_whatever_the_order_of_rows(tmp_path: Path) -> None:
    for index, run in enumerate((BASE, OTHER)):
        path = write_run(tmp_path / str(index), replace(run, other_prompts=5))
        samples = next(path.parent.glob("samples_*"))
        lines = samples.read_text(encoding="utf-8").splitlines()
        samples.write_text("\n".join(lines[:: 1 - 2 * index]) + "\n", encoding="utf-8")
    (standing,) = make_board([tmp_path]).standings
    assert [row.serious for row in standing.rows] == [[], []]


def test_prompts_that_were_not_logged_say_nothing(tmp_path: Path) -> None:
    write_run(tmp_path / "0", BASE)
    path = write_run(tmp_path / "1", replace(OTHER, other_prompts=5))
    samples = next(path.parent.glob("samples_*"))
    rows_read = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
    rows_read[3]["prompt_hash"] = None
    samples.write_text("".join(json.dumps(row) + "\n" for row in rows_read), encoding="utf-8")
    (standing,) = make_board([tmp_path]).standings
    assert [row.serious for row in standing.rows] == [[], []]


def damaged(folder: Path, run: FakeRun, change: Any) -> Board:
    """A run whose candidates are changed before it is written."""
    correct = outcomes(run)
    lines = rows(run, correct)
    for line in lines:
        change(line)
    folder.mkdir(parents=True, exist_ok=True)
    name = stamp(run.date)
    record = results(run, correct)
    record["results"][TASK] = {"alias": TASK}
    (folder / f"results_{name}.json").write_text(json.dumps(record), encoding="utf-8")
    text = "\n".join(map(json.dumps, lines))
    (folder / f"samples_{TASK}_{name}.jsonl").write_text(text, encoding="utf-8")
    return make_board([folder])


def test_counts_of_troubled_candidates_are_shown(tmp_path: Path) -> None:
    def trouble(line: dict[str, Any]) -> None:
        line["candidates"][0]["truncated"] = True
        line["candidates"][1] |= {"status": "timeout", "extracted": None}
        line["candidates"][2] |= {"status": "no_answer", "extracted": None}
        line["filtered_resps"] = line["resps"] = [["same", "same", "x", "y"]]

    (row,) = damaged(tmp_path, BASE, trouble).standings[0].rows
    assert row.counts == {"truncated": 12, "timed_out": 12, "no_answer": 12, "repeated": 12}
    assert "12 grader time-outs" in row.serious


def test_padding_candidates_are_dropped_and_missing_ones_counted(tmp_path: Path) -> None:
    def uneven(line: dict[str, Any]) -> None:
        if line["doc_id"] == 0:
            line["candidates"] = line["candidates"] * 2
        if line["doc_id"] == 1:
            line["candidates"] = line["candidates"][:3]

    standing = damaged(tmp_path, BASE, uneven).standings[0]
    assert standing.rows[0].counts["extra"] == 4
    assert standing.rows[0].counts["short"] == 1
    assert standing.rows[0].candidates == 4


def test_a_router_tested_on_its_training_questions_is_marked(tmp_path: Path) -> None:
    run = FakeRun("sprint-router", "pretrained=m,router=r", {"router_trained_on_test": True}, questions=12)
    (row,) = board_of(tmp_path, run).standings[0].rows
    assert row.serious == ["router trained on test questions"]


def test_random_heads_chosen_on_the_test_are_marked(tmp_path: Path) -> None:
    run = FakeRun("random-heads", "pretrained=m,outcomes=z", {"heads_chosen_on_test": True}, questions=12)
    (row,) = board_of(tmp_path, run).standings[0].rows
    assert row.serious == ["heads chosen on test questions"]


def test_runs_without_samples_show_what_they_state(tmp_path: Path) -> None:
    write_run(tmp_path, BASE, samples=False)
    path = next(tmp_path.glob("results_*"))
    record = json.loads(path.read_text(encoding="utf-8"))
    record["results"][TASK]["pass@1_unbiased,none"] = 0.5
    record["results"][TASK]["candidates,none"] = 4.0
    path.write_text(json.dumps(record), encoding="utf-8")
    (standing,) = make_board([tmp_path]).standings
    assert standing.families["pass"].mean[0, 0] == outcomes(BASE)[:, 0].mean()
    assert standing.families["unbiased"].mean[0, 0] == 0.5
    assert not standing.pairs
    assert standing.rows[0].serious == ["no samples logged: no intervals, no comparison"]


def test_one_method_at_several_n_has_a_row_and_a_key_for_each(tmp_path: Path) -> None:
    sampling = replace(BASE, generation={"do_sample": True, "temperature": 0.6})
    standing = board_of(tmp_path, sampling, replace(sampling, n=2)).standings[0]
    assert [row.full_name for row in standing.rows] == ["hf T=0.6 N=4", "hf T=0.6 N=2"]
    assert len({row.key for row in standing.rows}) == 2
    assert len({row.method.id for row in standing.rows}) == 1
