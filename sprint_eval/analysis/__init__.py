"""The head-impact study: what pruning each head does to a model, in tables and plots.

>>> from sprint_eval.analysis import StudyConfig, run_study
>>> from sprint_eval.outcomes import Outcomes
>>> run_study([Outcomes.load("runs/z")], StudyConfig(out="study"))
"""

from __future__ import annotations

from sprint_eval.analysis.impact import Impact, impact_from_csv
from sprint_eval.analysis.study import Study, StudyConfig, run_study

__all__ = ["Impact", "Study", "StudyConfig", "impact_from_csv", "run_study"]
