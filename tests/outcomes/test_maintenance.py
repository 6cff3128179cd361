"""Checking, merging, pruning, regrading and exporting: nothing is lost, nothing is made up."""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass, replace

import numpy as np
import pytest

from sprint_eval.errors import ArgumentError, DataError, MismatchError, StoreError
from sprint_eval.heads import HeadLayout, HeadPool
from sprint_eval.outcomes import BASE_COLUMN, Outcomes, OutcomeStore, Process
from sprint_eval.outcomes.check import check_store
from sprint_eval.outcomes.export import FIELDS, export_outcomes
from sprint_eval.outcomes.merge import merge_stores, select_store
from sprint_eval.outcomes.prune import prune_store
from sprint_eval.outcomes.regrade import regrade_store
from sprint_eval.outcomes.shard import ShardWriter, shard_paths
from sprint_eval.outcomes.summary import summary_lines

CELLS = 6 * 13


def damage(store: OutcomeStore, i: int, j: int) -> None:
    """Flip a bit in a cell's text."""
    for path in shard_paths(store.folder):
        data = bytearray(path.read_bytes())
        at = data.find(f"of cell ({i}, {j})".encode())
        if at >= 0:
            data[at] ^= 1
            path.write_bytes(data)


def same(left: Outcomes, right: Outcomes) -> bool:
    n, width = left.z.shape
    places = [(i, j) for i in range(n) for j in (BASE_COLUMN, *range(width)) if left.done[i, j]]
    return np.array_equal(left.done, right.done) and all(left.cell(*p) == right.cell(*p) for p in places)


# check


def test_a_whole_store_is_sound(toy):
    store = toy.store()
    toy.fill(store)
    report = check_store(store.folder)
    assert report.sound
    assert (report.cells, report.holes, report.shards) == (CELLS, 0, 1)


def test_check_counts_holes_and_duplicates(toy):
    store = toy.store()
    toy.fill(store, only=lambda i, j: i < 2)
    path = shard_paths(store.folder)[0]
    shutil.copy(path, path.with_name("zz.jsonl"))
    report = check_store(store.folder)
    assert report.sound
    assert (report.cells, report.holes, report.duplicates, report.conflicts) == (26, CELLS - 26, 26, 0)


def test_check_finds_what_a_cached_index_would_not(toy):
    store = toy.store()
    toy.fill(store)
    Outcomes.load(store.folder)
    damage(store, 2, 3)
    report = check_store(store.folder)
    assert not report.sound
    assert "damaged: 1 lines" in report.problems[0]


def test_check_finds_contradictions_and_other_runs(toy):
    store, other = toy.store(), toy.store("other", task="other")
    toy.fill(store)
    toy.fill(other)
    with ShardWriter(store.folder, store.manifest, Process(), name="zz") as writer:
        cell = toy.cell(1, 1)
        writer.append([type(cell)(**{**cell.__dict__, "text": "something else"})])
    report = check_store(store.folder)
    assert (report.duplicates, report.conflicts, report.sound) == (0, 1, False)
    shutil.copy(shard_paths(other.folder)[0], store.folder / "shards" / "zzz.jsonl")
    assert "its task is 'other'" in check_store(store.folder).problems[0]


# merge and select


def test_merged_heads(toy):
    whole, low, high = toy.store(), toy.store("low", pool="0-1:*"), toy.store("high", pool="2-3:*")
    toy.fill(whole)
    toy.fill(low)
    with high.writer(Process()) as writer:  # the same cells as the whole's last columns
        for i in range(6):
            cells = [toy.cell(i, j) for j in (BASE_COLUMN, *range(6, 12))]
            writer.append(
                type(c)(**{**c.__dict__, "column": c.column - 6 if c.column >= 0 else -1}) for c in cells
            )
    merged = merge_stores([low.folder, high.folder], toy.folder / "merged")
    assert merged.manifest.pool == whole.manifest.pool
    assert same(merged, Outcomes.load(whole.folder))
    assert same(Outcomes.load(whole.folder), merged)


def test_a_store_from_before_end_tokens_were_kept_merges_with_a_later_one(toy):
    settings = {"stop": ["\n"], "max_new_tokens": 16}
    before = toy.store("before", generation=settings)
    after = toy.store("after", generation={**settings, "end_tokens": [2]})
    other = toy.store("other", generation={**settings, "end_tokens": [2, 7]})
    toy.fill(before, only=lambda i, j: i < 3)
    toy.fill(after, only=lambda i, j: i >= 3)
    for number, parts in enumerate(([before, after], [after, before])):
        merged = merge_stores([store.folder for store in parts], toy.folder / f"merged{number}")
        assert merged.complete
        assert check_store(toy.folder / f"merged{number}").sound
    with pytest.raises(MismatchError, match="end_tokens"):
        merge_stores([after.folder, other.folder], toy.folder / "none")


