"""What makes a method, and what it is called."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

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
    assert "sk-123" not in str(row.method)


SAMPLING = {"do_sample": True, "temperature": 0.6}


def names_of(folder: Path, run: FakeRun, *settings: dict[str, Any]) -> set[str]:
    """What runs are called that differ in nothing but their generation settings."""
    (standing,) = board_of(folder, *(replace(run, generation=found) for found in settings)).standings
    return {row.name for row in standing.rows}


def test_what_greedy_decoding_honours_makes_another_method(tmp_path: Path) -> None:
    found = names_of(tmp_path, BASE, {}, {"repetition_penalty": 1.3}, {"num_beams": 4})
    assert found == {"hf greedy", "hf greedy repetition_penalty=1.3", "hf greedy num_beams=4"}
    ours = FakeRun("pruned-head", BASE.args + ",heads=L15H2", {"pool": ["L15H2"]}, questions=12)
    found = names_of(tmp_path / "ours", ours, {}, {"repetition_penalty": 1.3})
    assert found == {"pruned-head L15H2", "pruned-head L15H2 repetition_penalty=1.3"}


def test_neutral_settings_and_those_of_draws_leave_greedy_decoding_as_it_is(tmp_path: Path) -> None:
    neutral = {"repetition_penalty": 1.0, "num_beams": 1, "presence_penalty": 0.0, "bad_words_ids": []}
    drawn = {"temperature": 0.9, "top_k": 40, "top_p": 0.9, "min_p": 0.1, "typical_p": 0.9, "seed": 3}
    assert names_of(tmp_path, BASE, {}, neutral, drawn, {"use_cache": False}) == {"hf greedy"}


def test_every_setting_of_a_sampling_run_counts(tmp_path: Path) -> None:
    more = [{"presence_penalty": 0.5}, {"no_repeat_ngram_size": 3}, {"repetition_penalty": 1.2}]
    found = names_of(tmp_path, BASE, SAMPLING, *({**SAMPLING, **setting} for setting in more))
    assert found == {
        "hf T=0.6",
        "hf T=0.6 presence_penalty=0.5",
        "hf T=0.6 no_repeat_ngram_size=3",
        "hf T=0.6 repetition_penalty=1.2",
    }


def test_settings_are_told_without_credentials(tmp_path: Path) -> None:
    """Texts of any length make methods of their own; credentials make none."""
    long = {"bias": {"x" * 300: 1}}
    settings = [{"api_key": "one"}, {"api_key": "two"}, {"api_key": 3}, long, {"bias": {"x" * 300: 2}}]
    (standing,) = board_of(tmp_path, *(replace(BASE, generation=found) for found in settings)).standings
    assert len(standing.rows) == 3
    (row,) = [row for row in standing.rows if "api_key" in row.name]
    assert dict(row.method.details)["decoding"] == "greedy, api_key=***"


def test_ids_of_boards_made_before_stay(tmp_path: Path) -> None:
    """Links hold them: what was one method and still is keeps its id."""
    drawn = {**SAMPLING, "top_k": 40, "top_p": 0.95, "repetition_penalty": 1.0}
    (standing,) = board_of(tmp_path, BASE, replace(BASE, generation=drawn)).standings
    assert {row.method.id for row in standing.rows} == {"hf-9b5759b7", "hf-44185169"}


def test_settings_of_the_tokenizer_make_another_method(tmp_path: Path) -> None:
    args = (
        "use_fast_tokenizer=True",
        "use_fast_tokenizer=False",
        "tokenizer_revision=a",
        "prefix_token_id=1",
    )
    runs = [replace(BASE, args=f"{BASE.args},{more},hf_token=t{index}") for index, more in enumerate(args)]
    (standing,) = board_of(tmp_path, *runs, replace(runs[0], args=runs[0].args + "x")).standings
    assert len(standing.rows) == 4
    details = [dict(row.method.details) for row in standing.rows]
    assert {found.get("use_fast_tokenizer") for found in details} == {None, "True", "False"}
    assert {found["hf_token"] for found in details} == {"***"}
