"""Feed-forward neurons: where they are, how much each matters, and how they are removed.

A neuron of a gated feed-forward layer is a row of its gate and up projections and a column of its
down projection. Neurons are scored as heads are: a weight norm and an entropy, here of how the
neuron's activity is spread over tokens.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from sprint_eval.architectures import attention_layout
from sprint_eval.errors import ArgumentError, DataError, UnsupportedModelError
from sprint_eval.pruning.entropy import few_logits

if TYPE_CHECKING:
    from torch import Tensor


def feed_forwards(model: Any) -> list[Any]:
    """The gated feed-forward module of each layer, with ``gate_proj``, ``up_proj`` and ``down_proj``.

    Raises:
        UnsupportedModelError: a layer has none of this kind (experts, fused or ungated layers).
    """
    parts = []
    for index, layer in enumerate(attention_layout(model).layers):
        part = getattr(layer, "mlp", None)
        if not all(
            isinstance(getattr(part, f"{name}_proj", None), nn.Linear) for name in ("gate", "up", "down")
        ):
            raise UnsupportedModelError(
                f"removing feed-forward neurons needs gate, up and down projections; layer {index} of "
                f"'{model.config.model_type}' has none"
            )
        parts.append(part)
    return parts


def neuron_widths(model: Any) -> tuple[int, ...]:
    """Neurons of each layer."""
    return tuple(part.down_proj.in_features for part in feed_forwards(model))


def neuron_norms(model: Any) -> np.ndarray:
    """Weight norm of every neuron: of its down column times that of its up row, ``[layers * neurons]``."""
    norms = []
    for part in feed_forwards(model):
        down = part.down_proj.weight.detach().double().norm(dim=0)
        up = part.up_proj.weight.detach().double().norm(dim=1)
        norms.append((down * up).cpu())
    return torch.cat(norms).numpy()


@torch.no_grad()
def neuron_entropies(model: Any, batches: Iterable[tuple[Tensor, Tensor | None]]) -> np.ndarray:
    """How evenly each neuron's activity is spread over the tokens of a text, in [0, 1].

    With p_t = |a_t| / Σ|a|, the entropy of p over all tokens shown divided by the log of their
    number: from the running sums of |a| and |a|·log|a| alone.

    Args:
        batches: ``(input_ids, lengths)`` pairs, padded on the right.
    """
    parts = feed_forwards(model)
    sums = [torch.zeros(2, part.down_proj.in_features, dtype=torch.float64) for part in parts]
    tokens = 0
    for input_ids, lengths in batches:
        real = torch.ones_like(input_ids, dtype=torch.bool)
        if lengths is not None:
            real = torch.arange(input_ids.shape[1], device=input_ids.device)[None] < lengths[:, None]
        with _listening(parts, sums, real):
            model(input_ids=input_ids, use_cache=False, **few_logits(model))
        tokens += int(real.sum())
    if tokens < 2:
        raise DataError("no text with two tokens or more to measure neurons on")
    mass, weighted = (torch.cat([total[i] for total in sums]) for i in range(2))
    safe = mass.clamp_min(torch.finfo(mass.dtype).tiny)
    entropy = torch.where(mass > 0, safe.log() - weighted / safe, 0.0)
    return (entropy / float(np.log(tokens))).numpy()


def lowest_neurons(scores: np.ndarray, widths: Sequence[int], ratio: float) -> dict[int, list[int]]:
    """The lowest-scoring share of each layer's neurons: layer → indices.

    Every layer gives the same share, which keeps matrix shapes equal and fast.

    Raises:
        ArgumentError: a share outside [0, 1).
    """
    if not 0.0 <= ratio < 1.0:
        raise ArgumentError(f"a share of {ratio} of the neurons: expected 0 <= share < 1")
    chosen, start = {}, 0
    for layer, width in enumerate(widths):
        order = np.argsort(scores[start : start + width], kind="stable")
        chosen[layer] = sorted(int(index) for index in order[: int(ratio * width + 1e-9)])
        start += width
    return chosen


def keep_neurons(part: Any, removed: Sequence[int]) -> None:
    """Remove neurons from one feed-forward module, in place."""
    from sprint_eval.pruning.surgery import shrink_linear

    width = part.down_proj.in_features
    gone = set(removed)
    if not gone <= set(range(width)) or len(gone) == width:
        raise ArgumentError(f"{len(gone)} neurons cannot go from a layer of {width}")
    kept = [index for index in range(width) if index not in gone]
    shrink_linear(part.gate_proj, kept, None)
    shrink_linear(part.up_proj, kept, None)
    shrink_linear(part.down_proj, None, kept)
    if hasattr(part, "intermediate_size"):
        part.intermediate_size = len(kept)


class NeuronMasker:
    """Silences neurons while a ``with`` block is open, as if they were removed."""

    def __init__(self, model: Any) -> None:
        self._parts = feed_forwards(model)

    @contextlib.contextmanager
    def silence(self, removed: Mapping[int, Sequence[int]]) -> Iterator[None]:
        """Zero these neurons' outputs, layer → indices."""
        with contextlib.ExitStack() as stack:
            for layer, indices in removed.items():
                if indices:
                    down = self._parts[layer].down_proj
                    keep = torch.ones(down.in_features)
                    keep[list(indices)] = 0.0
                    stack.callback(down.register_forward_pre_hook(_Silence(keep)).remove)
            yield


class _Silence:
    def __init__(self, keep: Tensor) -> None:
        self._keep = keep  # [neurons]

    def __call__(self, module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden: Tensor = args[0]
        self._keep = self._keep.to(hidden.device, hidden.dtype)
        return (hidden * self._keep, *args[1:])


@contextlib.contextmanager
def _listening(parts: list[Any], sums: list[Tensor], real: Tensor) -> Iterator[None]:
    def tap(total: Tensor) -> Any:
        def hook(module: Any, args: tuple[Any, ...]) -> None:
            activity = args[0].detach().abs()[real.to(args[0].device)].double()  # [tokens, neurons]
            total[0] += activity.sum(dim=0).cpu()
            total[1] += torch.special.xlogy(activity, activity).sum(dim=0).cpu()

        return hook

    with contextlib.ExitStack() as stack:
        for part, total in zip(parts, sums, strict=True):
            stack.callback(part.down_proj.register_forward_pre_hook(tap(total)).remove)
        yield
