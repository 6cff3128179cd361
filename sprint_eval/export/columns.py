"""Columns of an output projection, as plain numbers whatever form its weight is kept in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from sprint_eval.errors import UnsupportedModelError

if TYPE_CHECKING:
    from torch import Tensor, nn

_FLOATS = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def is_plain(projection: Any) -> bool:
    """Whether the projection is a ``Linear`` or ``Conv1D`` whose weight is an ordinary float tensor."""
    from transformers.pytorch_utils import Conv1D

    weight = getattr(projection, "weight", None)
    return (
        type(projection) in (torch.nn.Linear, Conv1D)
        and type(weight) is torch.nn.Parameter
        and weight.dtype in _FLOATS
    )


def projection_shape(projection: Any) -> tuple[int, int]:
    """``(in_features, out_features)`` of a linear projection.

    Raises:
        UnsupportedModelError: the module does not say.
    """
    for names in (("in_features", "out_features"), ("nx", "nf")):
        found = [getattr(projection, name, None) for name in names]
        if None not in found:
            return int(found[0]), int(found[1])  # type: ignore[arg-type]
    raise UnsupportedModelError(
        f"cannot tell the shape of a {type(projection).__name__} output projection, so no adapter fits it"
    )


@torch.no_grad()
def output_columns(projection: nn.Module, columns: Tensor, compute_dtype: torch.dtype) -> Tensor:
    """Columns of the projection's weight, ``[out_features, len(columns)]``.

    A plain weight is read. A packed one (4-bit, 8-bit, GGUF, …) is asked for its columns: the module
    applied to rows of the identity, less the module applied to zero, is what it multiplies by.

    Args:
        columns: input positions, ``[len(columns)]``, int64.
        compute_dtype: dtype of the activations that a packed projection is fed.

    Raises:
        UnsupportedModelError: the weight is not in memory, or the module is not linear in its input.
    """
    weight: Any = getattr(projection, "weight", None)
    if weight is not None and weight.device.type == "meta":
        raise UnsupportedModelError(
            "the output projections' weights are not in memory (offloaded); load the model whole"
        )
    if is_plain(projection):
        from transformers.pytorch_utils import Conv1D

        rows_are_inputs = isinstance(projection, Conv1D)  # Conv1D keeps [in, out]
        picked = weight[columns].T if rows_are_inputs else weight[:, columns]
        return picked.detach().to("cpu", copy=True).contiguous()
    return _probed_columns(projection, columns, compute_dtype)


def _probed_columns(projection: Any, columns: Tensor, dtype: torch.dtype) -> Tensor:
    width, _ = projection_shape(projection)
    device = next((t.device for t in (*projection.parameters(), *projection.buffers())), torch.device("cpu"))
    probes = torch.zeros(len(columns) + 1, width, dtype=dtype, device=device)
    probes[torch.arange(len(columns)), columns.to(device)] = 1.0  # the last row stays 0: it gives the bias
    answers = projection(probes)  # [len(columns) + 1, out]
    picked = (answers[:-1] - answers[-1:]).T
    # A weight is linear: twice the input gives twice the output, less one bias.
    doubled = (projection(2 * probes)[:-1] - answers[-1:]).T
    scale = picked.abs().max().clamp(min=1e-12)
    if not torch.isfinite(picked).all() or float((doubled - 2 * picked).abs().max() / scale) > 0.05:
        raise UnsupportedModelError(
            f"a {type(projection).__name__} output projection is not linear in its input, "
            "so no LoRA adapter can prune its heads"
        )
    return picked.detach().to("cpu").contiguous()
