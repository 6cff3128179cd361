"""One served engine, from its arguments to its backend: for the model wrappers and the sweep."""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from sprint_eval.backends.base import Backend
from sprint_eval.backends.served import Adapters, ServedModel, served_model
from sprint_eval.engine.settings import DecodingSettings
from sprint_eval.errors import ArgumentError
from sprint_eval.heads import BASE

_LOGGER = logging.getLogger(__name__)

ENGINE_ARGS: dict[str, tuple[str, ...]] = {
    "vllm": ("adapters",),
    "openai": (
        "base_url",
        "adapters",
        "fingerprint",
        "served_model",
        "naming",
        "concurrency",
        "timeout",
        "retries",
        "patience",
        "token_ids",
    ),
}
"""Arguments of each served engine; ``vllm`` takes vLLM's own besides."""

# Arguments of --model hf that vLLM is to know too.
_SHARED = (
    "dtype",
    "revision",
    "trust_remote_code",
    "tokenizer",
    "add_bos_token",
    "max_length",
    "prefix_token_id",
    "think_end_token",
    "enable_thinking",
    "chat_template_args",
)
# Arguments of --model hf that change the weights or where they lie: not ours to carry out on a server.
_REFUSED = (
    "autogptq",
    "delta",
    "device_map",
    "gguf_file",
    "gptqmodel",
    "load_in_4bit",
    "load_in_8bit",
    "mixed_precision_dtype",
    "parallelize",
    "peft",
    "quantization_config",
    "softmax_dtype",
    "subfolder",
    "tp_plan",
)


@dataclass(frozen=True)
class Serving:
    """Who decodes, when it is not a model in this process.

    Attributes:
        engine: ``"vllm"`` or ``"openai"``.
        options: the engine's own arguments.
        arguments: vLLM's.
        adapters: the exported adapters, where given.
    """

    engine: str
    options: Mapping[str, Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    adapters: Adapters | None = None

    @classmethod
    def take(cls, engine: str, given: MutableMapping[str, Any], hf: Iterable[str]) -> Serving | None:
        """The served engine of that name with its arguments, which are taken out of ``given``.

        Args:
            given: all model arguments.
            hf: names that are arguments of ``--model hf`` and stay.

        Returns:
            None for an engine that decodes a model in this process.

        Raises:
            ArgumentError: an argument is missing, unknown or cannot be carried out.
            DataError: the adapters' folder cannot be read.
        """
        if engine not in ENGINE_ARGS:
            return None
        options = {name: given.pop(name) for name in ENGINE_ARGS[engine] if name in given}
        for name in _REFUSED:
            if given.get(name):
                raise ArgumentError(
                    f"{name} is not possible with engine={engine}, which loads the weights itself; save the "
                    "model as you want it first (for a LoRA: merge_and_unload)"
                )
        arguments: dict[str, Any] = {}
        if engine == "vllm":
            stay = set(hf) | {"max_model_len"}
            arguments = {name: given.pop(name) for name in list(given) if name not in stay}
            if "max_model_len" in given:  # vLLM's name of max_length
                given["max_length"] = int(given.pop("max_model_len"))
            # A copy: lm-eval's vLLM model takes fields out of chat_template_args.
            arguments |= copy.deepcopy({name: given[name] for name in _SHARED if given.get(name) is not None})
        folder = options.pop("adapters", None)
        serving = cls(engine, options, arguments, Adapters.load(str(folder)) if folder else None)
        serving._check()
        return serving

    def _check(self) -> None:
        if self.engine == "vllm":
            from sprint_eval.backends.vllm import check_vllm_arguments

            if self.adapters is None:
                raise ArgumentError(
                    "engine=vllm needs adapters=FOLDER, made by: sprint-eval export heads --model … "
                    "--pool … --out FOLDER"
                )
            if "LOCAL_RANK" in os.environ and int(os.environ.get("WORLD_SIZE", 1)) > 1:
                raise ArgumentError(
                    "engine=vllm runs in one process: vLLM spreads over devices itself "
                    "(tensor_parallel_size); start without accelerate, or several servers and engine=openai"
                )
            check_vllm_arguments(self.arguments)
            return
        if not self.options.get("base_url"):
            raise ArgumentError("engine=openai needs base_url=…, for instance http://127.0.0.1:8000/v1")
        if self.adapters is None and not self.options.get("fingerprint"):
            raise ArgumentError(
                "engine=openai cannot see the server's weights: name the folder that its adapters come "
                "from, adapters=FOLDER, or the base's fingerprint=… (model_fingerprint in heads.json or in "
                "a results file)"
            )

    @property
    def fingerprint(self) -> str:
        """The base model's fingerprint: of the adapters' base, or as declared."""
        declared = self.options.get("fingerprint")
        if declared:
            return str(declared)
        if self.adapters is None:
            raise ArgumentError(f"engine={self.engine} knows no fingerprint")
        return self.adapters.fingerprint

    def model(self, config: Any, pretrained: str, revision: str, trust_remote_code: bool) -> ServedModel:
        """What this process knows of the served model.

        Raises:
            MismatchError: the adapters were made from other weights than vLLM would load.
        """
        pruning = [
            path for heads, path in (self.adapters.paths if self.adapters else {}).items() if heads != BASE
        ]
        if self.engine == "vllm" and self.adapters is not None and pruning:
            from sprint_eval.export.verify import check_checkpoint

            first = pruning[0]
            if not check_checkpoint(first, pretrained, revision):
                _LOGGER.warning("cannot tell whether %s belongs to %s", self.adapters.folder, pretrained)
        return served_model(config, pretrained, revision=revision, trust_remote_code=trust_remote_code)

    def backend(self, pretrained: str, tokenizer: Any, settings: DecodingSettings) -> Backend:
        """The engine as a backend.

        Raises:
            ArgumentError: one of the engine's arguments cannot be used.
        """
        if self.engine == "vllm":
            from sprint_eval.backends.vllm import VllmBackend

            if self.adapters is None:
                raise ArgumentError("engine=vllm needs adapters=FOLDER")
            return VllmBackend(pretrained, self.adapters, self.arguments, tokenizer, settings)
        from sprint_eval.backends.http import JsonClient, Patience
        from sprint_eval.backends.openai import OpenAIBackend

        patience = Patience(
            timeout=self._number("timeout", Patience.timeout),
            retries=self._whole("retries", Patience.retries),
            down=self._number("patience", Patience.down),
        )
        client = JsonClient(str(self.options["base_url"]), patience, os.environ.get("OPENAI_API_KEY"))
        return OpenAIBackend(
            client,
            tokenizer,
            settings,
            served_model=self.options.get("served_model"),
            naming=str(self.options.get("naming", "{name}")),
            concurrency=self._whole("concurrency", 16),
            token_ids=str(self.options.get("token_ids", True)).lower() not in ("false", "0", "no"),
        )

    def info(self) -> dict[str, Any]:
        """For the results' ``config``: what stands behind the fingerprint."""
        facts: dict[str, Any] = {"model_fingerprint_declared": self.engine == "openai"}
        if self.engine == "openai":
            facts["base_url"] = self.options["base_url"]
        return facts

    def _number(self, name: str, default: float) -> float:
        value = self.options.get(name, default)
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise ArgumentError(f"{name} = {value!r}: expected a number") from None
        if not number >= 0:
            raise ArgumentError(f"{name} = {value!r}: expected 0 or more")
        return number

    def _whole(self, name: str, default: int) -> int:
        number = self._number(name, default)
        if not number.is_integer():  # infinity is none either
            raise ArgumentError(f"{name} = {self.options[name]!r}: expected a whole number")
        return int(number)
