"""Runs a step's plan through the loaded ``transformers`` model.

The model's own forward does all the arithmetic. Hooks in front of its decoder layers hand each
segment the tokens of its stage: tokens enter where their cells begin to be missing, with hidden
states taken from the segment below, computed just now or in an earlier step.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from sprint_eval.architectures import attention_layout
from sprint_eval.engine.attention import LayerAttention, packed
from sprint_eval.engine.cache import Cache, empty_lasting
from sprint_eval.engine.plan import StepPlan
from sprint_eval.engine.segments import Segments
from sprint_eval.engine.stages import Stage

if TYPE_CHECKING:
    from torch import Tensor, nn

_BY_POSITION = ("position_embeddings", "position_ids", "cache_position")


class Runner:
    """A model set up to run plans, inside :meth:`open`."""

    def __init__(self, model: Any, segments: Segments, cache: Cache) -> None:
        self._model = model
        self._layers = attention_layout(model).layers
        self._segments = segments
        self._cache = cache

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Hooks and the packed attention are in place inside the block, and gone after it."""
        with packed(self._model), contextlib.ExitStack() as stack:
            for index, layer in enumerate(self._layers):
                hook = layer.register_forward_pre_hook(partial(self._enter, index), with_kwargs=True)
                stack.callback(hook.remove)
            stack.callback(self._layers[-1].register_forward_hook(_leave, with_kwargs=True).remove)
            yield

    @torch.inference_mode()
    def run(self, plan: StepPlan) -> Tensor:
        """Logits of the plan's deciding tokens: ``[rows, vocab]``."""
        output = self._model(
            input_ids=plan.input_ids[None],
            position_ids=plan.positions[None],
            use_cache=False,
            logits_to_keep=plan.logits,
            sprint_attention=_Step(self._cache, plan),
        )
        logits: Tensor = output.logits[0]
        return logits

    def _enter(
        self, index: int, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        step = kwargs.get("sprint_attention")
        if step is None:
            return None
        segment = self._segments.of_layer[index]
        hidden: Tensor = args[0]  # [1, tokens, hidden]
        if index == self._segments.starts[segment]:
            hidden = step.enter(segment, hidden[0])[None]
        step.layer = index
        for name in _BY_POSITION:
            if kwargs.get(name) is not None:
                kwargs[name] = _select(kwargs[name], name, step.stage)
        return (hidden, *args[1:]), kwargs


class _Step(LayerAttention):
    """One forward on its way through the layers."""

    def __init__(self, cache: Cache, plan: StepPlan) -> None:
        super().__init__(cache)
        self._plan = plan

    def enter(self, segment: int, hidden: Tensor) -> Tensor:
        """Hidden states of a segment's tokens, from those of the segment below: ``[tokens, hidden]``."""
        below = self.stage
        self.stage = stage = self._plan.stages[segment]
        if below is None:
            return hidden.index_select(0, stage.tokens)
        if not below.empty:
            self._keep(below, hidden)
        below.memo.clear()  # masks above all: a plan has many stages, and lives until the next one
        if stage.empty:
            return hidden[:1]
        if stage.same:
            return hidden
        entering = hidden.new_empty(len(stage.tokens), hidden.shape[-1])
        here, there = stage.from_previous
        entering.index_copy_(0, here, hidden.index_select(0, there))
        here, slots = stage.from_store
        if len(here):
            entering.index_copy_(0, here, self._cache.stores[segment - 1].read_hidden(slots))
        for start, cells in stage.from_prefix:
            if cells.hidden is None:
                raise RuntimeError("hidden states of a prefix are read that were not kept")
            entering[start : start + len(cells.hidden)] = cells.hidden
        return entering

    def leave(self, hidden: Tensor) -> Tensor:
        """``[1, step's tokens, hidden]``: a model may count on as many as it was given (GPT-2 does).

        Fewer have run where requests share cells up to the end, as draws of one prompt do.
        """
        missing = len(self._plan.input_ids) - hidden.shape[1]
        return torch.nn.functional.pad(hidden, (0, 0, 0, missing)) if missing > 0 else hidden

    def _keep(self, below: Stage, hidden: Tensor) -> None:
        if below.rows:
            self._cache.stores[below.segment].write_hidden(below.slots, hidden[: below.rows])
        for span, cells in below.prefixes:
            if span.key.shared:
                part = hidden[span.start : span.end]
                cells.hidden = empty_lasting(tuple(part.shape), part).copy_(part)


def _leave(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
    step = kwargs.get("sprint_attention")
    if step is None:
        return output
    if isinstance(output, tuple):
        return (step.leave(output[0]), *output[1:])
    return step.leave(output)


def _select(value: Any, name: str, stage: Stage) -> Any:
    """The stage's tokens of what a model gives its layers for all of the step's tokens."""
    if isinstance(value, tuple | list):
        return type(value)(_select(part, name, stage) for part in value)
    memo = ("select", name, id(value))
    found = stage.memo.get(memo)
    if found is None:
        dim = value.dim() - 2 if name == "position_embeddings" else value.dim() - 1
        found = stage.memo[memo] = value.index_select(dim, stage.tokens)
    return found
