"""Draws by a seed: from the right distribution, and untouched by rounding."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sprint_eval.compare.stored import FORMAT
from sprint_eval.engine.request import Sampling
from sprint_eval.engine.sampling import choose_token, penalize_repetition

LOGITS = torch.tensor([0.5, 2.0, -1.0, 2.0, 1.0, 0.0])


def allowed(sampling: Sampling) -> set[int]:
    """What transformers' warpers leave, written out."""
    scores = LOGITS.double() / sampling.temperature
    order = sorted(range(len(scores)), key=lambda i: (-float(scores[i]), i))
    if sampling.top_k:
        order = order[: sampling.top_k]
    probabilities = torch.softmax(scores[order], dim=-1).tolist()
    before = [sum(probabilities[:i]) for i in range(len(order))]
    return {token for token, mass in zip(order, before, strict=True) if mass < sampling.top_p}


@pytest.mark.parametrize(("top_k", "top_p"), [(0, 1.0), (3, 1.0), (1, 1.0), (0, 0.6), (4, 0.9), (50, 0.2)])
def test_draws_follow_the_softmax_of_what_is_left(top_k: int, top_p: float) -> None:
    draws = 4000
    found = Counter(
        choose_token(LOGITS, Sampling(True, 0.8, top_k=top_k, top_p=top_p, seed=seed), 3)
        for seed in range(draws)
    )
    left = sorted(allowed(Sampling(True, 0.8, top_k=top_k, top_p=top_p)))
    assert set(found) <= set(left)
    expected = torch.softmax(LOGITS[left].double() / 0.8, dim=-1)
    for token, probability in zip(left, expected.tolist(), strict=True):
        assert found[token] / draws == pytest.approx(probability, abs=0.03)


@given(st.integers(0, 2**31), st.integers(0, 5))
def test_rounding_that_reorders_equals_changes_no_draw(seed: int, step: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(200, generator=generator).round(decimals=1)  # many equal ones
    noise = 1e-7 * torch.randn(200, generator=generator)
    sampling = Sampling(True, 1.3, seed=seed)
    assert choose_token(logits.double(), sampling, step) == choose_token(
        logits.double() + noise, sampling, step
    )


@pytest.mark.parametrize(("top_k", "top_p"), [(0, 1.0), (3, 1.0), (0, 0.6), (4, 0.9)])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_logits_that_are_not_finite_still_give_a_token(value: float, top_k: int, top_p: float) -> None:
    sampling = Sampling(True, 1.0, top_k=top_k, top_p=top_p)
    for logits in (torch.full((6,), value), torch.tensor([1.0, value, 0.0, value, 2.0, 0.5])):
        assert 0 <= choose_token(logits, sampling, 0) < 6


def test_a_penalty_near_one_is_not_rounded_away() -> None:
    logits = torch.tensor([9.5, 10.0], dtype=torch.bfloat16)
    assert choose_token(penalize_repetition(logits, [1], 1.05), Sampling(), 0) == 1
    logits = torch.tensor([9.56, 10.0], dtype=torch.bfloat16)
    assert float(penalize_repetition(logits, [1], 1.05)[1]) == pytest.approx(10 / 1.05)


def test_draws_are_those_that_stores_were_filled_with() -> None:
    """Whoever changes them raises ``sprint_eval.compare.stored.FORMAT``, and these numbers."""
    sampling = [Sampling(True, 0.8, top_k=4, top_p=0.95, seed=seed) for seed in range(12)]
    drawn = [choose_token(LOGITS, s, step) for step, s in enumerate(sampling)]
    assert (FORMAT, drawn) == (2, [3, 3, 3, 1, 1, 1, 3, 3, 3, 3, 1, 4])
