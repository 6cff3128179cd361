"""Grading of answers: extraction, equivalence, and isolation from answers that hang a comparison.

>>> from sprint_eval.grading import Grader
>>> Grader().grade([("so it is \\\\boxed{24}.", "24")])[0].correct
True
"""

from sprint_eval.grading.extract import extract_answer
from sprint_eval.grading.grader import Grader, canonical, default_grader
from sprint_eval.grading.verdict import GRADER_VERSION, Verdict

__all__ = ["GRADER_VERSION", "Grader", "Verdict", "canonical", "default_grader", "extract_answer"]
