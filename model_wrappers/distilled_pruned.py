"""``--model distilled-pruned``: a model whose heads were cut out (DPKD)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sprint_eval.errors import ArgumentError, MismatchError
from sprint_eval.heads import HeadLayout, HeadSet
from sprint_eval.model_wrappers.answers import Variant
from sprint_eval.model_wrappers.base import HeadSetLM
from sprint_eval.model_wrappers.candidates import Question
from sprint_eval.pruning.checkpoint import PrunedCheckpoint
from sprint_eval.pruning.quantize import STAYS_FLOAT, check_quantization, quantize_linear
from sprint_eval.pruning.removed import CONFIG_FIELD, Removed


class DistilledPrunedLM(HeadSetLM):
    """A folder written by ``sprint-eval distill``, or by ``save_pruned``.

    Every candidate of a question is the same answer, decoded once, unless the task samples.
    Log-likelihood tasks work as with ``--model hf``.

    Args:
        pretrained: the folder.
        quantize: ``int8`` for dynamic int8 linear layers (CPU): weights in int8, activations
            quantized as they come.
    """

    METHOD = "distilled-pruned"
    OWN_ARGS = ("quantize",)
    AUTO_MODEL_CLASS: Any = None  # HFLM chooses it; _create_model puts ours in its place for a moment

    def __init__(self, pretrained: Any, *, quantize: str | None = None, **kwargs: Any) -> None:
        self._quantize = quantize
        super().__init__(pretrained, **kwargs)

    def check_config(self, layout: HeadLayout) -> None:
        check_quantization(self._quantize)
        if self._serving is not None:
            raise ArgumentError(
                f"distilled-pruned decodes with its own weights, not with engine={self._engine_name}; "
                "serve a dense copy ('sprint-eval distill --dense') under --model pruned-head with heads=base"
            )
        if self._quantize and str(self.device) != "cpu":
            raise ArgumentError(
                f"quantize={self._quantize} runs on the CPU, found device {self.device}; add --device cpu"
            )
        if not Removed.of_config(self.config):
            raise MismatchError(
                f"nothing was cut out of this model (its config has no '{CONFIG_FIELD}'); use --model hf, or "
                "make one with 'sprint-eval distill'"
            )

    def prepare(self, layout: HeadLayout) -> None:
        self._removed = Removed.of_config(self.config)
        if self._quantize:
            _ = self.fingerprint  # of the weights as they were saved
            quantize_linear(self.model)

    def changed_weights(self) -> dict[str, Any]:
        return {"quantize": self._quantize, "stays_float": STAYS_FLOAT} if self._quantize else {}

    def choose(self, questions: Sequence[Question]) -> list[list[Variant]]:
        return [[Variant(HeadSet())] * question.n for question in questions]

    def fixed_head_set(self) -> HeadSet:
        """Nothing is masked: what is pruned is gone."""
        return HeadSet()

    def method_info(self) -> dict[str, Any]:
        text = self.config.get_text_config()
        heads = int(text.num_hidden_layers) * int(text.num_attention_heads)
        return {
            "pool": [str(self._removed.heads)],
            "removed_heads_share": len(self._removed.heads) / heads,
            "removed_neurons": sum(self._removed.neurons.values()),
            "parameters": sum(p.numel() for p in self.model.parameters()) if not self._quantize else None,
            "quantize": self._quantize,
        }

    def _create_model(self, *args: Any, **kwargs: Any) -> None:
        stock = self.AUTO_MODEL_CLASS
        self.AUTO_MODEL_CLASS = PrunedCheckpoint
        try:
            super()._create_model(*args, **kwargs)
        finally:
            self.AUTO_MODEL_CLASS = stock
