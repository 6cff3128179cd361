"""Parts share no question; their order is fixed, shuffled, and fair at any length."""

from __future__ import annotations

import logging
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sprint_eval.questions import masked_question_hash
from sprint_eval.tasks.documents import divide, fingerprint, interleave


def doc(question: str, subject: str = "s", answer: str = "1") -> dict:
    key = masked_question_hash(question)
    return {"question": question, "answer": answer, "subject": subject, "question_key": key}


def words(count: int, start: int = 0) -> list[str]:
    """Questions of different words, so that none is another's twin."""
    letters = "abcdefghij"
    return [
        "w" + "".join(letters[int(digit)] for digit in str(i)) + " has 3 hats"
        for i in range(start, start + count)
    ]


def test_training_questions_that_are_test_questions_up_to_numbers_are_dropped_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    train = [doc("Ann has 3 hats."), doc("Ann has 4 hats"), doc("Bob has 3 hats."), doc("BOB  has 3 hats.")]
    with caplog.at_level(logging.WARNING):
        parts = divide(train, [doc("Ann has 1,200 hats.")], "local", "toy counted")
        divide(train, [doc("Ann has 1,200 hats.")], "local", "toy counted")
    assert [d["question"] for d in parts.train + parts.validation] == ["Bob has 3 hats."]
    assert (parts.twins, parts.repeats) == (2, 1)
    said = [record.message for record in caplog.records if "toy counted" in record.message]
    assert len(said) == 1
    assert "2 of 3 training questions dropped" in said[0]


def test_parts_are_disjoint_by_key_and_validation_is_about_a_tenth() -> None:
    parts = divide(map(doc, words(1000)), map(doc, words(200, 900)), "local", "toy")
    keys = [{d["question_key"] for d in parts.part(name)} for name in ("train", "validation", "test")]
    assert not keys[0] & keys[1] | keys[0] & keys[2] | keys[1] & keys[2]
    assert parts.twins == 100
    assert 50 <= len(parts.validation) <= 130
    assert len(parts.train) + len(parts.validation) == 900


@given(st.integers(1, 300), st.randoms(use_true_random=False))
def test_the_order_does_not_depend_on_the_order_of_the_file(count: int, rnd: random.Random) -> None:
    docs = [doc(question, subject=f"kind {index % 3}") for index, question in enumerate(words(count))]
    shuffled = docs.copy()
    rnd.shuffle(shuffled)
    assert interleave(shuffled) == interleave(docs)
    assert fingerprint(interleave(shuffled)) == fingerprint(interleave(docs))


def test_the_first_documents_are_a_fair_sample_of_the_kinds() -> None:
    docs = [
        doc(question, subject="big" if index < 300 else "small") for index, question in enumerate(words(400))
    ]
    ordered = interleave(docs)
    for k in (20, 40, 100, 200):
        assert abs(Counter(d["subject"] for d in ordered[:k])["big"] - 0.75 * k) <= 1.5
    # shuffled within a kind: the file's order is gone
    assert [d["question"] for d in ordered if d["subject"] == "big"] != words(300)


def test_the_fingerprint_names_questions_and_answers() -> None:
    assert fingerprint([doc("a b")]) != fingerprint([doc("a c")])
    assert fingerprint([doc("a b", answer="1")]) != fingerprint([doc("a b", answer="2")])
