"""What makes a method, and what it is called."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from synthetic import FakeRun, board_of

BASE = FakeRun(questions=12)
OTHER = FakeRun("vllm", questions=12, seed=3)


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


def test_a_slash_at_the_end_makes_no_other_method(tmp_path: Path) -> None:
    board = board_of(tmp_path, BASE, replace(BASE, args=BASE.args + "/"))
    assert len(board.standings[0].rows) == 1


def test_credentials_and_paths_are_not_shown(tmp_path: Path) -> None:
    args = "model=m,api_key=sk-123,base_url=http://me:pw@x/v1,header=Bearer abc,router=/home/me/router"
    (row,) = board_of(tmp_path, replace(BASE, args=args)).standings[0].rows
    details = dict(row.method.details)
    assert details["api_key"] == "***"
    assert details["header"] == "***"
    assert details["base_url"] == "http://***@x/v1"
    assert details["router"] == "…/router"
