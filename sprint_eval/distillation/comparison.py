"""Is a student as good as its teacher? Paired answers to the same questions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sprint_eval.errors import DataError
from sprint_eval.intervals import widen_certain

_FEWEST = 6  # questions that fall to one side; fewer cannot reach p < 0.05 in an exact test
_DETECTED = 1.96 + 0.8416  # standard errors that are seen at 5 % four times in five


@dataclass(frozen=True)
class PairedComparison:
    """Accuracy of two models on the same questions.

    Attributes:
        questions: how many both answered.
        teacher, student: accuracies.
        difference: student less teacher.
        low, high: 95 % bootstrap interval of the difference over questions; an exact one where all of
            them came out the same.
        only_teacher, only_student: questions that one of them alone answers correctly.
        margin: by how much the student may be worse and still pass.
        p_non_inferior: one-sided p of the score test of "worse by the margin or more" (Tango 1998).
        smallest: the difference that this many questions would show four times in five, at the
            spread seen here; six questions at least.
    """

    questions: int
    teacher: float
    student: float
    difference: float
    low: float
    high: float
    only_teacher: int
    only_student: int
    margin: float
    p_non_inferior: float
    smallest: float

    def verdict(self) -> str:
        """In words: non-inferior, worse, or that the test cannot tell."""
        points = f"{100 * self.margin:g} points"
        # One-sided at half of 5 %: what the lower end of a two-sided 95 % interval says.
        if self.p_non_inferior < 0.025:
            p = "< 0.001" if self.p_non_inferior < 0.001 else f"= {self.p_non_inferior:.3f}"
            return f"not worse by {points} (p {p})"
        if self.high < 0:
            return "worse"
        return (
            f"{self.questions} questions cannot tell: the interval reaches {100 * self.low:.1f} points, and "
            f"only differences of {100 * self.smallest:.1f} points would be seen four times in five"
        )


def compare(
    teacher: Mapping[str, bool],
    student: Mapping[str, bool],
    margin: float = 0.02,
    draws: int = 10_000,
    seed: int = 0,
) -> PairedComparison:
    """Compare verdicts by question; only questions that both have count.

    Raises:
        DataError: no question in common.
    """
    keys = sorted(set(teacher) & set(student))
    if not keys:
        raise DataError("the two models share no question: evaluate them on the same task and split")
    first, second = (np.array([float(verdicts[key]) for key in keys]) for verdicts in (teacher, student))
    differences = second - first
    n = len(keys)
    low, high = _interval(differences, draws, seed)
    only_student, only_teacher = int((differences > 0).sum()), int((differences < 0).sum())
    return PairedComparison(
        questions=n,
        teacher=float(first.mean()),
        student=float(second.mean()),
        difference=float(differences.mean()),
        low=low,
        high=high,
        only_teacher=only_teacher,
        only_student=only_student,
        margin=margin,
        p_non_inferior=non_inferiority_p(only_student, only_teacher, n, margin),
        smallest=_smallest(differences),
    )


def compare_seeds(
    teacher: Mapping[str, bool],
    students: Sequence[Mapping[str, bool]],
    margin: float = 0.02,
    draws: int = 10_000,
    seed: int = 0,
) -> PairedComparison:
    """Compare the mean of several students, trained from other seeds, with their teacher.

    A question's score is the mean over the students, so that questions, not answers, are what the
    interval and the test count; p is of a normal test on the paired differences. Their variance is taken
    for no less than it would be if the mean seen (or 0) were that of all questions but the lost ones,
    so many that the hypothesis holds: few questions that differ would otherwise be certainty. These
    students are taken as they are: how others, of other seeds, would vary is not in the interval. One
    student is compared as :func:`compare` does.

    Returns:
        As :func:`compare`; ``only_teacher`` and ``only_student`` are summed over the students.

    Raises:
        DataError: no question in common.
    """
    if len(students) == 1:
        return compare(teacher, students[0], margin, draws, seed)
    singles = [compare(teacher, student, margin, draws=1) for student in students]
    keys = sorted(set(teacher).intersection(*students))
    if not keys:
        raise DataError("the models share no question: evaluate them on the same task and split")
    first = np.array([float(teacher[key]) for key in keys])
    second = np.array([[float(student[key]) for key in keys] for student in students]).mean(axis=0)
    differences = second - first
    low, high = _interval(differences, draws, seed)
    mean = float(differences.mean())
    return PairedComparison(
        questions=len(keys),
        teacher=float(first.mean()),
        student=float(second.mean()),
        difference=mean,
        low=low,
        high=high,
        only_teacher=sum(single.only_teacher for single in singles),
        only_student=sum(single.only_student for single in singles),
        margin=margin,
        p_non_inferior=_non_inferiority_of_means(differences, margin),
        smallest=_smallest(differences),
    )


def _interval(differences: np.ndarray, draws: int, seed: int) -> tuple[float, float]:
    """95 % bootstrap interval of the mean over questions."""
    n = len(differences)
    rng = np.random.default_rng(seed)
    means = [differences[rng.integers(0, n, n)].mean() for _ in range(draws)]
    ends = np.quantile(means, [0.025, 0.975])
    widen_certain(ends[:1], ends[1:], differences[None], paired=True)
    return float(ends[0]), float(ends[1])


def _smallest(differences: np.ndarray) -> float:
    n = len(differences)
    spread = float(differences.std(ddof=1)) if n > 1 else math.inf
    return min(1.0, max(_DETECTED * spread / math.sqrt(n), _FEWEST / n))


def _non_inferiority_of_means(differences: np.ndarray, margin: float) -> float:
    """One-sided p of "the mean is ``-margin`` or less", from a question's mean difference each."""
    from scipy.stats import norm

    n = len(differences)
    mean = float(differences.mean())
    # Of a share w lost (-1) and the rest at max(mean, 0), where w makes the mean -margin.
    least = (max(mean, 0.0) + margin) * (1 - margin)
    variance = max(float(differences.var(ddof=1)) if n > 1 else 0.0, least)
    above = mean + margin
    return float(norm.sf(above / math.sqrt(variance / n))) if variance else 0.5


def non_inferiority_p(only_new: int, only_old: int, questions: int, margin: float) -> float:
    """One-sided p of "the new one's accuracy is lower by ``margin`` or more" (Tango 1998, score test).

    With q the chance that only the new one is right, and q + margin that only the old one is, q is
    estimated by maximum likelihood under that hypothesis; the difference of the counts is then
    normal with the variance that follows.
    """
    from scipy.optimize import minimize_scalar
    from scipy.stats import norm

    same = questions - only_new - only_old

    def negative_log_likelihood(q: float) -> float:
        value = 0.0
        for count, chance in ((only_new, q), (only_old, q + margin), (same, 1 - 2 * q - margin)):
            value -= count * math.log(max(chance, 1e-300)) if count else 0.0
        return value

    top = (1 - margin) / 2
    q = float(
        minimize_scalar(
            negative_log_likelihood, bounds=(0.0, top), method="bounded", options={"xatol": 1e-12}
        ).x
    )
    variance = (2 * q + margin - margin**2) / questions
    if variance <= 0:  # nothing differs, and nothing may
        return 0.5
    z = ((only_new - only_old) / questions + margin) / math.sqrt(variance)
    return float(norm.sf(z))
