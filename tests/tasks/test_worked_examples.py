"""Worked examples: right, and near no question of any part."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from sprint_eval.tasks import load_task

SHARED = Path(__file__).parents[3] / "shared" / "data"


def shingles(text: str) -> set[str]:
    """Pairs of neighbouring characters, numbers masked: two questions with most in common are near-twins."""
    plain = "".join("#" if sign.isdigit() else sign for sign in text.lower() if sign.isalnum())
    return {plain[i : i + 3] for i in range(len(plain) - 2)}


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared data folder")
@pytest.mark.parametrize("name", ["asdiv", "gsm8k", "math23k", "math500"])
def test_no_worked_example_is_a_near_twin_of_any_question(name: str) -> None:
    task = load_task(f"{name}_pass_at_n_fewshot", {"data_dir": str(SHARED)})
    questions = [doc["question"] for part in ("train", "validation", "test") for doc in task.parts.part(part)]
    known = [shingles(question) for question in questions]
    for example in task.fewshot_docs():
        mine = shingles(example["question"])
        nearest = max(range(len(known)), key=lambda i: len(mine & known[i]) / len(mine | known[i]))
        overlap = len(mine & known[nearest]) / len(mine | known[nearest])
        assert overlap < 0.5, (example["question"], questions[nearest])
        verdict = task.grade({"answer": example["worked"].split()[-1].strip(".")}, [example["worked"]])
        assert verdict[0].status == "ok"


def test_worked_examples_of_rg_math_are_in_no_part_and_right() -> None:
    pytest.importorskip("reasoning_gym")
    from sprint_eval.questions import question_hash
    from sprint_eval.tasks.rg_math import KINDS, part_of

    task = load_task("rg_math_pass_at_n_fewshot", {"test_size": 60, "train_size": 60})
    examples = task.fewshot_docs()
    assert Counter(example["subject"] for example in examples) == {kind.subject: 4 for kind in KINDS}
    assert {part_of(question_hash(example["question"])) for example in examples} == {"worked"}
    task.build_all_requests(limit=12, rank=0, world_size=1)
    for instance in task.instances:
        mine = [example for example in examples if example["subject"] == instance.doc["subject"]]
        assert all(example["question"] in instance.args[0] for example in mine)
        assert instance.args[0].count("Question:") == 5
