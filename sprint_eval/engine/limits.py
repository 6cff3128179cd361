"""How much to do at a time: defaults by device, and what memory there is."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import torch

from sprint_eval.engine.drafts import DraftPolicy
from sprint_eval.engine.scheduler import Limits

_SHARE_OF_FREE = 0.3  # for requests' own tokens; prefixes may take as much again
_UNKNOWN_MEMORY = 4 * 2**30  # bytes, where the system does not say
_NO_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",  # CUDA and MPS errors that come as RuntimeError
    "CUBLAS_STATUS_ALLOC_FAILED",
)
_GROUPS_OF_PROCESS = Path("/proc/self/cgroup")
# Where control groups stand, and their files of the limit, of what is used, and of what that consists of.
_CONTROL_GROUPS = (
    (Path("/sys/fs/cgroup"), "memory.max", "memory.current", "inactive_file"),
    (
        Path("/sys/fs/cgroup/memory"),
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
)


def default_limits(device: torch.device) -> Limits:
    """Sizes that suit a device.

    On a CPU arithmetic decides, and a wrong guess costs what a token costs; but a request's own past is
    read once a forward, so that a likely guess pays. On a GPU weights' traffic decides and guesses
    are nearly free.
    """
    if device.type == "cpu":
        return Limits(512, 64, 192, DraftPolicy(16, 0.5, 3), DraftPolicy(16, 0.25, 2))
    return Limits(4096, 1024, 512, DraftPolicy(16, 0.2, 2), DraftPolicy(24, 0.05, 1))


def default_token_budget(model: Any, segments: int) -> int:
    """Tokens to keep keys, values and hidden states of: as many as memory allows."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    itemsize = torch.empty(0, dtype=model.dtype).element_size()
    widths = int(config.num_hidden_layers) * 2 * int(heads) * int(head_dim) + segments * int(
        config.hidden_size
    )
    per_token = widths * itemsize
    return max(int(_free_memory(model.device) * _SHARE_OF_FREE) // per_token, 1)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory has run out, on any device."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(words in str(error) for words in _NO_MEMORY)


class PeakMemory:
    """The most memory in use since it was made, beyond what was in use then.

    On a GPU what torch has allocated; on Linux the process's resident memory; elsewhere 0.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self._before = int(torch.cuda.memory_allocated(device))
            return
        with contextlib.suppress(OSError):  # else the peak is that of the process's whole life
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        self._before = _status_bytes("/proc/self/status", "VmRSS") or 0

    def used(self) -> int:
        """Bytes."""
        if self._device.type == "cuda":
            peak = int(torch.cuda.max_memory_allocated(self._device))
        else:
            peak = _status_bytes("/proc/self/status", "VmHWM") or 0
        return max(peak - self._before, 0)


def _free_memory(device: torch.device) -> int:
    """Bytes that this process may still take: on a CPU its share, where several run side by side."""
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + int(cached)
    available = _status_bytes("/proc/meminfo", "MemAvailable")
    if available is None:
        return _UNKNOWN_MEMORY
    allowed = [available, *_left_in_control_groups()]
    processes = os.environ.get("LOCAL_WORLD_SIZE", "")
    return min(allowed) // (int(processes) if processes.isdigit() and int(processes) else 1)


def _left_in_control_groups() -> list[int]:
    """Bytes that each limit of a container or a batch job leaves, those around it included.

    Pages of files that nobody has used lately are in a group's use, but given back when memory is asked for.
    """
    left: list[int] = []
    for mount, limit, used, idle in _CONTROL_GROUPS:
        for group in _groups_of_process():
            with contextlib.suppress(OSError, ValueError):  # no such group, or "max"
                folder = mount / group
                most, now = (int((folder / name).read_text(encoding="ascii")) for name in (limit, used))
                left.append(max(most - now + _entry(folder / "memory.stat", idle), 0))
    return left


def _groups_of_process() -> list[str]:
    """Paths below the mount of the control groups that the process is in: its own, and those around them."""
    own = [""]  # the mount itself: in a container it is the container's group, whatever its path outside is
    with contextlib.suppress(OSError):
        lines = _GROUPS_OF_PROCESS.read_text(encoding="utf-8").splitlines()
        own += [line.split(":", 2)[2].strip("/") for line in lines if line.count(":") >= 2]
    return list(dict.fromkeys(str(part) for path in own for part in (Path(path), *Path(path).parents)))


def _entry(path: Path, name: str) -> int:
    """A number of a file of names and numbers; 0 where it does not stand there."""
    with contextlib.suppress(OSError):
        for line in path.read_text(encoding="ascii").splitlines():
            if line.startswith(f"{name} "):
                return int(line.split()[1])
    return 0


def _status_bytes(path: str, name: str) -> int | None:
    """A line such as ``VmRSS:   1234 kB``, in bytes."""
    try:
        for line in Path(path).read_text(encoding="ascii").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None
