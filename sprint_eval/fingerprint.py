"""What a model is, whatever it is called: a fingerprint of its config and weights."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

# Fields of a config that say where a model came from or how it runs, not what it computes.
_VOLATILE = frozenset(
    {
        "_name_or_path",
        "_attn_implementation",
        "architectures",
        "dtype",
        "torch_dtype",
        "transformers_version",
        "use_cache",
        "output_attentions",
        "output_hidden_states",
        "return_dict",
        "quantization_config",
    }
)


def model_fingerprint(model: nn.Module) -> str:
    """16 hexadecimal digits from a loaded model's config and all of its weights.

    Weights are compared as bfloat16, so that one checkpoint has one fingerprint whether it was
    loaded in float32 or in bfloat16; integer and packed weights as the bytes they are. Weights
    that are not in memory (offloaded) count by name and shape alone.
    """
    digest = hashlib.sha256(_config_text(getattr(model, "config", None)).encode())
    for name, parameter in sorted(model.named_parameters()):
        digest.update(f"{name}{tuple(parameter.shape)}".encode())
        if parameter.device.type != "meta":
            digest.update(_content(parameter.detach()))
    return digest.hexdigest()[:16]


def _config_text(config: Any) -> str:
    fields = config.to_dict() if config is not None else {}
    stable = {key: value for key, value in fields.items() if key not in _VOLATILE and value is not None}
    return json.dumps(stable, sort_keys=True, default=str)


def _content(tensor: Tensor) -> bytes:
    import torch

    if tensor.is_floating_point():
        tensor = tensor.to(torch.bfloat16)
    return tensor.contiguous().cpu().reshape(-1).view(torch.uint8).numpy().tobytes()
