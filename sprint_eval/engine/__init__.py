"""Exact decoding of many pruned variants; knows nothing of tasks, routing or lm-eval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sprint_eval.engine.engine import Engine

__all__ = ["Engine"]


def __getattr__(name: str) -> Any:
    """Load the engine, and torch with it, when it is first asked for."""
    if name == "Engine":
        from sprint_eval.engine.engine import Engine

        return Engine
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
