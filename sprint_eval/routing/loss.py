"""The router's training loss: SPRINT, Eq. 1."""

from __future__ import annotations

import torch
from torch import Tensor


def head_agreement(z: Tensor) -> Tensor:
    """``s_jk = (1/n) Σ_i 1(z_ij = z_ik)``: how often two heads have the same outcome.

    Every question counts, those that no head solves included. Two products of J x J replace the
    comparison of all pairs: the questions that both solve plus those that neither solves.

    Args:
        z: outcomes, 0 or 1, ``[n, J]``.

    Returns:
        ``[J, J]``, symmetric, ones on the diagonal.
    """
    solved = z.to(torch.float32)
    failed = 1.0 - solved
    return (solved.T @ solved + failed.T @ failed) / z.shape[0]


def routing_term(queries: Tensor, heads: Tensor, z: Tensor) -> Tensor:
    """The first term of SPRINT, Eq. 1: minus the log of the softmax mass on the heads that solve x_i.

    ::

        (1/n) Σ_i −log( Σ_{j∈M_i+} exp(−‖q_i−v_j‖²) / Σ_j exp(−‖q_i−v_j‖²) ),   M_i+ = {j : z_ij = 1}

    A question that no head solves has no such mass and is left out of the sum (n still counts it);
    one that every head solves contributes exactly 0. ``‖q_i‖²`` is the same for every head and
    cancels between numerator and denominator, so it is never computed.

    Args:
        queries: ``q_i``, ``[n, p]``.
        heads: ``v_j``, ``[J, p]``.
        z: outcomes, 0 or 1, ``[n, J]``.

    Returns:
        A scalar, at least 0; 0 where no question is solved.
    """
    solved = z.bool()
    solvable = solved.any(dim=1)
    if not bool(solvable.any()):
        return queries.sum() * 0.0
    solved, chosen = solved[solvable], queries[solvable]
    logits = torch.addmm(-heads.square().sum(dim=1), chosen, heads.T, alpha=2.0)  # [solvable, J]
    everything = torch.logsumexp(logits, dim=1)
    right = torch.logsumexp(logits.masked_fill(~solved, -torch.inf), dim=1)
    return (everything - right).sum() / z.shape[0]


def spread_term(heads: Tensor, agreement: Tensor) -> Tensor:
    """The sum in the second term of SPRINT, Eq. 1: ``Σ_{j<k} s_jk ‖v_j−v_k‖²``.

    With ``‖v_j−v_k‖² = ‖v_j‖² + ‖v_k‖² − 2 v_j·v_k`` and a symmetric s it is
    ``Σ_j (Σ_k s_jk) ‖v_j‖² − Σ_jk s_jk v_j·v_k``: nothing larger than J x J or J x p is held.

    Args:
        heads: ``v_j``, ``[J, p]``.
        agreement: ``s_jk``, symmetric, ``[J, J]``.

    Returns:
        A scalar, at least 0.
    """
    return (agreement.sum(dim=1) * heads.square().sum(dim=1)).sum() - (heads * (agreement @ heads)).sum()


def sprint_loss(queries: Tensor, heads: Tensor, z: Tensor, agreement: Tensor, spread: float) -> Tensor:
    """SPRINT, Eq. 1: the routing term minus ``λ Σ_{j<k} s_jk ‖v_j−v_k‖²``.

    The first term pulls a question towards the heads that solve it; the second pushes apart heads
    whose outcomes agree, so that the nearest few are not copies of one another. The second has no
    lower bound in ``heads``: the trainer keeps every ``v_j`` within a ball (:mod:`sprint_eval.routing.fit`).

    Args:
        queries: ``q_i = θ φ(x_i)``, ``[n, p]``.
        heads: ``v_j``, ``[J, p]``.
        z: outcomes, 0 or 1, ``[n, J]``.
        agreement: ``s_jk`` from :func:`head_agreement`, ``[J, J]``.
        spread: λ, at least 0.

    Returns:
        A scalar.
    """
    return routing_term(queries, heads, z) - spread * spread_term(heads, agreement)
