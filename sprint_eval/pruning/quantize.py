"""Dynamic int8 quantization of a model's linear layers, by torch's own means."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn

from sprint_eval.errors import ArgumentError, UnsupportedModelError

KINDS = ("int8",)
# What comes into a feed-forward layer's last projection has a few values far above the rest, and the
# activations of a forward share one scale: in int8 nothing would be left of most others.
STAYS_FLOAT = ("down_proj", "fc2", "c_proj")


def check_quantization(kind: str | None) -> None:
    """Refuse an unknown kind (:class:`ArgumentError`), or a torch without it."""
    if kind is None:
        return
    if kind not in KINDS:
        raise ArgumentError(f"quantize={kind}: expected {', '.join(KINDS)}")
    _engine()


def quantize_linear(model: Any) -> Any:
    """Replace linear layers by their dynamic int8 form, in place; embeddings stay as they are.

    So do the last projections of feed-forward layers, by :data:`STAYS_FLOAT`. Weights are stored in int8
    with a scale an output feature; activations are quantized token batch by token batch as they come, and
    accumulate in int32. An output embedding that is tied to the input's is quantized as a copy of its own.

    Returns:
        The same model, for inference on the CPU only.

    Raises:
        UnsupportedModelError: a torch build without quantized kernels.
    """
    from torch.ao.quantization import per_channel_dynamic_qconfig, quantize_dynamic

    torch.backends.quantized.engine = _engine()
    chosen = {
        name: per_channel_dynamic_qconfig
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.rpartition(".")[2] not in STAYS_FLOAT
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces the move of this module to another package
        quantize_dynamic(model.eval().float(), chosen, inplace=True)
    return model


def stored_bytes(model: Any) -> int:
    """Bytes of a model's weights, int8 ones included."""
    total = sum(p.numel() * p.element_size() for p in model.parameters())
    total += sum(b.numel() * b.element_size() for b in model.buffers())
    for module in model.modules():
        packed = getattr(module, "_packed_params", None)
        if packed is not None and isinstance(module, torch.ao.nn.quantized.dynamic.Linear):
            weight, bias = module._weight_bias()
            total += weight.numel() + weight.shape[0] * 12  # int8 weights; scale and zero point a row
            total += 0 if bias is None else bias.numel() * bias.element_size()
    return total


def _engine() -> str:
    """The machine's quantized kernels."""
    found = [
        name for name in torch.backends.quantized.supported_engines if name in ("x86", "fbgemm", "qnnpack")
    ]
    if not found:
        raise UnsupportedModelError("this build of torch has no quantized kernels for the CPU")
    return "x86" if "x86" in found else found[-1]
