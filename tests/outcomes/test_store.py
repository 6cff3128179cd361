"""What is written is read back; what was torn, damaged or of another run is found."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from sprint_eval.errors import DataError, MismatchError, StoreError
from sprint_eval.heads import HeadLayout, HeadPool
from sprint_eval.outcomes import BASE_COLUMN, Outcomes, OutcomeStore, Process
from sprint_eval.outcomes.shard import shard_paths


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as handle:
        handle.write(data)


def assert_whole(outcomes: Outcomes, toy) -> None:
    """Every cell, text included, is what was written."""
    n, width = outcomes.z.shape
    assert outcomes.complete
    for i in range(n):
        for j in (BASE_COLUMN, *range(width)):
            cell = toy.cell(i, j)
            assert outcomes.cell(i, j) == cell
            assert (outcomes.base[i] if j == BASE_COLUMN else outcomes.z[i, j]) == cell.correct
            assert outcomes.tokens[i, j] == cell.tokens
            assert outcomes.truncated[i, j] == cell.truncated


def test_what_is_written_is_read_back(toy):
    store = toy.store()
    assert toy.fill(store) == 6 * 13
    outcomes = Outcomes.load(store.folder)
    assert_whole(outcomes, toy)
    assert outcomes.questions[3].key == "key0003"
    assert outcomes.doc(3)["answer"] == "4"
    assert str(outcomes.pool[4]) == "L1H1"
    assert_whole(Outcomes.load(store.folder), toy)  # now through the index
    assert_whole(Outcomes.load(store.folder, use_cache=False), toy)


def test_resumed_in_other_numbers_of_processes(toy):
    store = toy.store()
    toy.fill(store, Process(0, 2), only=lambda i, j: j < 5)
    toy.fill(store, Process(1, 2), only=lambda i, j: i < 3)
    before = Outcomes.load(store.folder).done.sum()
    assert 0 < before < 6 * 13
    written = sum(toy.fill(toy.store(), Process(k, 3)) for k in range(3))
    assert before + written == 6 * 13
    outcomes = Outcomes.load(store.folder)
    assert outcomes.health.duplicates == 0
    assert_whole(outcomes, toy)
    assert toy.store().missing(Process()) == []


def test_processes_share_the_questions_out(toy):
    store = toy.store(questions=7)
    parts = [[i for i, _ in store.missing(Process(k, 3))] for k in range(3)]
    assert sorted(i for part in parts for i in part) == list(range(7))


@pytest.mark.parametrize("cut", [1, 5, 9, 10, 40])
def test_a_torn_last_line_is_passed_over_and_decoded_again(toy, cut):
    store = toy.store()
    toy.fill(store)
    path = shard_paths(store.folder)[0]
    Outcomes.load(store.folder)  # an index of the whole file, which the cut makes stale
    os.truncate(path, path.stat().st_size - cut)
    outcomes = Outcomes.load(store.folder)
    assert (~outcomes.done).sum() == 1
    assert outcomes.health.torn > 0 or cut == 1
    assert toy.fill(toy.store()) == 1
    assert_whole(Outcomes.load(store.folder), toy)


def test_a_tail_of_zeros_is_passed_over(toy):
    """A machine that lost power can leave blocks that were never written."""
    store = toy.store()
    toy.fill(store, only=lambda i, j: i < 3)
    append(shard_paths(store.folder)[0], b"\0" * 100 + b"\n" + b"\0" * 50)
    outcomes = Outcomes.load(store.folder)
    assert outcomes.health.torn == 151
    toy.fill(store)
    assert_whole(Outcomes.load(store.folder), toy)


def test_a_shard_cut_in_its_header_holds_nothing(toy):
    store = toy.store()
    toy.fill(store, only=lambda i, j: False)
    path = shard_paths(store.folder)[0]
    for size in (10, 0):
        os.truncate(path, size)
        assert not Outcomes.load(store.folder).done.any()


@pytest.mark.parametrize("indexed", [False, True])
def test_damage_in_the_middle_is_named(toy, indexed):
    store = toy.store()
    toy.fill(store)
    path = shard_paths(store.folder)[0]
    if indexed:
        Outcomes.load(store.folder)
    data = bytearray(path.read_bytes())
    at = data.index(b"of cell (3, 4)")
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreError, match="damaged: 1 lines with a wrong checksum"):
        Outcomes.load(store.folder)


def test_a_cell_that_changed_after_indexing_is_never_given_out(toy):
    store = toy.store()
    toy.fill(store)
    outcomes = Outcomes.load(store.folder)
    path = shard_paths(store.folder)[0]
    data = path.read_bytes()
    path.write_bytes(data.replace(b"of cell (3, 4)", b"of cell (4, 3)"))
    with pytest.raises(StoreError, match="is damaged"):
        outcomes.cell(3, 4)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"model_fingerprint": "0" * 16}, "model_fingerprint"),
        ({"dtype": "bfloat16"}, "dtype"),
        ({"task": "other_task"}, "task"),
        ({"task_version": "2.0"}, "task_version"),
        ({"split": "test"}, "split"),
        ({"num_fewshot": 4}, "num_fewshot"),
        ({"chat_template": "abc"}, "chat_template"),
        ({"generation": {"stop": ["\n"], "max_new_tokens": 32}}, "generation"),
        ({"questions": 5}, "num_questions"),
        ({"start": 1}, "prompt_hash"),
        ({"pool": "0-2:*"}, "pool"),
        ({"grader_version": "2"}, "grader_version"),
    ],
)
def test_another_run_is_refused_by_the_name_of_the_field(toy, change, field):
    toy.fill(toy.store())
    with pytest.raises(MismatchError, match=f"belongs to another run: {field} is "):
        toy.store(**change)


OLD = {"stop": ["\n"], "max_new_tokens": 16}
NEW = {**OLD, "end_tokens": [2]}


@pytest.mark.parametrize(("stored", "run"), [(OLD, NEW), (NEW, OLD)])
def test_end_tokens_that_one_side_does_not_know_keep_no_store_from_resuming(toy, stored, run):
    """A store from before they were kept, or begun or gone on with by a served engine."""
    store = toy.store(generation=stored)
    toy.fill(store, only=lambda i, j: i < 3)
    resumed = toy.store(generation=run)
    assert resumed.manifest.generation == stored
    assert toy.fill(resumed) == 3 * 13
    headers = [json.loads(path.read_bytes().split(b"\n")[0][9:]) for path in shard_paths(store.folder)]
    assert [header["run"] for header in headers] == [store.manifest.run_hash()] * 2
    assert_whole(Outcomes.load(store.folder), toy)
    with pytest.raises(MismatchError, match=r"generation is \{'max_new_tokens': 16\} there and \{'max_"):
        toy.store(generation=run | {"max_new_tokens": 32})


def test_other_end_tokens_are_another_run(toy):
    toy.fill(toy.store(generation=NEW))
    with pytest.raises(
        MismatchError, match=r"generation is \{'end_tokens': \[2\]\} there and \{'end_tokens': \[2, 7\]\} in"
    ):
        toy.store(generation=NEW | {"end_tokens": [2, 7]})


def test_the_hash_of_old_stores_stays(toy):
    """Shards name their run by it: with another, all that was ever swept would be another run's."""
    assert toy.store().manifest.run_hash() == "caadda19151c43c8"


