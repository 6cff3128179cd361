"""What is put side by side, what is kept apart, and what is said of a row."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import TASK, FakeRun, outcomes, results, rows, sha, stamp, write_run

from sprint_eval.leaderboards.board import Board, make_board


def board_of(folder: Path, *runs: FakeRun) -> Board:
    for index, run in enumerate(runs):
        write_run(folder / str(index), replace(run, date=run.date + index))
    return make_board([folder])


BASE = FakeRun(questions=12)
OTHER = FakeRun("vllm", questions=12, seed=3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "task version: 2"),
        ({"questions": 11}, "questions: 11"),
        ({"num_fewshot": 4}, "few-shot examples: 4"),
        ({"generation": {"max_gen_toks": 64}}, "token limit: 64"),
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


def test_newest_of_repeats_wins_and_others_are_listed(tmp_path: Path) -> None:
    board = board_of(tmp_path, replace(BASE, skill=0.1), replace(BASE, skill=0.9), replace(BASE, skill=0.5))
    (row,) = board.standings[0].rows
    assert row.run.header.date == BASE.date + 2
    assert len(row.repeats) == 2
    assert "newest of 3 runs" in row.notes


def test_seeds_and_temperatures_are_methods_of_their_own(tmp_path: Path) -> None:
    sampling = {"do_sample": True, "temperature": 0.6}
    names = {
        row.name
        for row in board_of(
            tmp_path,
            replace(BASE, generation=sampling),
            replace(BASE, generation={**sampling, "temperature": 1.0}),
            replace(BASE, generation={"temperature": 0.9}),  # do_sample is false: stays greedy
        )
        .standings[0]
        .rows
    }
    assert names == {"hf T=0.6", "hf T=1", "hf greedy"}


def test_names_are_told_apart_by_model_and_by_setting(tmp_path: Path) -> None:
    board = board_of(
        tmp_path,
        replace(BASE, args="pretrained=org/one"),
        replace(BASE, args="pretrained=org/two,dtype=float16"),
        replace(BASE, args="pretrained=org/two,dtype=bfloat16"),
    )
    names = {row.name for row in board.standings[0].rows}
    assert names == {"hf greedy (one)", "hf greedy (two) (dtype=float16)", "hf greedy (two) (dtype=bfloat16)"}


def test_names_are_no_longer_than_their_table_needs(tmp_path: Path) -> None:
    other = replace(BASE, task="asdiv_pass_at_n", args="pretrained=org/other")
    board = board_of(tmp_path, BASE, other)
    assert [standing.rows[0].name for standing in board.standings] == ["hf greedy", "hf greedy"]
    full = {standing.rows[0].full_name for standing in board.standings}
    assert full == {"hf greedy (tiny-model)", "hf greedy (other)"}


def test_ids_do_not_depend_on_the_other_rows(tmp_path: Path) -> None:
    alone = board_of(tmp_path / "alone", BASE).standings[0].rows[0].method.id
    both = {row.method.id for row in board_of(tmp_path / "both", BASE, OTHER).standings[0].rows}
    assert alone in both


def test_device_and_batch_size_make_no_other_method(tmp_path: Path) -> None:
    board = board_of(
        tmp_path, BASE, replace(BASE, args=BASE.args + ",device=cuda,batch_size=4,trust_remote_code=True")
    )
    assert len(board.standings[0].rows) == 1


def test_credentials_and_paths_are_not_shown(tmp_path: Path) -> None:
    args = "model=m,api_key=sk-123,base_url=http://x,router=/home/someone/runs/router"
    (row,) = board_of(tmp_path, replace(BASE, args=args)).standings[0].rows
    details = dict(row.method.details)
    assert details["api_key"] == "***"
    assert details["router"] == "…/router"


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


def test_runs_without_samples_show_what_they_state(tmp_path: Path) -> None:
    write_run(tmp_path, BASE, samples=False)
    path = next(tmp_path.glob("results_*"))
    record = json.loads(path.read_text(encoding="utf-8"))
    record["results"][TASK]["pass@1_unbiased,none"] = 0.5
    path.write_text(json.dumps(record), encoding="utf-8")
    standing = make_board([tmp_path]).standings[0]
    assert standing.families["pass"].mean[0, 0] == outcomes(BASE)[:, 0].mean()
    assert standing.families["unbiased"].mean[0, 0] == 0.5
    assert not standing.pairs
    assert standing.rows[0].serious == ["no samples logged: no intervals, no comparison"]


def foreign(
    folder: Path, model: str, right: list[int], filters: tuple[str, ...] = ("strict", "flexible")
) -> None:
    """A run of a task that knows nothing of candidates: one metric, a row a document and filter."""
    folder.mkdir(parents=True)
    lines, figures = [], {}
    for name in filters:
        figures[f"exact_match,{name}"] = sum(right) / len(right)
        figures[f"exact_match_stderr,{name}"] = 0.1
        for index, value in enumerate(right):
            lines.append(
                {
                    "doc_id": index,
                    "doc": {"question": f"{index}?", "answer": f"so #### {index}"},
                    "target": f"so #### {index}",
                    "arguments": {"gen_args_0": {"arg_0": f"{index}?", "arg_1": {}}},
                    "resps": [[f"it is {index}"]],
                    "filtered_resps": [str(index)],
                    "filter": name,
                    "metrics": ["exact_match"],
                    "doc_hash": sha(str(index)),
                    "exact_match": float(value),
                }
            )
    record = {
        "results": {"gsm8k": {"alias": "gsm8k", **figures}},
        "configs": {
            "gsm8k": {"repeats": 1, "generation_kwargs": {"do_sample": False}, "dataset_path": "openai/gsm8k"}
        },
        "versions": {"gsm8k": 3.0},
        "n-shot": {"gsm8k": 5},
        "n-samples": {"gsm8k": {"original": 1319, "effective": len(right)}},
        "config": {"model": "hf", "model_args": f"pretrained=org/{model}"},
        "date": 1.76e9,
        "total_evaluation_time_seconds": "12.5",
    }
    (folder / "results_2026-01-01T00-00-00.000001.json").write_text(json.dumps(record), encoding="utf-8")
    text = "\n".join(map(json.dumps, lines))
    (folder / "samples_gsm8k_2026-01-01T00-00-00.000001.jsonl").write_text(text, encoding="utf-8")


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


def test_several_tasks_share_a_clock_so_no_task_has_its_time(tmp_path: Path) -> None:
    from sprint_eval.leaderboards.cost import costs_of

    path = write_run(tmp_path, BASE)
    record = json.loads(path.read_text(encoding="utf-8"))
    record["results"]["other"], record["configs"]["other"] = {"acc,none": 0.5}, {"repeats": 1}
    path.write_text(json.dumps(record), encoding="utf-8")
    board = make_board([tmp_path])
    for standing in board.standings:
        assert costs_of(standing.rows[0])["total_seconds"] is None


def test_a_clock_of_one_task_is_its_own(tmp_path: Path) -> None:
    from sprint_eval.leaderboards.cost import costs_of

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
    from sprint_eval.leaderboards.cost import costs_of

    said, silent = board_of(tmp_path, BASE, replace(OTHER, facts=False)).standings[0].rows
    if said.name != "hf greedy":
        said, silent = silent, said
    assert costs_of(said)["generated_tokens"] == 12 * sum(range(24, 28))
    assert costs_of(silent)["generated_tokens"] is None
