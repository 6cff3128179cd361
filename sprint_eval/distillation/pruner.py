"""Heads and neurons leaving a student while it trains: masked first, cut out when a round is over."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sprint_eval.architectures import attention_layout
from sprint_eval.distillation.config import PruneSettings
from sprint_eval.distillation.scoring import Scorer, broadcast_scores
from sprint_eval.heads import HeadLayout, HeadSet
from sprint_eval.masking import HeadMasker
from sprint_eval.pruning.neurons import NeuronMasker, lowest_neurons, neuron_widths
from sprint_eval.pruning.schedule import Schedule, lowest_heads, pruned_count

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Pruned:
    """What a model has lost so far, in its full-size numbering.

    Attributes:
        heads: masked heads.
        neurons: layer → masked feed-forward neurons.
    """

    heads: HeadSet = field(default_factory=HeadSet)
    neurons: Mapping[int, Sequence[int]] = field(default_factory=dict)

    @contextlib.contextmanager
    def masking(self, model: Any) -> Iterator[None]:
        """Mask them while the block is open."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(HeadMasker(model).every_row(self.heads))
            if any(self.neurons.values()):
                stack.enter_context(NeuronMasker(model).silence(self.neurons))
            yield

    def keep(self, layout: HeadLayout) -> list[Tensor]:
        """Booleans ``[heads]`` a layer, true for heads that are left."""
        gone = self.heads.by_layer()
        masks = [torch.ones(count, dtype=torch.bool) for count in layout.heads_per_layer]
        for layer, heads in gone.items():
            masks[layer][list(heads)] = False
        return masks

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"heads": str(self.heads), "neurons": {str(k): list(v) for k, v in self.neurons.items()}}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Pruned:
        neurons = {int(layer): tuple(indices) for layer, indices in values["neurons"].items()}
        return cls(HeadSet.parse(values["heads"]), neurons)


class Pruner:
    """Prunes by DPKD's schedule: the lowest-scoring heads, scores refreshed as the student changes."""

    def __init__(
        self, settings: PruneSettings, scorer: Scorer, model: Any, pruned: Pruned, number: int, steps: int
    ) -> None:
        """
        Args:
            pruned: what went in earlier rounds.
            number: the round, from 1.
            steps: steps of the round's training; 0 prunes all at once.
        """
        self._settings = settings
        self._scorer = scorer
        self._layout = attention_layout(model).heads
        self._widths = neuron_widths(model) if settings.ffn_ratio else ()
        self._start, self._target = settings.bounds(number)
        self.ramp_steps = max(1, round(settings.ramp * steps)) if steps else 1
        self.pruned = pruned
        self._scores: np.ndarray | None = None
        self._neuron_scores: np.ndarray | None = None
        self._scored_at: int | None = None

    def advance(self, step: int, model: Any, accelerator: Any) -> None:
        """Prune what the schedule asks for at ``step`` (from 1); the model's masks must be closed."""
        schedule = Schedule(self._target, self.ramp_steps, self._start, self._settings.power)
        ratio = schedule.ratio(step)
        heads = pruned_count(ratio, self._layout.num_heads)
        share = self._settings.neuron_share(ratio)
        more_neurons = bool(self._widths) and any(
            pruned_count(share, width) > len(self.pruned.neurons.get(layer, ()))
            for layer, width in enumerate(self._widths)
        )
        if heads <= len(self.pruned.heads) and not more_neurons:
            return
        head_scores = self._refresh(step, model, accelerator)
        chosen = lowest_heads(head_scores, self._layout, heads, self.pruned.heads, self._settings.floor)
        neurons: Mapping[int, Sequence[int]] = self.pruned.neurons
        if more_neurons and self._neuron_scores is not None:
            scores = np.where(self._silent(), -1.0, self._neuron_scores)
            neurons = lowest_neurons(scores, self._widths, share)
        self.pruned = Pruned(chosen, neurons)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps, so that a resumed run prunes what this one would."""
        return {
            "pruned": self.pruned.to_dict(),
            "scores": None if self._scores is None else self._scores.tolist(),
            "neuron_scores": None if self._neuron_scores is None else self._neuron_scores.tolist(),
            "scored_at": self._scored_at,
            "scored_tokens": self._scorer.tokens,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a checkpoint's state."""
        self.pruned = Pruned.from_dict(state["pruned"])
        self._scores = None if state["scores"] is None else np.array(state["scores"])
        neuron_scores = state["neuron_scores"]
        self._neuron_scores = None if neuron_scores is None else np.array(neuron_scores)
        self._scored_at = state["scored_at"]
        self._scorer.tokens = state["scored_tokens"]

    def _refresh(self, step: int, model: Any, accelerator: Any) -> np.ndarray:
        """Scores of the heads, new ones where the last are too old."""
        fresh = self._scored_at is not None and step - self._scored_at < self._settings.refresh_every
        if self._scores is not None and fresh:
            return self._scores
        training = model.training
        model.eval()
        with self.pruned.masking(model):
            self._scores = broadcast_scores(accelerator, self._scorer.heads(model, self.pruned.heads))
            if self._widths:
                scores = self._scorer.neurons(model, self._silent())
                self._neuron_scores = broadcast_scores(accelerator, scores)
        model.train(training)
        self._scored_at = step
        return self._scores

    def _silent(self) -> np.ndarray:
        """Booleans over all neurons: masked already."""
        silent = np.zeros(sum(self._widths), dtype=bool)
        start = 0
        for layer, width in enumerate(self._widths):
            silent[[start + index for index in self.pruned.neurons.get(layer, ())]] = True
            start += width
        return silent
