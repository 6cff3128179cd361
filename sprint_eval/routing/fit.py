"""Joint training of θ and V by SPRINT, Eq. 1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sprint_eval.errors import TrainingError
from sprint_eval.routing.config import RouterConfig
from sprint_eval.routing.loss import head_agreement, routing_term, sprint_loss
from sprint_eval.routing.training_data import key_groups, split_groups


@dataclass(frozen=True)
class FittedMap:
    """θ and V after training.

    Attributes:
        projection: θ, ``q = φ(x) @ projection``, float32 ``[width of φ, p]``.
        heads: ``v_j``, float32 ``[J, p]``.
        epoch: the step whose weights these are.
        epochs_run: steps taken until training stopped.
        train_loss: Eq. 1 on the training part at that step.
        validation_loss: Eq. 1's first term on the validation part; ``None`` without one.
    """

    projection: np.ndarray
    heads: np.ndarray
    epoch: int
    epochs_run: int
    train_loss: float
    validation_loss: float | None


def fit_map(embeddings: np.ndarray, z: np.ndarray, keys: list[str], config: RouterConfig) -> FittedMap:
    """Learn θ and V on all but a validation part, and keep the weights that serve that part best.

    The second term of Eq. 1 has no lower bound in V, so that plain descent lets V grow for ever.
    After each step every ``v_j`` longer than ``config.max_norm`` is scaled back to that length:
    with it the loss is bounded below, whatever λ. A learning rate so large that θ overflows ends
    in an error. The result depends on the data, the config and nothing else (up to rounding
    between machines and numbers of threads).

    Args:
        embeddings: φ(x_i), finite, ``[n, width]``.
        z: outcomes, 0 or 1, ``[n, J]``.
        keys: questions with the same key stay on one side of the validation split.

    Raises:
        TrainingError: the loss or the weights are no longer finite.
    """
    held = _validation_rows(z, keys, config)
    inputs = torch.from_numpy(np.ascontiguousarray(embeddings, np.float32))
    outcomes = torch.from_numpy(z.astype(np.int8))
    held_rows = torch.from_numpy(held)
    train_x, train_z = inputs[~held_rows], outcomes[~held_rows]
    held_x, held_z = inputs[held_rows], outcomes[held_rows]
    agreement = head_agreement(train_z)
    projection, heads = _start(inputs.shape[1], z.shape[1], config)
    optimizer = torch.optim.AdamW(
        [projection, heads], lr=config.learning_rate, weight_decay=config.weight_decay
    )
    pairs = z.shape[1] * (z.shape[1] - 1) / 2
    best: FittedMap | None = None
    for epoch in range(1, config.epochs + 1):
        optimizer.zero_grad(set_to_none=True)
        loss = sprint_loss(train_x @ projection, heads, train_z, agreement, config.spread / pairs)
        _check_finite(loss, epoch, config)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            _project(heads, config.max_norm)
            value = float(routing_term(held_x @ projection, heads, held_z)) if len(held_x) else None
        if best is None or value is None or best.validation_loss is None or value < best.validation_loss:
            best = _snapshot(projection, heads, epoch, float(loss.detach()), value)
        elif config.patience and epoch - best.epoch >= config.patience:
            break
    _check_finite(projection.abs().sum() + heads.abs().sum(), epoch, config)
    assert best is not None  # config.epochs is at least 1
    return FittedMap(best.projection, best.heads, best.epoch, epoch, best.train_loss, best.validation_loss)


def _validation_rows(z: np.ndarray, keys: list[str], config: RouterConfig) -> np.ndarray:
    """True for questions held back; none where that would leave either part nothing to say.

    Of the groups in a seeded order, the fraction rounded up, evenly spaced: every k-th for 1/k.
    """
    nothing = np.zeros(len(z), bool)
    if config.validation_fraction == 0.0 or len(z) < 2:
        return nothing
    groups = key_groups(keys)
    count = int(groups.max()) + 1
    place = split_groups(groups, count, config.seed)  # as many parts as groups: the place in the order
    # A hair less, since the product can come out above a whole number: 70 * 0.1 does.
    share = config.validation_fraction * (1 - 1e-12)
    held = np.diff(np.ceil(np.arange(count + 1) * share))[place] > 0
    informative = z.any(axis=1) & ~z.all(axis=1)
    return held if (informative & held).any() and (informative & ~held).any() else nothing


def _start(width: int, count: int, config: RouterConfig) -> tuple[Tensor, Tensor]:
    """Random θ and V such that ``q`` and ``v_j`` have about the length of φ(x) and 1."""
    generator = torch.Generator().manual_seed(config.seed)
    scale = config.dimension**-0.5
    projection = torch.randn(width, config.dimension, generator=generator) * scale
    heads = torch.randn(count, config.dimension, generator=generator) * scale
    _project(heads, config.max_norm)
    return projection.requires_grad_(), heads.requires_grad_()


def _project(heads: Tensor, max_norm: float) -> None:
    """Scale rows longer than ``max_norm`` back to it, in place."""
    norms = heads.norm(dim=1, keepdim=True)
    heads.mul_((max_norm / norms).clamp(max=1.0))


def _check_finite(value: Tensor, epoch: int, config: RouterConfig) -> None:
    if not bool(torch.isfinite(value)):
        raise TrainingError(
            f"router training diverged at epoch {epoch} (learning rate {config.learning_rate:g}, "
            f"spread {config.spread:g}); lower the learning rate or the spread"
        )


def _snapshot(projection: Tensor, heads: Tensor, epoch: int, loss: float, value: float | None) -> FittedMap:
    return FittedMap(
        projection.detach().numpy().copy(), heads.detach().numpy().copy(), epoch, epoch, loss, value
    )