def test_merged_questions_and_parts(toy):
    whole, first, second = (
        toy.store(),
        toy.store("first", questions=4),
        toy.store("second", questions=4, start=2),
    )
    toy.fill(whole)
    toy.fill(first)
    with second.writer(Process()) as writer:
        for i in range(2, 6):
            cells = [toy.cell(i, j) for j in range(BASE_COLUMN, 12)]
            writer.append(type(c)(**{**c.__dict__, "question": c.question - 2}) for c in cells)
    merged = merge_stores([first.folder, second.folder], toy.folder / "merged")
    assert [q.key for q in merged.questions] == [f"key{i:04d}" for i in range(6)]
    assert same(merged, Outcomes.load(whole.folder))
    assert check_store(toy.folder / "merged").sound


def test_merging_what_does_not_belong_together(toy):
    toy.fill(toy.store("a"))
    toy.fill(toy.store("b", dtype="bfloat16"))
    with pytest.raises(MismatchError, match="dtype"):
        merge_stores([toy.folder / "a", toy.folder / "b"], toy.folder / "c")
    assert not (toy.folder / "c").exists()
    with pytest.raises(StoreError, match="holds a store already"):
        merge_stores([toy.folder / "a"], toy.folder / "b")
    with pytest.raises(DataError, match="nothing to merge"):
        merge_stores([], toy.folder / "c")


def test_contradicting_stores(toy):
    toy.fill(toy.store("a"))
    other = toy.store("b")
    with other.writer(Process()) as writer:
        cell = toy.cell(0, 2)
        writer.append([type(cell)(**{**cell.__dict__, "text": "something else"})])
    with pytest.raises(StoreError, match="contradict each other on question 0 with L0H2"):
        merge_stores([toy.folder / "a", toy.folder / "b"], toy.folder / "c")
    assert not list((toy.folder / "c").glob("*.json*"))
    merged = merge_stores([toy.folder / "a", toy.folder / "b"], toy.folder / "c", prefer_first=True)
    assert same(merged, Outcomes.load(toy.folder / "a"))


def test_select(toy):
    store = toy.store()
    toy.fill(store)
    pool = HeadPool.parse("L2H1/L0H0", HeadLayout.uniform(4, 3))
    part = select_store(store.folder, toy.folder / "part", pool=pool, limit=4)
    whole = Outcomes.load(store.folder)
    assert np.array_equal(part.z, whole.z[:4, [7, 0]])
    assert np.array_equal(part.base, whole.base[:4])
    assert part.cell(3, 0).text == whole.cell(3, 7).text
    absent = HeadPool.parse("L9H9", HeadLayout.uniform(10, 10))
    with pytest.raises(DataError, match="no column L9H9"):
        select_store(store.folder, toy.folder / "p2", pool=absent)


# prune


def test_prune_takes_out_what_does_not_fit_and_the_sweep_mends_it(toy):
    store, other = toy.store(), toy.store("other", task="other")
    toy.fill(store, Process(0, 2))
    toy.fill(store, Process(1, 2))
    toy.fill(other)
    paths = shard_paths(store.folder)
    shutil.copy(paths[1], paths[1].with_name("zz.jsonl"))
    shutil.copy(shard_paths(other.folder)[0], paths[1].with_name("zzz.jsonl"))
    damage(store, 2, 3)
    before = {path: path.read_bytes() for path in shard_paths(store.folder)}
    planned = prune_store(store.folder, dry_run=True)
    assert before == {path: path.read_bytes() for path in shard_paths(store.folder)}
    report = prune_store(store.folder)
    assert (report.foreign, report.damaged, report.duplicates) == (["zzz.jsonl"], 1, 39)
    assert (planned.foreign, planned.damaged, planned.duplicates) == (["zzz.jsonl"], 1, 39)
    outcomes = Outcomes.load(store.folder)
    assert (~outcomes.done).sum() == 1
    assert not outcomes.done[2, 3]
    assert toy.fill(toy.store()) == 1
    toy.fill(toy.store("clean"))
    assert same(Outcomes.load(store.folder), Outcomes.load(toy.folder / "clean"))
    assert prune_store(store.folder).damaged == 0


def test_a_kill_while_pruning_loses_nothing(toy):
    """The cleaned shard is there and the old ones are too."""
    store = toy.store()
    toy.fill(store)
    old = {path: path.read_bytes() for path in shard_paths(store.folder)}
    damage(store, 2, 3)
    prune_store(store.folder)
    for path, data in old.items():
        path.write_bytes(data)
    toy.fill(toy.store("clean"))
    assert same(Outcomes.load(store.folder), Outcomes.load(toy.folder / "clean"))


def test_prune_shortens_torn_shards(toy):
    store = toy.store()
    toy.fill(store)
    path = shard_paths(store.folder)[0]
    with path.open("ab") as handle:
        handle.write(b"0123")
    assert prune_store(store.folder).torn == 4
    assert Outcomes.load(store.folder).health.torn == 0
    assert Outcomes.load(store.folder).complete


def test_no_maintenance_beside_a_living_writer(toy):
    store = toy.store()
    with store.writer(Process()):
        for work in (prune_store, lambda folder: regrade_store(folder, regrader, "2")):
            with pytest.raises(StoreError, match="is in use"):
                work(store.folder)


