"""The sweep: every question with every head set of a pool, into an outcome store.

>>> from sprint_eval.sweep import SweepConfig, run_sweep
>>> run_sweep(SweepConfig(model="smollm2-135m-instruct", task="rg_math_pass_at_n", layers="5/10", out="z"))
"""

from __future__ import annotations

from sprint_eval.sweep.config import SweepConfig
from sprint_eval.sweep.run import dry_run, run_sweep

__all__ = ["SweepConfig", "dry_run", "run_sweep"]
