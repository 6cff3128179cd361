"""SPRINT, Eq. 1 against the formula written out with loops."""

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sprint_eval.routing.loss import head_agreement, routing_term, spread_term, sprint_loss


def naive_loss(queries, heads, z, spread):
    """Eq. 1, term by term, in float64."""
    n, count = z.shape
    first = 0.0
    for i in range(n):
        weights = [torch.exp(-((queries[i] - heads[j]) ** 2).sum()) for j in range(count)]
        solving = [weights[j] for j in range(count) if z[i, j] == 1]
        if solving:
            first = first - torch.log(sum(solving) / sum(weights))
    second = 0.0
    for j in range(count):
        for k in range(j + 1, count):
            s_jk = sum(float(z[i, j] == z[i, k]) for i in range(n)) / n
            second = second + s_jk * ((heads[j] - heads[k]) ** 2).sum()
    return first / n - spread * second


def problem(n=17, count=6, p=5, seed=0, rate=0.4):
    generator = torch.Generator().manual_seed(seed)
    queries = torch.randn(n, p, generator=generator, dtype=torch.float64)
    heads = torch.randn(count, p, generator=generator, dtype=torch.float64)
    z = (torch.rand(n, count, generator=generator) < rate).to(torch.int8)
    z[0], z[1], z[2] = 0, 1, 0  # none solves, all solve, none solves
    return queries.requires_grad_(), heads.requires_grad_(), z


def agreement64(z):
    return head_agreement(z).double()


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("spread", [0.0, 0.01, 3.0])
def test_loss_and_gradient_equal_the_double_loop(seed, spread):
    queries, heads, z = problem(seed=seed)
    expected = naive_loss(queries, heads, z, spread)
    expected_gradients = torch.autograd.grad(expected, (queries, heads))
    found = sprint_loss(queries, heads, z, agreement64(z), spread)
    gradients = torch.autograd.grad(found, (queries, heads))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    for mine, naive in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(mine, naive, rtol=1e-6, atol=1e-7)
    assert max(g.abs().max() for g in gradients) > 1e-2  # the comparison is of something


def test_agreement_counts_the_questions_that_none_solves():
    z = torch.tensor([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]])
    expected = torch.tensor([[1.0, 0.5, 1.0], [0.5, 1.0, 0.5], [1.0, 0.5, 1.0]])
    torch.testing.assert_close(head_agreement(z), expected)


def test_a_question_that_all_solve_contributes_exactly_nothing():
    queries, heads, _ = problem()
    z = torch.ones(len(queries), len(heads))
    loss = routing_term(queries, heads, z)
    assert loss.item() == 0.0
    assert all(g.abs().max() == 0 for g in torch.autograd.grad(loss, (queries, heads)))


def test_unsolved_questions_move_nothing_but_count_in_n():
    queries, heads, z = problem()
    kept = z.any(dim=1)
    assert 0 < kept.sum() < len(z)
    loss = routing_term(queries, heads, z)
    alone = routing_term(queries[kept], heads, z[kept])
    torch.testing.assert_close(loss * len(z), alone * int(kept.sum()))
    gradient = torch.autograd.grad(loss, queries)[0]
    assert torch.isfinite(gradient).all()
    assert gradient[~kept].abs().max() == 0


def test_nothing_solved_gives_a_zero_that_can_be_differentiated():
    queries, heads, z = problem()
    loss = routing_term(queries, heads, torch.zeros_like(z))
    assert loss.item() == 0.0
    assert torch.autograd.grad(loss, queries)[0].abs().max() == 0


def test_far_heads_stay_finite():
    queries, heads, z = problem()
    loss = routing_term(queries * 1e3, heads * 1e3, z)
    assert math.isfinite(loss.item())
    assert all(torch.isfinite(g).all() for g in torch.autograd.grad(loss, (queries, heads)))


def test_spread_of_copies_is_zero_and_grows_with_distance():
    heads = torch.ones(4, 3)
    agreement = torch.ones(4, 4)
    assert abs(spread_term(heads, agreement).item()) < 1e-5
    heads[0] += 1.0
    assert spread_term(heads, agreement).item() == pytest.approx(3 * 3.0, rel=1e-5)


def test_a_large_pool_needs_no_tensor_of_pairs_times_width():
    """J = 1,200 and p = 256: J x J x p floats would be 1.5 GB; no step makes one."""
    heads = torch.randn(1200, 256, requires_grad=True)
    queries = torch.randn(64, 256, requires_grad=True)
    z = (torch.rand(64, 1200) < 0.5).to(torch.int8)
    agreement = head_agreement(z)
    largest = 0

    class Sizes(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            result = func(*args, **(kwargs or {}))
            largest = max([largest, *(t.numel() for t in tree_leaves(result) if isinstance(t, torch.Tensor))])
            return result

    with Sizes():
        sprint_loss(queries, heads, z, agreement, 1e-3).backward()
    assert heads.grad is not None
    assert largest == 1200 * 1200  # the distance of each pair
