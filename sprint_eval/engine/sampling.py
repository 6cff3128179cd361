"""The next token from a row of logits, by the request's own seed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from sprint_eval.engine.request import Sampling

if TYPE_CHECKING:
    from torch import Tensor


def penalize_repetition(logits: Tensor, seen: Sequence[int], penalty: float) -> Tensor:
    """Divide positive and multiply negative logits of tokens already in the text (Keskar et al. 2019).

    In float32 at least, as ``transformers`` does: in half precision a penalty near 1 rounds away.

    Args:
        logits: ``[vocab]``.
        seen: token ids of the prompt and of the answer so far.
    """
    if penalty == 1.0:
        return logits
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    index = torch.tensor(sorted(set(seen)), device=logits.device)
    chosen = logits[index]
    return logits.index_put((index,), torch.where(chosen < 0, chosen * penalty, chosen / penalty))


def choose_token(logits: Tensor, sampling: Sampling, step: int) -> int:
    """The token that follows: the largest logit, or a draw that only seed and step decide.

    A draw inverts the cumulative distribution over token ids, in float64 on the CPU, at one uniform
    number hashed from ``(seed, step)``: the same whatever batch, device or resumed run it happens in,
    but where rounding decides which token is the last that top_k or top_p leaves.

    Args:
        logits: ``[vocab]``, after any repetition penalty.
        step: number of tokens generated before this one.
    """
    if not sampling.do_sample:
        return int(logits.argmax())
    scores = logits.detach().cpu().double() / sampling.temperature
    if not bool(torch.isfinite(scores.max())):  # overflow: nothing can be drawn, and this text is lost alone
        return int(logits.argmax())
    kept = _kept(scores, sampling)
    # Laid out in the order of token ids: in that of scores, two that are equal but for rounding would
    # change places from one batch to another, and the draw would find the other one there.
    cumulative = torch.softmax(scores[kept], dim=-1).cumsum(-1)
    draw = _uniform(sampling.seed, step) * float(cumulative[-1])
    return int(kept[min(int(torch.searchsorted(cumulative, draw, right=True)), len(kept) - 1)])


def _kept(scores: Tensor, sampling: Sampling) -> Tensor:
    """Ids that may be drawn, in ascending order: what top_k leaves, and of that what top_p leaves."""
    order = torch.arange(len(scores))
    if sampling.top_k and sampling.top_k < len(scores):
        least = scores.topk(sampling.top_k).values[-1]
        above, ties = scores > least, (scores == least).nonzero()[:, 0]
        order = torch.cat([above.nonzero()[:, 0], ties[: sampling.top_k - int(above.sum())]])
    if sampling.top_p < 1.0:
        order = order[torch.argsort(scores[order], descending=True, stable=True)]
        # Keep the smallest leading set whose mass reaches top_p, the first token always.
        probabilities = torch.softmax(scores[order], dim=-1)
        order = order[probabilities.cumsum(-1) - probabilities < sampling.top_p]
    return order.sort().values


def stable_seed(*parts: object) -> int:
    """A 63-bit seed from any values with a text form: the same in every process and run."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _uniform(seed: int, step: int) -> float:
    """A number in [0, 1) with 53 random bits."""
    return (stable_seed(seed, step) >> 10) / 2.0**53
