"""An answer's end and its text, beside lm-eval's own ``hf``."""

from __future__ import annotations

import pytest
from toy import CharTokenizer

from sprint_eval.engine.settings import DecodingSettings
from sprint_eval.engine.text import StopChecker, answer_text

END = 2


def ids(text: str) -> list[int]:
    return CharTokenizer().encode(text)


def settings(think_end: int | str | None = None) -> DecodingSettings:
    return DecodingSettings((END,), think_end_token=think_end)


@pytest.mark.parametrize(
    ("tokens", "stop", "text"),
    [
        (ids("abc"), (), "abc"),
        ([*ids("abc"), END], (), "abc"),  # special tokens are not text
        ([*ids("ab"), 1, *ids("c")], (), "abc"),
        (ids("abXYcdXY"), ("XY",), "ab"),  # before the first
        (ids("abXYcdZ"), ("Z", "XY"), "ab"),  # whichever stands first
        (ids("XYab"), ("XY",), ""),
        ([], ("XY",), ""),
    ],
)
def test_text_ends_before_the_first_stop_string(tokens: list[int], stop: tuple[str, ...], text: str) -> None:
    assert answer_text(CharTokenizer(), tokens, stop, settings()) == text


@pytest.mark.parametrize(
    ("think_end", "text"),
    [
        (ids("]")[0], "cd"),  # after the last mark
        ("]", "cd"),
        ("a]", "b]cd"),  # a string may be several tokens
        (ids("z")[0], "[a]b]cd"),  # no mark, all of it
        ("z", "[a]b]cd"),
        (None, "[a]b]cd"),
    ],
)
def test_thinking_is_left_out(think_end: int | str | None, text: str) -> None:
    assert answer_text(CharTokenizer(), ids("[a]b]cd"), (), settings(think_end)) == text


def test_a_stop_string_in_the_thinking_does_not_count() -> None:
    assert answer_text(CharTokenizer(), ids("aXYb]cdXY"), ("XY",), settings("]")) == "cd"


def test_an_answer_ends_with_an_end_token_or_a_stop_string() -> None:
    checker = StopChecker(CharTokenizer(), ("XY", "Z"), settings())
    assert not checker.ended([])
    assert not checker.ended(ids("abX"))
    assert checker.ended(ids("abXY"))
    assert checker.ended(ids("abZ"))
    assert checker.ended([*ids("ab"), END])
    assert checker.first_end(ids("abXYcZ")) == 4
    assert checker.first_end(ids("abXYcZ"), start=5) == 6
    assert checker.first_end(ids("abc")) is None


def test_without_stop_strings_only_end_tokens_end() -> None:
    checker = StopChecker(CharTokenizer(), (), settings())
    assert not checker.ended(ids("abXY"))
    assert checker.ended([END])
