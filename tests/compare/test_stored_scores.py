"""Scores come back under exactly what decided them; only what is new is scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from sprint_eval.compare.stored import StoredScorer, score_store
from sprint_eval.scoring import Answer


class Lengths:
    """Scores an answer by its length; remembers what it was asked."""

    name = "lengths"

    def __init__(self) -> None:
        self.asked: list[Answer] = []

    def key(self, answer: Answer) -> Any:
        return answer.prompt, answer.tokens

    def score(self, answers: Sequence[Answer], progress: Callable[[int], None] | None = None) -> list[float]:
        self.asked += answers
        if progress is not None:
            progress(len(answers))
        return [len(answer.tokens) + 1 / 3 for answer in answers]

    def info(self) -> dict[str, Any]:
        return {"scorer": self.name}


def stored(folder: Path, **identity: Any) -> tuple[Lengths, StoredScorer]:
    scorer = Lengths()
    return scorer, StoredScorer(scorer, score_store(folder), {"model": "abc"} | identity)


ANSWERS = [Answer((i % 3, 5), tuple(range(1 + i % 5)), "q", "a") for i in range(12)]


def test_a_second_run_scores_what_is_new(tmp_path: Path) -> None:
    scorer, first = stored(tmp_path)
    wanted = first.score(ANSWERS + ANSWERS[:4])
    assert wanted == [len(answer.tokens) + 1 / 3 for answer in ANSWERS + ANSWERS[:4]]
    assert sorted(map(repr, scorer.asked)) == sorted(map(repr, ANSWERS)), "each once"
    assert scorer.asked == sorted(scorer.asked, key=lambda answer: answer.prompt), "prompts stand together"
    assert first.from_store == 0
    scorer, second = stored(tmp_path)
    new = Answer((9,), (1, 2), "q", "a")
    told: list[int] = []
    assert second.score([new, *ANSWERS], told.append) == [2 + 1 / 3, *wanted[:12]]
    assert scorer.asked == [new]
    assert (second.from_store, sum(told)) == (12, 13)
    assert second.info() == {"scorer": "lengths"}
    assert second.score([]) == []


@pytest.mark.parametrize("identity", [{"model": "other"}, {"dtype": "float16"}])
def test_another_model_scores_anew(identity: dict[str, str], tmp_path: Path) -> None:
    stored(tmp_path)[1].score(ANSWERS)
    scorer, other = stored(tmp_path, **identity)
    other.score(ANSWERS)
    assert len(scorer.asked) == len(ANSWERS)


def test_a_kill_loses_at_most_the_part_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sprint_eval.compare.stored._AT_ONCE", 4)

    class Dies(Lengths):
        def score(self, answers: Sequence[Answer], progress: Any = None) -> list[float]:
            if self.asked:
                raise KeyboardInterrupt
            return super().score(answers, progress)

    with pytest.raises(KeyboardInterrupt):
        StoredScorer(Dies(), score_store(tmp_path), {"model": "abc"}).score(ANSWERS)
    scorer, again = stored(tmp_path)
    again.score(ANSWERS)
    assert 0 < len(scorer.asked) == len(ANSWERS) - again.from_store < len(ANSWERS)


def test_a_line_of_another_kind_is_passed_over(tmp_path: Path) -> None:
    scorer, first = stored(tmp_path)
    first.score(ANSWERS[:1])
    (file,) = tmp_path.iterdir()
    from sprint_eval.outcomes.cells import decode_line, encode_line

    key, _ = decode_line(file.read_bytes().rstrip(b"\n"))
    file.write_bytes(encode_line([key, "no number"]) + encode_line([key, 1, 2]))
    scorer, again = stored(tmp_path)
    assert again.score(ANSWERS[:1]) == [1 + 1 / 3]
    assert scorer.asked == ANSWERS[:1]
