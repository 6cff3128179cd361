"""The model of a sweep, loaded as lm-eval's ``hf`` loads it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sprint_eval.architectures import architecture_of, attention_layout, head_layout_of_config
from sprint_eval.errors import ArgumentError, did_you_mean
from sprint_eval.fingerprint import model_fingerprint
from sprint_eval.heads import HeadLayout
from sprint_eval.hf_arguments import hf_arguments, refuse_mixed_precision
from sprint_eval.loading import loading
from sprint_eval.models import resolve_model_path
from sprint_eval.sweep.config import SweepConfig

if TYPE_CHECKING:
    from lm_eval.models.huggingface import HFLM

    from sprint_eval.backends import Backend


_OWN_OPTIONS = {"pretrained", "dtype", "device", "batch_size"}


@dataclass(frozen=True)
class LoadedModel:
    """A model with lm-eval's own way of tokenizing and templating for it.

    Attributes:
        lm: lm-eval's ``hf`` around the model.
        backend: who decodes.
        fingerprint, layout, dtype: facts of the model.
        facts: more of them, for the manifest.
    """

    lm: HFLM
    backend: Backend
    fingerprint: str
    layout: HeadLayout
    dtype: str
    facts: dict[str, Any] = field(default_factory=dict)


def load_model(config: SweepConfig) -> LoadedModel:
    """Load the model on this process's device, or reach the engine that holds it.

    Raises:
        DataError: the model cannot be loaded.
        UnsupportedModelError: its architecture or its generation settings cannot be decoded here.
    """
    from sprint_eval.backends import SERVED_ENGINES, check_engine_name

    check_engine_name(config.engine)
    if twice := _OWN_OPTIONS & set(config.model_args):
        raise ArgumentError(f"--model-args names {sorted(twice)[0]}, which has an option of its own")
    if config.engine in SERVED_ENGINES:
        from sprint_eval.sweep.served import load_served

        return load_served(config)
    _check_arguments(config)
    _check_config(config)
    lm = _hflm(config)
    layout = attention_layout(lm.model).heads
    config.head_pool(layout)
    dtype = str(lm.model.dtype).removeprefix("torch.")
    return LoadedModel(lm, _backend(config, lm), model_fingerprint(lm.model), layout, dtype)


def _hflm(config: SweepConfig) -> HFLM:
    from lm_eval.models.huggingface import HFLM

    path = resolve_model_path(config.model)
    with loading(f"model '{config.model}'"):
        return HFLM(
            path,
            dtype=config.dtype,
            device=config.device or _local_device(),
            batch_size=config.batch_size or 1,
            **config.model_args,
        )


def _check_arguments(config: SweepConfig) -> None:
    """Refuse what transformers would hand to the model's constructor, which knows it no more."""
    known = hf_arguments()
    for name in config.model_args:
        if name not in known:
            raise ArgumentError(
                f"--model-args: '{name}' is unknown to lm_eval's hf{did_you_mean(name, known)}"
            )
    refuse_mixed_precision(config.model_args)


def _check_config(config: SweepConfig) -> None:
    """Refuse an architecture or a pool from the model's config, before its weights are loaded."""
    from transformers import AutoConfig

    named = {
        key: config.model_args[key] for key in ("revision", "trust_remote_code") if key in config.model_args
    }
    with loading(f"model '{config.model}'"):
        found = AutoConfig.from_pretrained(resolve_model_path(config.model), **named)
    architecture_of(found)
    config.head_pool(head_layout_of_config(found))


def _local_device() -> str:
    """A device of its own for each process of one machine."""
    import torch

    local = os.environ.get("LOCAL_RANK")
    if local and torch.cuda.is_available():
        return f"cuda:{int(local) % torch.cuda.device_count()}"
    return "cuda" if torch.cuda.is_available() else "cpu"


def _backend(config: SweepConfig, lm: Any) -> Backend:
    from sprint_eval.backends import local_backend
    from sprint_eval.engine.settings import DecodingSettings

    settings = DecodingSettings.from_model(lm.model, lm.tokenizer, lm.think_end_token)
    return local_backend(config.engine, lm.model, lm.tokenizer, settings, config.batch_size)
