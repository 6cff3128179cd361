"""Paired comparison of student and teacher."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from sprint_eval.distillation.comparison import compare, compare_seeds, non_inferiority_p
from sprint_eval.errors import DataError
from sprint_eval.intervals import exact_difference


def test_score_test_on_tangos_example():
    # Tango 1998, section 5: 44 pairs, none won by the new treatment alone, one by the old; margin 0.1.
    assert norm.isf(non_inferiority_p(0, 1, 44, 0.1)) == pytest.approx(1.709, abs=1e-3)


def test_p_is_about_right_at_the_edge():
    import numpy as np

    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        counts = rng.multinomial(800, [0.10, 0.12, 0.78])  # exactly 2 points worse
        hits += non_inferiority_p(int(counts[0]), int(counts[1]), 800, 0.02) < 0.05
    assert 0.02 < hits / 400 < 0.09


def test_compare_counts_questions_both_have():
    teacher = {str(i): i % 2 == 0 for i in range(10)}
    student = {str(i): i % 3 == 0 for i in range(1, 12)}
    result = compare(teacher, student)
    assert result.questions == 9
    assert result.teacher == pytest.approx(4 / 9)
    assert result.student == pytest.approx(3 / 9)
    assert (result.only_teacher, result.only_student) == (3, 2)
    assert result.low <= result.difference <= result.high
    assert "9 questions cannot tell" in result.verdict()


def test_seeds_are_averaged_question_by_question():
    teacher = {str(i): i % 2 == 0 for i in range(200)}
    students = [{str(i): (i + seed) % 4 == 0 for i in range(200)} for seed in range(3)]
    result = compare_seeds(teacher, students)
    differences = [
        sum(float(student[str(i)]) for student in students) / 3 - float(teacher[str(i)]) for i in range(200)
    ]
    mean = sum(differences) / 200
    error = (sum((d - mean) ** 2 for d in differences) / 199 / 200) ** 0.5
    assert result.questions == 200
    assert (result.teacher, result.student) == (0.5, pytest.approx(0.25))
    assert result.difference == pytest.approx(mean) == pytest.approx(-0.25)
    assert result.p_non_inferior == pytest.approx(norm.sf((mean + 0.02) / error))
    assert result.low == pytest.approx(mean - 1.96 * error, abs=0.01)
    assert result.high == pytest.approx(mean + 1.96 * error, abs=0.01)
    assert (result.only_teacher, result.only_student) == (50 + 100 + 50, 0 + 50 + 0)
    assert result.verdict() == "worse"
    assert compare_seeds(teacher, students[:1]) == compare(teacher, students[0])
    with pytest.raises(DataError, match="share no question"):
        compare_seeds(teacher, [students[0], {"x": True}])


@pytest.mark.parametrize("questions", [5, 40])
def test_few_questions_without_a_difference_are_no_proof(questions: int) -> None:
    teacher = {str(i): i % 2 == 0 for i in range(questions)}
    one, several = compare(teacher, teacher), compare_seeds(teacher, [teacher, teacher])
    assert several.p_non_inferior == pytest.approx(one.p_non_inferior, abs=0.02)
    assert one.p_non_inferior > 0.1
    for found in (one, several):
        assert (found.low, found.high) == exact_difference(0, 0, questions)
        assert found.smallest == pytest.approx(min(1, 6 / questions))
        assert f"{questions} questions cannot tell" in found.verdict()
    assert compare(teacher, teacher, margin=0.0).p_non_inferior == 0.5
    assert compare_seeds(teacher, [teacher, teacher], margin=0.0).p_non_inferior == 0.5


@pytest.mark.parametrize("questions", [1, 5])
def test_few_questions_with_the_same_share_are_no_proof(questions: int) -> None:
    teacher = dict.fromkeys(map(str, range(questions)), False)
    won = dict.fromkeys(teacher, True)
    found = compare_seeds(teacher, [teacher, teacher, won])
    assert found.difference == pytest.approx(1 / 3)
    assert found.low < -0.02 < found.difference < found.high
    assert "cannot tell" in found.verdict()


def test_students_that_lose_by_the_margin_pass_in_few_studies() -> None:
    """Three students that lose the same questions and gain none: where a spread tells least."""
    rng = np.random.default_rng(0)
    passed = 0
    for _ in range(400):
        lost = rng.random(300) < 0.02
        teacher = dict.fromkeys(map(str, range(300)), True)
        student = {str(i): not bad for i, bad in enumerate(lost)}
        passed += compare_seeds(teacher, [student] * 3, draws=1).p_non_inferior < 0.025
    assert passed / 400 < 0.05


def test_verdicts():
    same = {str(i): i % 2 == 0 for i in range(2000)}
    assert compare(same, same).verdict() == "not worse by 2 points (p < 0.001)"
    worse = {key: value and int(key) % 4 == 0 for key, value in same.items()}
    assert compare(same, worse).verdict() == "worse"
    with pytest.raises(DataError, match="share no question"):
        compare(same, {"x": True})
