"""The models that lm-evaluation-harness runs, and the table that registers them.

Importing this module loads neither torch nor lm_eval: targets are resolved when lm-eval asks for one.
"""

from __future__ import annotations

MODELS: dict[str, str] = {
    "pruned-head": "sprint_eval.model_wrappers.pruned_head:PrunedHeadLM",
    "sprint-router": "sprint_eval.model_wrappers.sprint_router:SprintRouterLM",
    "random-heads": "sprint_eval.model_wrappers.random_heads:RandomHeadsLM",
    "distilled-pruned": "sprint_eval.model_wrappers.distilled_pruned:DistilledPrunedLM",
}
"""Name for ``lm_eval --model`` → ``module:class``."""

__all__ = ["MODELS"]
