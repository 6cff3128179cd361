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

    Args:
        logits: ``[vocab]``.
        seen: token ids of the prompt and of the answer so far.
    """
    if penalty == 1.0:
        return logits
    index = torch.tensor(sorted(set(seen)), device=logits.device)
    chosen = logits[index]
    return logits.index_put((index,), torch.where(chosen < 0, chosen * penalty, chosen / penalty))


def choose_token(logits: Tensor, sampling: Sampling, step: int) -> int:
    """The token that follows: the largest logit, or a draw that only seed and step decide.

    A draw inverts the cumulative distribution, in float64 on the CPU, at one uniform number
    hashed from ``(seed, step)``: the same whatever batch, device or resumed run it happens in.

    Args:
        logits: ``[vocab]``, after any repetition penalty.
        step: number of tokens generated before this one.
    """
    if not sampling.do_sample:
        return int(logits.argmax())
    scores = logits.detach().double().cpu() / sampling.temperature
    order = torch.argsort(scores, descending=True, stable=True)
    if sampling.top_k:
        order = order[: sampling.top_k]
    probabilities = torch.softmax(scores[order], dim=-1)
    if sampling.top_p < 1.0:
        # Keep the smallest leading set whose mass reaches top_p, the first token always.
        before = probabilities.cumsum(-1) - probabilities
        order, probabilities = order[before < sampling.top_p], probabilities[before < sampling.top_p]
    cumulative = probabilities.cumsum(-1)
    draw = _uniform(sampling.seed, step) * float(cumulative[-1])
    return int(order[min(int(torch.searchsorted(cumulative, draw, right=True)), len(order) - 1)])


def stable_seed(*parts: object) -> int:
    """A 63-bit seed from any values with a text form: the same in every process and run."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _uniform(seed: int, step: int) -> float:
    """A number in [0, 1) with 53 random bits."""
    return (stable_seed(seed, step) >> 10) / 2.0**53