# regrade


@dataclass(frozen=True)
class Verdict:
    correct: bool
    extracted: str | None
    how: str
    status: str


def regrader(doc, texts):
    """Right where the question's number is even, whatever the text."""
    even = int(doc["answer"]) % 2 == 1
    return [Verdict(even, text[-3:], "new", "ok") for text in texts]


def test_regrade(toy):
    store = toy.store()
    toy.fill(store)
    before = Outcomes.load(store.folder)
    planned = regrade_store(store.folder, regrader, "2", dry_run=True)
    assert Outcomes.load(store.folder).manifest.grader_version == "1"
    report = regrade_store(store.folder, regrader, "2")
    assert (report.cells, report.to_right, report.to_wrong) == (
        planned.cells,
        planned.to_right,
        planned.to_wrong,
    )
    assert report.cells == CELLS
    after = Outcomes.load(store.folder)
    assert report.to_right == (after.z > before.z).sum() + (after.base > before.base).sum()
    assert report.to_wrong == (after.z < before.z).sum() + (after.base < before.base).sum()
    assert sum(report.by_heads.values()) == report.to_right + report.to_wrong
    assert (after.z == [[1 - i % 2] * 12 for i in range(6)]).all()
    cell = after.cell(3, 4)
    assert (cell.text, cell.extracted, cell.how) == (before.cell(3, 4).text, "end", "new")
    assert after.health.stale == 0


def test_a_sweep_with_another_grader_is_refused_until_regraded(toy):
    toy.fill(toy.store(), only=lambda i, j: i < 3)
    with pytest.raises(MismatchError, match="sprint-eval regrade"):
        toy.store(grader_version="2")
    regrade_store(toy.folder / "z", regrader, "2")
    store = toy.store(grader_version="2")
    toy.fill(store)  # these are the second grader's own
    outcomes = Outcomes.load(store.folder)
    assert outcomes.complete
    assert outcomes.cell(0, 0).how == "new"
    assert outcomes.cell(5, 0).how == "exact"
    regrade_store(store.folder, regrader, "3")
    prune_store(store.folder)
    assert not list(store.folder.glob("verdicts/*"))
    again = Outcomes.load(store.folder)
    assert (again.z == [[1 - i % 2] * 12 for i in range(6)]).all()
    assert again.cell(5, 0).how == "new"
    assert again.cell(5, 0).text == toy.cell(5, 0).text


def test_a_kill_before_the_verdicts_are_in_force(toy):
    store = toy.store()
    toy.fill(store)
    manifest = (store.folder / "manifest.json").read_bytes()
    regrade_store(store.folder, regrader, "2")
    (store.folder / "manifest.json").write_bytes(manifest)
    assert Outcomes.load(store.folder).cell(0, 0).how == "exact"


# export and summary


def test_export(toy):
    store = toy.store(pool="0-3:*/base")
    toy.fill(store)
    outcomes = Outcomes.load(store.folder)
    assert export_outcomes(outcomes, toy.folder / "z.csv") == CELLS
    with (toy.folder / "z.csv").open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == CELLS
    assert list(rows[0]) == list(FIELDS)
    assert rows[0]["heads"] == "base"
    assert rows[5]["heads"] == "L1H1"
    assert (rows[5]["layer"], rows[5]["head"]) == ("1", "1")
    assert rows[5]["text"] == toy.cell(0, 4).text.replace("\ud800", "?")
    import pyarrow.parquet as pq

    assert export_outcomes(outcomes, toy.folder / "z.parquet") == CELLS
    table = pq.read_table(toy.folder / "z.parquet").to_pylist()
    assert [str(row["correct"]) for row in table] == [row["correct"] for row in rows]
    assert [row["text"] for row in table] == [row["text"] for row in rows]
    with pytest.raises(ArgumentError, match=r"\.parquet or \.csv"):
        export_outcomes(outcomes, toy.folder / "z.xlsx")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_export_of_text_that_utf8_cannot_hold(toy, suffix):
    questions = [
        replace(row, question="bad \ud800", subject="\udfff", key="\ud801") for row in toy.questions(1)
    ]
    store = OutcomeStore(toy.folder / "z", toy.manifest(), questions)
    toy.fill(store)
    assert export_outcomes(Outcomes.load(store.folder), toy.folder / f"z.{suffix}") == 13
    assert b"bad ?" in (toy.folder / f"z.{suffix}").read_bytes()


def test_summary(toy):
    store = toy.store()
    assert "nothing has been decoded yet" in "\n".join(summary_lines("z", Outcomes.load(store.folder)))
    toy.fill(store, only=lambda i, j: i < 4)
    text = "\n".join(summary_lines("z", Outcomes.load(store.folder), subjects=True))
    assert "52 of 78 (66.7%)" in text
    assert "right of 4" in text
    assert "12 head sets: L0H0 L0H1" in text
    assert "sums" in text
