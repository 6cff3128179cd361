"""Outcome matrices on disk: written by a sweep, killed and resumed, read by everyone else."""

from __future__ import annotations

from sprint_eval.outcomes.cells import BASE_COLUMN, Cell
from sprint_eval.outcomes.manifest import Manifest, OutcomeQuestion, StoredQuestion
from sprint_eval.outcomes.matrix import StoreHealth
from sprint_eval.outcomes.reader import Outcomes
from sprint_eval.outcomes.store import OutcomeStore
from sprint_eval.processes import Process

__all__ = [
    "BASE_COLUMN",
    "Cell",
    "Manifest",
    "OutcomeQuestion",
    "OutcomeStore",
    "Outcomes",
    "Process",
    "StoreHealth",
    "StoredQuestion",
]
