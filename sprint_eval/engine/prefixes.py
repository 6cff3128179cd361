"""Which prompts begin alike: their common tokens are computed once a head set.

Tokens are compared, not text: a tokenizer merges across the seam of two texts, and answers change
when it is not let to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

SHORTEST = 8  # tokens; less is not worth a prefix of its own


def common_prefixes(prompts: Iterable[Sequence[int]]) -> dict[tuple[int, ...], int]:
    """For each distinct prompt, how many leading tokens it shares with its neighbours in order.

    At least one token of each prompt stays out of its prefix. Prompts with the same number share
    the same tokens or stand in different clusters.
    """
    ordered = sorted({tuple(prompt) for prompt in prompts})
    lengths: dict[tuple[int, ...], int] = {}
    cluster: list[tuple[int, ...]] = []
    shared = 0
    for prompt in ordered:
        if cluster:
            common = min(shared, agreed(cluster[-1], prompt), len(prompt) - 1)
            if common >= max(SHORTEST, shared // 2) or _alike(cluster, common):
                cluster.append(prompt)
                shared = common
                continue
            lengths.update(dict.fromkeys(cluster, shared))
        cluster, shared = [prompt], len(prompt) - 1
    lengths.update(dict.fromkeys(cluster, shared))
    return {prompt: length if length >= SHORTEST else 0 for prompt, length in lengths.items()}


def _alike(cluster: list[tuple[int, ...]], common: int) -> bool:
    """A cluster of one is not settled yet: its prefix is all of its prompt."""
    return len(cluster) == 1 and common >= SHORTEST


def agreed(one: Sequence[int], other: Sequence[int]) -> int:
    """Number of leading tokens that two prompts share."""
    for length, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return length
    return min(len(one), len(other))