def test_name_and_metadata_may_differ(toy):
    """The same model from another path, the same questions from another folder."""
    toy.fill(toy.store())
    assert toy.store(model="/elsewhere/toy", metadata={"data_dir": "/x", "n": 16}).missing(Process()) == []


def test_a_shard_of_another_run_is_refused(toy):
    mine, other = toy.store("mine"), toy.store("other", dtype="bfloat16")
    toy.fill(mine)
    toy.fill(other)
    shutil.copy(shard_paths(other.folder)[0], mine.folder / "shards" / "zz.jsonl")
    with pytest.raises(StoreError, match=r"zz\.jsonl belongs to another run: its dtype is 'bfloat16'"):
        Outcomes.load(mine.folder)


def test_a_file_that_is_no_shard_is_refused(toy):
    store = toy.store()
    (store.folder / "shards").mkdir()
    (store.folder / "shards" / "notes.jsonl").write_text('{"hello": 1}\n')
    assert not Outcomes.load(store.folder).done.any()  # nothing in it is whole
    toy.fill(store)
    text = shard_paths(store.folder)[0].read_bytes().split(b"\n", 1)[1]  # cells without their header
    (store.folder / "shards" / "notes.jsonl").write_bytes(text)
    with pytest.raises(StoreError, match="has no header"):
        Outcomes.load(store.folder)


def test_questions_that_changed_are_refused(toy):
    store = toy.store()
    path = store.folder / "questions.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    with pytest.raises(StoreError, match="num_questions is 5, expected 6"):
        Outcomes.load(store.folder)
    path.write_text("".join(lines[1:] + lines[:1]))
    with pytest.raises(StoreError, match="questions_hash"):
        Outcomes.load(store.folder)
    path.write_text("nonsense")
    with pytest.raises(StoreError, match="cannot be read"):
        Outcomes.load(store.folder)


def test_a_newer_schema_is_refused(toy):
    store = toy.store()
    path = store.folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 99}))
    with pytest.raises(StoreError, match=r"schema_version 99, this sprint-eval reads up to 1"):
        Outcomes.load(store.folder)


