"""The LoRA ranks that serving engines take."""

from __future__ import annotations

VLLM_RANKS: tuple[int, ...] = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM's ``max_lora_rank`` may be."""


def vllm_rank(rank: int) -> int | None:
    """The smallest rank of vLLM's list that holds ``rank``; None where none does."""
    return next((allowed for allowed in VLLM_RANKS if allowed >= rank), None)


def padded_rank(rank: int) -> int:
    """``rank`` rounded up to one that vLLM takes; unchanged beyond the largest of those."""
    return vllm_rank(rank) or rank
