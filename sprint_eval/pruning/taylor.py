"""First-order importance of heads and neurons: how much the loss would change if one were gone.

With a gate ξ = 1 on each head's output, or each neuron's, ∂L/∂ξ = Σ ∂L/∂a · a, and |∂L/∂ξ|
estimates |L(ξ=0) − L| (Michel et al. 2019; Molchanov et al. 2019). The gates are a factor a row, so
that the absolute value is taken text by text and gradients of different texts do not cancel.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from sprint_eval.architectures import attention_layout
from sprint_eval.errors import DataError
from sprint_eval.pruning.neurons import feed_forwards, neuron_widths

if TYPE_CHECKING:
    from torch import Tensor


class TaylorMeter:
    """Mean over texts of |∂L/∂ξ| for every head, or every feed-forward neuron.

    Raises:
        UnsupportedModelError: neurons of a model whose feed-forward layers are not gated ones.
    """

    def __init__(self, model: Any, of: Literal["heads", "neurons"] = "heads") -> None:
        self._modules: list[Any]  # a layer's projection of what the gates stand on; None without one
        if of == "heads":
            layout = attention_layout(model)
            self._modules, self._counts = list(layout.outputs), layout.heads.heads_per_layer
        else:
            self._modules = [part.down_proj for part in feed_forwards(model)]
            self._counts = neuron_widths(model)
        self._sums = [torch.zeros(count, dtype=torch.float64) for count in self._counts]
        self._rows = 0

    def add(self, rows: int, loss: Callable[[], Tensor]) -> None:
        """Add ``rows`` texts.

        Args:
            loss: runs the model on a batch of ``rows`` texts and gives the *sum* over them of each
                text's loss.
        """
        with self._gates(rows) as gates, torch.enable_grad():
            value = loss()
            present = [gate for gate in gates if gate is not None]
            gradients = iter(torch.autograd.grad(value, present, allow_unused=True))
        for layer, gate in enumerate(gates):
            gradient = next(gradients) if gate is not None else None
            if gradient is not None:
                self._sums[layer] += gradient.abs().double().sum(dim=0).cpu()
        self._rows += rows

    def result(self) -> np.ndarray:
        """``[heads]`` in the order of ``layout.heads()``, or ``[layers * neurons]``.

        Raises:
            DataError: no text was shown.
        """
        if not self._rows:
            raise DataError("no text to measure first-order importance on")
        return (torch.cat(self._sums) / self._rows).numpy()

    @contextlib.contextmanager
    def _gates(self, rows: int) -> Iterator[list[Tensor | None]]:
        gates: list[Tensor | None] = []
        with contextlib.ExitStack() as stack:
            for output, count in zip(self._modules, self._counts, strict=True):
                if output is None or not count:
                    gates.append(None)
                    continue
                weight = next(output.parameters())
                dtype = torch.promote_types(weight.dtype, torch.float32)
                gate = torch.ones(rows, count, device=weight.device, dtype=dtype, requires_grad=True)
                gates.append(gate)
                stack.callback(output.register_forward_pre_hook(_Gate(gate)).remove)
            yield gates


class _Gate:
    """Forward pre-hook that multiplies each head's (or neuron's) output by its row's gate."""

    def __init__(self, gate: Tensor) -> None:
        self._gate = gate  # [rows, heads or neurons]

    def __call__(self, module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden: Tensor = args[0]  # [rows, seq, heads * head_dim]; a neuron is a head of width 1
        rows, heads = self._gate.shape
        split = hidden.unflatten(-1, (heads, -1))
        gated = split * self._gate.view(rows, *(1,) * (split.dim() - 3), heads, 1).to(split.dtype)
        return (gated.flatten(-2), *args[1:])
