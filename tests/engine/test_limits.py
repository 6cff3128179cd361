"""What memory there is, and how running out of it is told."""

from __future__ import annotations

import mmap
from pathlib import Path

import pytest
import torch

from sprint_eval.engine import limits

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("shapes cannot be multiplied"), False),
    ],
)
def test_out_of_memory_by_any_name(error: Exception, expected: bool) -> None:
    assert limits.is_out_of_memory(error) is expected


def test_processes_side_by_side_share_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_status_bytes", lambda path, name: 8 << 30)
    monkeypatch.setattr(limits, "_CONTROL_GROUPS", ())
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert limits._free_memory(CPU) == 8 << 30
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert limits._free_memory(CPU) == 2 << 30


def test_a_batch_jobs_own_limit_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(limits, "_status_bytes", lambda path, name: 8 << 30)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    most, now = tmp_path / "memory.max", tmp_path / "memory.current"
    monkeypatch.setattr(limits, "_CONTROL_GROUPS", ((tmp_path, most.name, now.name, "inactive_file"),))
    monkeypatch.setattr(limits, "_GROUPS_OF_PROCESS", tmp_path / "cgroup")
    assert limits._free_memory(CPU) == 8 << 30
    most.write_text(f"{3 << 30}\n", encoding="ascii")
    now.write_text(f"{1 << 30}\n", encoding="ascii")
    assert limits._free_memory(CPU) == 2 << 30
    (tmp_path / "memory.stat").write_text(f"anon 5\ninactive_file {1 << 29}\n", encoding="ascii")
    assert limits._free_memory(CPU) == 5 << 29, "what a file left in memory can be given back"
    most.write_text("max\n", encoding="ascii")
    assert limits._free_memory(CPU) == 8 << 30


@pytest.mark.parametrize("line", ["0::/slurm/job_7/step_0\n", "9:memory:/slurm/job_7/step_0\n1:name=x:/\n"])
def test_the_narrowest_of_nested_limits_counts(
    line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(limits, "_status_bytes", lambda path, name: 8 << 30)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    monkeypatch.setattr(limits, "_CONTROL_GROUPS", ((tmp_path, "most", "now", "idle"),))
    monkeypatch.setattr(limits, "_GROUPS_OF_PROCESS", tmp_path / "cgroup")
    (tmp_path / "cgroup").write_text(line, encoding="ascii")
    for path, gigabytes in (("", 7), ("slurm/job_7", 3), ("slurm/job_7/step_0", 5)):
        folder = tmp_path / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "most").write_text(f"{gigabytes << 30}\n", encoding="ascii")
        (folder / "now").write_text(f"{1 << 30}\n", encoding="ascii")
    assert limits._free_memory(CPU) == 2 << 30


def test_the_peak_is_that_of_its_own_time() -> None:
    if limits._status_bytes("/proc/self/status", "VmHWM") is None:
        pytest.skip("this system does not tell a process's peak memory")
    _touch(256)  # a peak that was before
    memory = limits.PeakMemory(CPU)
    _touch(128)
    assert (100 << 20) < memory.used() < (200 << 20)


def _touch(megabytes: int) -> None:
    """Use memory for a moment: straight from the system, for the heap may hold that much already."""
    with mmap.mmap(-1, megabytes << 20) as block:
        for start in range(0, len(block), mmap.PAGESIZE):
            block[start] = 1
