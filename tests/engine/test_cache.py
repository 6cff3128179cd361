"""Memory of blocks that outlive a forward."""

from __future__ import annotations

import mmap
from pathlib import Path

import pytest
import torch

from sprint_eval.engine import cache

STATUS = Path("/proc/self/status")


def test_memory_that_lasts_is_of_the_dtype_and_shape_asked_for() -> None:
    like = torch.zeros(2, dtype=torch.bfloat16)
    found = cache.empty_lasting((3, 5, 7), like)
    assert found.shape == (3, 5, 7)
    assert found.dtype == torch.bfloat16
    assert not found.any(), "new pages are zeros"
    found.fill_(2)
    assert found.float().sum() == 2 * 3 * 5 * 7


@pytest.mark.skipif(not STATUS.exists(), reason="resident memory is told by Linux only")
def test_memory_that_lasts_goes_back_to_the_system_with_its_tensor() -> None:
    def resident() -> int:
        (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith("RssAnon:"))
        return int(line.split()[1]) * 1024

    size = 2**18  # floats; 1 MiB, which the C library may keep when it is freed
    before = resident()
    blocks = [cache.empty_lasting((size,), torch.zeros(0)).fill_(1) for _ in range(64)]
    assert resident() - before > 60 * 2**20
    view = blocks[0][:10]
    del blocks
    assert resident() - before < 8 * 2**20
    assert view.sum() == 10, "a view keeps its block"


def test_a_system_without_memory_is_out_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(mmap, "mmap", refuse)
    with pytest.raises(MemoryError, match="Cannot allocate memory"):
        cache.empty_lasting((4,), torch.zeros(0))
