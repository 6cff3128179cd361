"""Names of the arguments that lm-eval's ``hf`` model takes, so that others can be refused by name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from sprint_eval.errors import ArgumentError

# What HFLM passes on to from_pretrained() and that users of it rely on.
_FROM_PRETRAINED = {
    "attn_implementation",
    "cache_dir",
    "code_revision",
    "device_map",
    "experts_implementation",
    "force_download",
    "llm_int8_enable_fp32_cpu_offload",
    "load_in_4bit",
    "load_in_8bit",
    "bnb_4bit_compute_dtype",
    "bnb_4bit_quant_type",
    "bnb_4bit_use_double_quant",
    "local_files_only",
    "low_cpu_mem_usage",
    "max_memory",
    "quantization_config",
    "token",
    "torch_dtype",
    "use_safetensors",
    "variant",
}


def hf_arguments() -> set[str]:
    """Names that ``--model hf`` takes, ``from_pretrained``'s among them."""
    from lm_eval.models.huggingface import HFLM

    return (set(inspect.signature(HFLM.__init__).parameters) - {"self", "kwargs"}) | _FROM_PRETRAINED


def refuse_mixed_precision(arguments: Mapping[str, Any]) -> None:
    """``hf`` decodes under autocast where it is asked to; the engines here compute in the weights' type.

    Raises:
        ArgumentError: ``mixed_precision_dtype`` is among the arguments.
    """
    asked = arguments.get("mixed_precision_dtype")
    if asked is not None:
        raise ArgumentError(
            f"mixed_precision_dtype={asked}: not carried out here, where a model computes in the type of its "
            f"weights; use dtype={asked}"
        )