@pytest.mark.parametrize("name", ["pool", "verdict_files", "generation", "facts"])
def test_a_manifest_with_a_value_of_the_wrong_type_is_refused(toy, name):
    path = toy.store().folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: None}))
    with pytest.raises(StoreError, match="is not a manifest of an outcome store"):
        Outcomes.load(path.parent)


def test_no_store_there(tmp_path):
    with pytest.raises(StoreError, match="holds no outcomes"):
        Outcomes.load(tmp_path)


def test_shards_without_a_manifest_are_not_taken_over(toy):
    store = toy.store()
    toy.fill(store)
    (store.folder / "manifest.json").unlink()
    with pytest.raises(StoreError, match="has shards but no manifest"):
        toy.store()


def test_the_base_in_the_pool_is_decoded_once(toy):
    store = toy.store(pool="0:*/base")
    assert toy.fill(store) == 6 * 4
    outcomes = Outcomes.load(store.folder)
    assert outcomes.complete
    assert (outcomes.z[:, 3] == outcomes.base).all()
    assert outcomes.cell(2, 3).text == outcomes.cell(2, BASE_COLUMN).text
    assert outcomes.cell(2, 3).column == 3


def test_the_first_of_two_equal_cells_counts(toy):
    store = toy.store()
    toy.fill(store)
    path = shard_paths(store.folder)[0]
    shutil.copy(path, path.with_name("zz.jsonl"))
    outcomes = Outcomes.load(store.folder)
    assert outcomes.health.duplicates == 6 * 13
    assert_whole(outcomes, toy)


def test_a_second_sweep_of_the_same_part_is_refused(toy):
    store = toy.store()
    with store.writer(Process(0, 2)):
        with pytest.raises(StoreError, match="another sweep is writing"):
            toy.store().writer(Process(0, 2))
        with pytest.raises(StoreError, match="another sweep is writing"):
            toy.store().writer(Process(1, 3))
        toy.store().writer(Process(1, 2)).close()
    toy.store().writer(Process(0, 1)).close()


@pytest.mark.parametrize("content", [b"garbage", b"", b"PK\3\4"])
def test_an_index_that_cannot_be_read_is_made_again(toy, content):
    store = toy.store()
    toy.fill(store)
    Outcomes.load(store.folder)
    for path in (store.folder / "index").iterdir():
        path.write_bytes(content)
    assert_whole(Outcomes.load(store.folder), toy)


def test_the_index_covers_only_what_was_there(toy):
    store = toy.store()
    with store.writer(Process()) as writer:
        writer.append([toy.cell(0, 0), toy.cell(0, 1)])
        assert Outcomes.load(store.folder).done.sum() == 2
        writer.append([toy.cell(0, 2), toy.cell(1, BASE_COLUMN)])
        done = Outcomes.load(store.folder).done
    assert done[0, :3].all()
    assert done[1, -1]
    assert done.sum() == 4


def test_a_cell_that_is_not_there(toy):
    store = toy.store()
    toy.fill(store, only=lambda i, j: j == 0)
    outcomes = Outcomes.load(store.folder)
    assert not outcomes.complete
    assert outcomes.z[0, 1] == -1
    assert outcomes.base[0] == -1
    with pytest.raises(DataError, match="question 2 has not been decoded with L0H1"):
        outcomes.cell(2, 1)
    with pytest.raises(DataError, match="with base"):
        outcomes.cell(2, BASE_COLUMN)


def test_from_arrays():
    pool = HeadPool.parse("L0H0/L0H1", HeadLayout.uniform(1, 2))
    outcomes = Outcomes.from_arrays([[1, 0], [0, -1]], ["a", "b"], pool, base=[1, 0], subjects=["s", "t"])
    assert outcomes.z.dtype == np.int8
    assert outcomes.subjects == ["s", "t"]
    assert outcomes.questions[0].key != outcomes.questions[1].key
    assert not outcomes.complete
    assert outcomes.manifest.pool == ("L0H0", "L0H1")
    with pytest.raises(DataError, match="without texts"):
        outcomes.cell(0, 0)
    with pytest.raises(DataError, match="has shape"):
        Outcomes.from_arrays([[1, 0]], ["a", "b"], pool)
    with pytest.raises(DataError, match="outcomes are 1"):
        Outcomes.from_arrays([[2, 0]], ["a"], pool)
    with pytest.raises(DataError, match="expected one each"):
        Outcomes.from_arrays([[1, 0]], ["a"], pool, subjects=[])


def test_a_store_in_a_folder_that_is_a_file(toy, tmp_path):
    (tmp_path / "z").write_text("not a folder")
    with pytest.raises(StoreError, match="cannot write to the outcome store"):
        OutcomeStore(tmp_path / "z", toy.manifest(), toy.questions(2))
