"""The model of a sweep whose answers a served engine decodes: lm-eval's ``hf`` without weights."""

from __future__ import annotations

import inspect
from typing import Any

from lm_eval.models.huggingface import HFLM

from sprint_eval.architectures import architecture_of, head_layout_of_config
from sprint_eval.backends.served import ServedModel
from sprint_eval.backends.serving import ENGINE_ARGS, Serving
from sprint_eval.draws import Draw
from sprint_eval.engine.settings import DecodingSettings
from sprint_eval.errors import ArgumentError, did_you_mean
from sprint_eval.loading import loading
from sprint_eval.models import resolve_model_path
from sprint_eval.sweep.config import SweepConfig
from sprint_eval.sweep.model import LoadedModel


class ServedHFLM(HFLM):
    """HFLM that tokenizes and applies templates for a model that an engine holds elsewhere."""

    def __init__(self, pretrained: str, serving: Serving, **arguments: Any) -> None:
        self._serving = serving
        super().__init__(pretrained, **arguments)

    def _create_model(self, pretrained: str, *args: Any, **kwargs: Any) -> None:
        architecture_of(self.config)
        where = {name: kwargs[name] for name in ("revision", "trust_remote_code")}
        self._model: ServedModel = self._serving.model(self.config, pretrained, **where)


def load_served(config: SweepConfig) -> LoadedModel:
    """Reach the engine that the sweep names, by ``--model-args`` of its own.

    Raises:
        ArgumentError: an argument is missing or unknown, or the pool has a head set without an adapter.
        DataError: the model's config or tokenizer cannot be loaded.
        MismatchError: the adapters were made from other weights.
    """
    hf = set(inspect.signature(HFLM.__init__).parameters)
    arguments = dict(config.model_args) | {"dtype": config.dtype}
    serving = Serving.take(config.engine, arguments, hf)
    if serving is None:
        raise ArgumentError(f"engine '{config.engine}' is not a served one")
    if unknown := sorted(set(arguments) - hf):
        hint = did_you_mean(unknown[0], hf.union(ENGINE_ARGS[config.engine]))
        raise ArgumentError(f"--model-args: '{unknown[0]}' is unknown to engine={config.engine}{hint}")
    path = resolve_model_path(config.model)
    with loading(f"the config or tokenizer of '{config.model}'"):
        lm = ServedHFLM(path, serving, device="cpu", batch_size=1, **arguments)
    layout = head_layout_of_config(lm.config)
    pool = config.head_pool(layout)
    if serving.adapters is not None:
        serving.adapters.check([heads for heads in pool if not isinstance(heads, Draw)])
    settings = DecodingSettings.from_model(lm.model, lm.tokenizer, lm.think_end_token)
    backend = serving.backend(path, lm.tokenizer, settings)
    dtype = _dtype(config, serving, backend, lm.config)
    return LoadedModel(lm, backend, serving.fingerprint, layout, dtype, serving.info())


def _dtype(config: SweepConfig, serving: Serving, backend: Any, model_config: Any) -> str:
    """The dtype that the engine decodes in: what was asked for, what it says, or what the base has."""
    if config.dtype != "auto":
        return str(config.dtype)
    told = getattr(backend, "dtype", None)
    if told is not None:
        return str(told)
    if serving.adapters is not None:
        return str(serving.adapters.manifest["dtype"])
    return str(getattr(model_config, "dtype", None) or "unknown").removeprefix("torch.")
