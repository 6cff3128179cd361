"""How much to do at a time: defaults by device, and what memory there is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from sprint_eval.engine.drafts import DraftPolicy
from sprint_eval.engine.scheduler import Limits

_SHARE_OF_FREE = 0.5
_UNKNOWN_MEMORY = 4 * 2**30  # bytes, where the system does not say


def default_limits(device: torch.device, batch_size: int | None = None) -> Limits:
    """Sizes that suit a device.

    On a CPU arithmetic decides, and a wrong guess costs what a token costs; but a request's own past is
    read once a forward, so that a likely guess pays. On a GPU weights' traffic decides and guesses
    are nearly free.
    """
    if device.type == "cpu":
        limits = Limits(512, 64, 192, DraftPolicy(16, 0.5, 3), DraftPolicy(16, 0.25, 2))
    else:
        limits = Limits(4096, 1024, 512, DraftPolicy(16, 0.2, 2), DraftPolicy(24, 0.05, 1))
    if batch_size is None:
        return limits
    return Limits(limits.step_tokens, limits.thin_tokens, batch_size, limits.drafts, limits.thin_drafts)


def default_token_budget(model: Any, wanted: int, segments: int) -> int:
    """Tokens to keep keys, values and hidden states of: as many as are wanted, or as memory allows."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    itemsize = torch.empty(0, dtype=model.dtype).element_size()
    widths = int(config.num_hidden_layers) * 2 * int(heads) * int(head_dim) + segments * int(
        config.hidden_size
    )
    per_token = widths * itemsize
    return max(min(wanted, int(_free_memory(model.device) * _SHARE_OF_FREE) // per_token), 1)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory has run out, on any device."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return "can't allocate memory" in str(error) or "not enough memory" in str(error)


def memory_in_use(device: torch.device, peak: bool = False) -> int:
    """Bytes allocated on a GPU, now or at the peak so far; the process's resident bytes on a CPU."""
    if device.type == "cuda":
        used = torch.cuda.max_memory_allocated(device) if peak else torch.cuda.memory_allocated(device)
        return int(used)
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _free_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        return int(os.sysconf("SC_AVPHYS_PAGES")) * int(os.sysconf("SC_PAGE_SIZE"))
    except (ValueError, OSError):
        return _UNKNOWN_MEMORY
