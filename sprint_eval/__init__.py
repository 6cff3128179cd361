"""sprint-eval: attention-head pruning for lm-evaluation-harness.

The names below are the Python API. Each is imported when it is first used, so ``import sprint_eval`` costs
nothing: this module is loaded at every start of Python (see ``_hook.py``).
"""

__version__ = "0.1.0"

TYPE_CHECKING = False  # type checkers take this name for true; importing typing would cost every start
if TYPE_CHECKING:
    from typing import Any

    from sprint_eval.architectures import attention_layout
    from sprint_eval.candidate import Candidate, facts_of
    from sprint_eval.errors import SprintError
    from sprint_eval.export import export_dense, export_heads
    from sprint_eval.fingerprint import model_fingerprint
    from sprint_eval.grading import Grader, Verdict
    from sprint_eval.heads import Head, HeadLayout, HeadPool, HeadSet
    from sprint_eval.masking import HeadMasker
    from sprint_eval.models import resolve_embedder_path, resolve_model_path
    from sprint_eval.outcomes import Outcomes
    from sprint_eval.passk import majority_vote, pass_at_k, pass_at_k_unbiased
    from sprint_eval.routing import Router, RouterConfig, greedy_cover, random_heads_draw, train_router
    from sprint_eval.sweep import SweepConfig, run_sweep

_HOMES = {
    "architectures": ("attention_layout",),
    "candidate": ("Candidate", "facts_of"),
    "errors": ("SprintError",),
    "export": ("export_dense", "export_heads"),
    "fingerprint": ("model_fingerprint",),
    "grading": ("Grader", "Verdict"),
    "heads": ("Head", "HeadLayout", "HeadPool", "HeadSet"),
    "masking": ("HeadMasker",),
    "models": ("resolve_embedder_path", "resolve_model_path"),
    "outcomes": ("Outcomes",),
    "passk": ("majority_vote", "pass_at_k", "pass_at_k_unbiased"),
    "routing": ("Router", "RouterConfig", "greedy_cover", "random_heads_draw", "train_router"),
    "sweep": ("SweepConfig", "run_sweep"),
}

__all__ = [  # noqa: RUF022 (by module, as above)
    "__version__",
    "attention_layout",
    "Candidate",
    "facts_of",
    "SprintError",
    "export_dense",
    "export_heads",
    "model_fingerprint",
    "Grader",
    "Verdict",
    "Head",
    "HeadLayout",
    "HeadPool",
    "HeadSet",
    "HeadMasker",
    "resolve_embedder_path",
    "resolve_model_path",
    "Outcomes",
    "majority_vote",
    "pass_at_k",
    "pass_at_k_unbiased",
    "Router",
    "RouterConfig",
    "greedy_cover",
    "random_heads_draw",
    "train_router",
    "SweepConfig",
    "run_sweep",
]


def __getattr__(name: str) -> "Any":
    for module, names in _HOMES.items():
        if name in names:
            from importlib import import_module

            value = getattr(import_module(f"sprint_eval.{module}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'sprint_eval' has no attribute {name!r}")


def __dir__() -> "list[str]":
    return sorted({*globals(), *__all__})
