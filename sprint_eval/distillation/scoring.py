"""Scores of heads, and of feed-forward neurons, on calibration texts while a student trains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from sprint_eval.architectures import attention_layout
from sprint_eval.distillation.config import PruneSettings
from sprint_eval.distillation.data import TrainingText, collate
from sprint_eval.distillation.losses import task_loss
from sprint_eval.errors import ArgumentError
from sprint_eval.heads import HeadSet
from sprint_eval.pruning.entropy import EntropyMeter, few_logits
from sprint_eval.pruning.importance import causal_scores, combine, weight_norms
from sprint_eval.pruning.neurons import neuron_entropies, neuron_norms
from sprint_eval.pruning.taylor import TaylorMeter

if TYPE_CHECKING:
    from torch import Tensor

_ROWS = 16  # calibration texts in a forward


class Scorer:
    """Scores by the chosen kind; heads that are gone already are left out of the normalisation."""

    def __init__(
        self,
        settings: PruneSettings,
        texts: Sequence[TrainingText],
        outcomes: Any = None,
        rows: int = _ROWS,
    ) -> None:
        """
        Args:
            texts: calibration texts.
            outcomes: an outcome matrix, for the causal score.
            rows: texts in a forward at most, so that what fits in training fits here.

        Raises:
            ArgumentError: a causal score without outcomes.
        """
        if settings.score == "causal" and outcomes is None:
            raise ArgumentError(
                "the causal score needs an outcome matrix: --outcomes FOLDER of a sweep of all heads"
            )
        self._settings = settings
        self._texts = sorted(texts, key=lambda text: len(text.tokens))
        self._outcomes = outcomes
        self._causal: np.ndarray | None = None
        self._most_rows = min(rows, _ROWS)
        self.tokens = 0
        """Tokens put through the model for scores, those with a backward pass three times."""

    def heads(self, model: Any, pruned: HeadSet) -> np.ndarray:
        """``[heads]``; of heads in ``pruned`` −1."""
        layout = attention_layout(model).heads
        gone = set(pruned)
        alive = np.array([head not in gone for head in layout.heads()])
        scores = np.full(layout.num_heads, -1.0)
        scores[alive] = self._raw(model, layout, alive)
        return scores

    def neurons(self, model: Any, silent: np.ndarray) -> np.ndarray:
        """``[layers * neurons]``; of neurons in ``silent`` (booleans) −1.

        By the score that heads have; outcome matrices know nothing of neurons, so that with ``causal``
        they go by ``dpkd``.
        """
        scores = np.full(len(silent), -1.0)
        if self._settings.score == "taylor":
            scores[~silent] = self._taylor(model, "neurons")[~silent]
            return scores
        norms = neuron_norms(model)[~silent]
        entropies = neuron_entropies(model, self._batches(model))[~silent]
        scores[~silent] = combine(norms, entropies, self._settings.alpha, self._settings.direction)
        return scores

    def _raw(self, model: Any, layout: Any, alive: np.ndarray) -> np.ndarray:
        if self._settings.score == "causal":
            if self._causal is None:  # reads every answer, and is the same whatever was trained
                self._causal = causal_scores(self._outcomes, layout)
            return self._causal[alive]
        if self._settings.score == "taylor":
            return self._taylor(model, "heads")[alive]
        norms = weight_norms(model)[alive]
        if self._settings.alpha == 1.0:
            return combine(norms, np.zeros_like(norms), 1.0, self._settings.direction)
        meter = EntropyMeter(model)
        for input_ids, lengths in self._batches(model):
            meter.add(input_ids, lengths)
        return combine(norms, meter.result()[alive], self._settings.alpha, self._settings.direction)

    def _taylor(self, model: Any, of: Literal["heads", "neurons"]) -> np.ndarray:
        meter = TaylorMeter(model, of)
        for rows in self._rows():
            batch = collate(rows).to(model.device)

            def loss(batch: Any = batch) -> Tensor:
                wanted = few_logits(model, batch.positions)
                logits = model(input_ids=batch.input_ids, use_cache=False, **wanted).logits
                return task_loss(logits if wanted else logits[:, batch.positions], batch.labels).total

            meter.add(len(rows), loss)
            self.tokens += 3 * int(batch.lengths.sum())
        return meter.result()

    def _batches(self, model: Any) -> Iterator[tuple[Tensor, Tensor]]:
        for rows in self._rows():
            batch = collate(rows).to(model.device)
            self.tokens += int(batch.lengths.sum())
            yield batch.input_ids, batch.lengths

    def _rows(self) -> Iterator[Sequence[TrainingText]]:
        for start in range(0, len(self._texts), self._most_rows):
            yield self._texts[start : start + self._most_rows]


def broadcast_scores(accelerator: Any, scores: np.ndarray) -> np.ndarray:
    """The main process's scores for all, so that rounding cannot make processes prune differently."""
    if accelerator.num_processes == 1:
        return scores
    from accelerate.utils import broadcast

    tensor = torch.tensor(scores, dtype=torch.float64, device=accelerator.device)
    result: np.ndarray = broadcast(tensor).cpu().numpy()
    return result
