"""When two questions are the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sprint_eval.questions import mask_numbers, masked_question_hash, question_hash


def test_numbers_are_masked_in_all_their_forms() -> None:
    twins = [
        "Tom has 3 apples and eats 1,200.",
        "tom has 45 apples and eats 3/8",
        "Tom  has 4.5 apples, and eats 80% .",
        "Tom has (3/8) apples and eats ９９.",
    ]
    assert len({masked_question_hash(text) for text in twins}) == 1
    assert len({question_hash(text) for text in twins}) == 4
    assert mask_numbers(twins[0]) == "tom has # apples and eats #"


def test_signs_tell_generated_questions_apart() -> None:
    assert question_hash("3 + 4 =") != question_hash("3 * 4 =")
    assert question_hash("What is  3 + 4?") == question_hash("what is 3 + 4?")


def test_chinese_text_is_masked_too() -> None:
    assert masked_question_hash("图书馆有科技书400本，比故事书少(3/8)") == masked_question_hash(
        "图书馆有科技书25本,比故事书少80%"
    )


@given(st.text())
def test_any_text_has_both_hashes(text: str) -> None:
    assert len(question_hash(text)) == len(masked_question_hash(text)) == 16


def test_half_of_a_surrogate_pair_has_a_hash_too() -> None:
    """JSON may spell it, and what is read is anybody's."""
    assert question_hash("a \ud800") != question_hash("a \udfff")
    assert len(masked_question_hash("a \ud800 7")) == 16
