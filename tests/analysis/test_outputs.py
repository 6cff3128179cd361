"""What an answer is beyond right and wrong."""

from __future__ import annotations

import pytest

from sprint_eval.analysis.outputs import count_kinds, is_repeating, kind_of
from sprint_eval.outcomes import Cell


def cell(text: str, correct: bool = False, extracted: str | None = "1", status: str = "ok") -> Cell:
    return Cell(0, 0, text, correct, extracted, "numeric", status, 5, "stop")


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (cell("The answer is 7.", correct=True, extracted="7"), "right"),
        (cell("7 7 7 7 7 7 7 7", correct=True, extracted="7"), "right"),
        (cell(" \n ", extracted=None, status="no_answer"), "empty"),
        (cell("the the the the the the", extracted=None, status="no_answer"), "repeating"),
        (cell("1 + 1 + 1 + 1 + 1 + 1 + 1 + 1"), "repeating"),
        (cell("I do not know that.", extracted=None, status="no_answer"), "malformed"),
        (cell("The answer is 5^5^5^5.", status="timeout"), "malformed"),
        (cell("The answer is 12."), "wrong"),
    ],
)
def test_kinds(given, kind):
    assert kind_of(given) == kind


@pytest.mark.parametrize(
    "text", ["1111", "The answer is 1111111.", "so 3 + 4 = 7, 7 + 2 = 9", "", "abcabcab"]
)
def test_no_loop(text):
    assert not is_repeating(text)


@pytest.mark.parametrize("text", ["no no no no no no", "x" * 20, "Sure! " + "ab cd. " * 10, "哈" * 9])
def test_loops(text):
    assert is_repeating(text)


def test_a_loop_must_be_half_of_the_text():
    story = "This is quite a long beginning that says a lot of different things. "
    assert not is_repeating(story + "so so so so ")
    assert is_repeating(story + "so " * 40)


def test_counts():
    counts = count_kinds([cell("The answer is 1."), cell(""), cell("")])
    assert counts == {"right": 0, "wrong": 1, "malformed": 0, "repeating": 0, "empty": 2}
