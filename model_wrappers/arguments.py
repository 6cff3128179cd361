"""Checks of ``model_args`` before anything is loaded."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from lm_eval.models.huggingface import HFLM

from sprint_eval.errors import ArgumentError, did_you_mean

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
    return (set(inspect.signature(HFLM.__init__).parameters) - {"self", "kwargs"}) | _FROM_PRETRAINED


def check_unknown(method: str, own: Iterable[str], given: Mapping[str, Any]) -> None:
    """Refuse arguments that neither the method, HFLM nor ``from_pretrained`` knows.

    Raises:
        ArgumentError: names the argument, the nearest known one and the method's own.
    """
    known = hf_arguments() | set(own)
    for name in given:
        if name not in known:
            raise ArgumentError(
                f"model argument '{name}' is unknown to {method}{did_you_mean(name, known)}; "
                f"its own are: {', '.join(sorted(own))} (and those of --model hf)"
            )


def as_bool(name: str, value: Any) -> bool:
    """A yes-or-no argument, whatever spelling lm-eval's parser left it in."""
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in ("true", "1", "yes"):
        return True
    if text in ("false", "0", "no", "none"):
        return False
    raise ArgumentError(f"{name} = {value!r}: expected True or False")


def as_int(name: str, value: Any) -> int:
    """A whole-number argument."""
    try:
        return int(value)
    except (TypeError, ValueError):
        raise ArgumentError(f"{name} = {value!r}: expected a whole number") from None
