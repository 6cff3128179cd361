"""rg_math: seeded, disjoint at any size and seed, kinds equal, no network."""

from __future__ import annotations

import socket
from collections import Counter

import pytest

from sprint_eval.errors import DataError
from sprint_eval.grading import default_grader
from sprint_eval.questions import question_hash
from sprint_eval.tasks import load_task
from sprint_eval.tasks.options import TaskOptions
from sprint_eval.tasks.rg_math import KINDS, load_parts, part_of

pytest.importorskip("reasoning_gym")


def keys(docs: list[dict]) -> set[str]:
    return {doc["question_key"] for doc in docs}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("rg_math opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_default_sizes_kinds_and_fields() -> None:
    parts = load_parts(TaskOptions())
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (1080, 120, 480)
    assert len(KINDS) >= 6
    for name in ("train", "validation", "test"):
        counts = Counter(doc["subject"] for doc in parts.part(name))
        assert len(counts) == len(KINDS)
        assert max(counts.values()) - min(counts.values()) <= 1
    for doc in parts.test:
        assert set(doc) == {"question", "answer", "subject", "question_key"}
        assert doc["question_key"] == question_hash(doc["question"])
        assert "final answer" not in doc["question"]
        int(doc["answer"])
    # kinds stand side by side, so that a short limit meets them all
    assert len({doc["subject"] for doc in parts.test[: 2 * len(KINDS)]}) == len(KINDS)


def test_parts_are_disjoint_whatever_seed_and_size() -> None:
    one = load_parts(TaskOptions(rg_seed=1, train_size=1500, test_size=60))
    other = load_parts(TaskOptions(rg_seed=2, train_size=60, test_size=2400))
    assert not (keys(one.train) | keys(one.validation)) & keys(other.test)
    assert not keys(one.train) & keys(other.validation)
    assert all(part_of(doc["question_key"]) == "train" for doc in one.train)


def test_a_smaller_test_is_part_of_a_larger_one_and_seeds_differ() -> None:
    small, large = load_parts(TaskOptions(test_size=60)), load_parts(TaskOptions(test_size=2000))
    assert len(keys(large.test)) == 2000
    assert keys(small.test) < keys(large.test)
    assert load_parts(TaskOptions(test_size=60)).test == small.test
    assert keys(load_parts(TaskOptions(test_size=60, rg_seed=1)).test) != keys(small.test)


def test_kinds_that_run_out_of_training_questions_are_made_up_for_by_others() -> None:
    parts = load_parts(TaskOptions(train_size=5000, test_size=60))
    assert len(parts.train) + len(parts.validation) == 5000
    assert len(keys(parts.train) | keys(parts.validation)) == 5000


@pytest.mark.parametrize("sizes", [{"test_size": 50_000}, {"train_size": 500_000}])
def test_more_questions_than_there_are_is_an_error_with_the_most(sizes: dict[str, int]) -> None:
    with pytest.raises(DataError, match=r"rg_math: .* has only \d+ different .* at most \d+ .* lower t"):
        load_parts(TaskOptions(**sizes))


@pytest.mark.parametrize("name", ["rg_math_pass_at_n", "rg_math_pass_at_n_fewshot"])
def test_a_validation_of_none_is_refused_where_it_is_asked_for(name: str) -> None:
    with pytest.raises(DataError, match="train_size=9 leaves no validation question: raise train_size to 10"):
        load_task(name, {"train_size": 9}, split="validation")
    assert len(load_task(name, {"train_size": 9, "test_size": 6}, split="train").eval_docs) == 9
    assert len(load_task(name, {"train_size": 10, "test_size": 6}, split="validation").eval_docs) == 1


def test_golds_are_right_under_our_grader() -> None:
    parts = load_parts(TaskOptions(test_size=120))
    pairs = [(f"The answer is {doc['answer']}.", doc["answer"]) for doc in parts.test]
    assert all(verdict.correct for verdict in default_grader().grade(pairs))
