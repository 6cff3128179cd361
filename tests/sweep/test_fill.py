"""The loop: whole questions, alike ones together, graded by the task, written before the next ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from sprint_eval.engine.request import Generation, Request
from sprint_eval.errors import StoreError
from sprint_eval.heads import HeadLayout, HeadPool, HeadSet
from sprint_eval.outcomes import BASE_COLUMN, Manifest, Outcomes, OutcomeStore, Process, StoredQuestion
from sprint_eval.sweep.fill import Sweeper, alike_together, batches

POOL = HeadPool.parse("*:*", HeadLayout.uniform(2, 3))


@dataclass(frozen=True)
class Verdict:
    correct: bool
    extracted: str | None
    how: str = "exact"
    status: str = "ok"


class Progress:
    def __init__(self) -> None:
        self.seen: list[int] = []

    def decoded(self, cells: int) -> None:
        self.seen.append(cells)


class FakeEngine:
    """Answers with the question's number and the head set; can fail after some calls."""

    def __init__(self, fail_after: int = 1000) -> None:
        self.calls: list[list[Request]] = []
        self.fail_after = fail_after

    def __call__(self, requests: Sequence[Request], progress) -> list[Generation]:
        if len(self.calls) == self.fail_after:
            raise RuntimeError("killed")
        self.calls.append(list(requests))
        progress(len(requests))
        return [Generation((1,) * (r.prompt[0] + 1), f"{r.prompt[0]} {r.heads}", "stop") for r in requests]


def grade(pairs):
    return [Verdict(text.endswith(doc["answer"]), text) for doc, text in pairs]


def make(folder: Path, engine: FakeEngine, questions: int = 5) -> Sweeper:
    rows = [
        StoredQuestion(f"d{i}", f"q{i}", "s", f"k{i}", f"p{i}", {"answer": f"L1H{i % 3}"})
        for i in range(questions)
    ]
    pool = tuple(POOL.names())
    manifest = Manifest("m", "f", "float32", "t", "1", "train", {}, pool, "1")
    store = OutcomeStore(folder, manifest, rows)

    def request(i: int, heads: HeadSet) -> Request:
        return Request((i,), heads, group=i)

    return Sweeper(store, request, engine, grade)


def test_every_cell_is_decoded_graded_and_written(tmp_path):
    engine, progress = FakeEngine(), Progress()
    assert make(tmp_path, engine).fill(Process(), progress, cells_at_once=14) == 5 * 7
    assert [len(call) for call in engine.calls] == [14, 14, 7]
    outcomes = Outcomes.load(tmp_path)
    assert outcomes.complete
    for i in range(5):
        assert [str(POOL[j]) for j in range(6) if outcomes.z[i, j]] == [f"L1H{i % 3}"]
        assert outcomes.cell(i, 2).text == f"{i} L0H2"
        assert outcomes.cell(i, BASE_COLUMN).text == f"{i} base"
        assert (outcomes.tokens[i] == i + 1).all()
    assert progress.seen == [14, 14, 7]


def test_siblings_go_to_the_engine_together_the_base_first(tmp_path):
    engine = FakeEngine()
    make(tmp_path, engine, questions=1).fill(Process(), Progress(), 512)
    [call] = engine.calls
    assert [str(request.heads) for request in call] == ["base", *POOL.names()]
    assert {request.group for request in call} == {0}


def test_what_was_written_before_a_failure_is_not_decoded_again(tmp_path):
    with pytest.raises(RuntimeError):
        make(tmp_path, FakeEngine(fail_after=2)).fill(Process(), Progress(), 7)
    engine = FakeEngine()
    assert make(tmp_path, engine).fill(Process(), Progress(), 7) == 3 * 7
    assert [call[0].prompt[0] for call in engine.calls] == [2, 3, 4]
    assert make(tmp_path, engine).fill(Process(), Progress(), 7) == 0


def test_an_engine_that_loses_answers_is_found_out(tmp_path):
    sweeper = make(tmp_path, lambda requests, progress: [])  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="0 answers to 35 requests"):
        sweeper.fill(Process(), Progress(), 512)
    assert not Outcomes.load(tmp_path).done.any()


def test_questions_that_begin_alike_follow_each_other_within_a_window():
    prompts = [(1, 5), (2, 5), (1, 3), (2, 3), (1, 4)]
    work = [(i, [i]) for i in range(5)]
    assert [i for i, _ in alike_together(work, prompts.__getitem__)] == [2, 4, 0, 3, 1]
    assert [i for i, _ in alike_together(work, prompts.__getitem__, window=2)] == [0, 1, 2, 3, 4]
    assert sorted(alike_together(work, prompts.__getitem__)) == work


def test_batches_hold_whole_questions():
    work = [(i, [0] * size) for i, size in enumerate([3, 3, 9, 1, 1])]
    assert [[i for i, _ in batch] for batch in batches(work, 6)] == [[0, 1], [2], [3, 4]]
    assert list(batches([], 6)) == []
