"""Which heads to prune for which question: SPRINT's router, other selection rules, baselines.

router = train_router(Outcomes.load("runs/z"), RouterConfig(seed=1))
router.save("runs/router")
Router.load("runs/router").rank(["What is 3 + 4?"], n=4)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sprint_eval.routing.baselines import (
    best_single_head,
    cover_order,
    fixed_cover,
    greedy_cover,
    oracle,
    random_heads_draw,
)
from sprint_eval.routing.config import SELECTIONS, RouterConfig
from sprint_eval.routing.embedder import DEFAULT_EMBEDDER, Embedder, SentenceEmbedder
from sprint_eval.routing.router import Choice, Router

if TYPE_CHECKING:
    from sprint_eval.outcomes import Outcomes

__all__ = [
    "DEFAULT_EMBEDDER",
    "SELECTIONS",
    "Choice",
    "Embedder",
    "Router",
    "RouterConfig",
    "SentenceEmbedder",
    "best_single_head",
    "cover_order",
    "fixed_cover",
    "greedy_cover",
    "oracle",
    "random_heads_draw",
    "train_router",
]


def train_router(
    outcomes: Outcomes, config: RouterConfig | None = None, embedder: Embedder | None = None
) -> Router:
    """Train a router: see :func:`sprint_eval.routing.trainer.train_router`."""
    # Training needs torch, routing does not.
    from sprint_eval.routing.trainer import train_router as train

    return train(outcomes, config, embedder)
