"""The exact engine: one question's variants decoded together, each result computed once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator
from collections.abc import Sequence as SequenceOf
from dataclasses import replace
from typing import Any

from sprint_eval.architectures import attention_layout
from sprint_eval.engine.cache import Kept, weights_of
from sprint_eval.engine.call import Call
from sprint_eval.engine.counters import Counters
from sprint_eval.engine.limits import default_limits
from sprint_eval.engine.plain import PlainEngine
from sprint_eval.engine.probe import why_unsafe
from sprint_eval.engine.request import Generation, Request
from sprint_eval.engine.rotation import rotation_threshold
from sprint_eval.engine.scheduler import Limits
from sprint_eval.engine.settings import DecodingSettings

_LOGGER = logging.getLogger(__name__)


class Engine:
    """Decodes requests that each carry their own head set, exactly as one by one.

    Shared between requests: prefixes of prompts, layers below the first pruned head, and answers
    as drafts. A model on which sharing cannot be shown to be safe is decoded plainly, with a
    warning that says why.

    Args:
        token_budget: tokens whose keys and values are kept at the same time, over all live
            requests; found from free memory if ``None``.
        batch_size: requests decoded at the same time, at most; ``None`` lets the engine choose.
        limits: size of forwards and of drafts; by device if ``None``.

    Raises:
        ArgumentError: a ``batch_size`` below 1.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        settings: DecodingSettings | None = None,
        token_budget: int | None = None,
        batch_size: int | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._layout = attention_layout(model)
        self._settings = settings or DecodingSettings.from_model(model, tokenizer)
        self._token_budget = token_budget
        self._limits = limits or default_limits(model.device)
        if batch_size is not None:
            self._limits = replace(self._limits, live=batch_size)
        self._plain_reason: str | None = None
        self._probed = False
        self._told_of_rotation = False
        self._kept: Kept | None = None
        self.counters = Counters()

    def generate(
        self, requests: SequenceOf[Request], progress: Callable[[int], None] | None = None
    ) -> list[Generation]:
        """Decode ``requests``; answers come in their order. ``progress(n)`` is told of n more.

        Raises:
            HeadError: a head that the model does not have.
            GenerationError: a request that does not fit into memory even alone.
        """
        answers: dict[int, Generation] = {}
        for index, generation in self.generate_stream(requests):
            answers[index] = generation
            if progress is not None:
                progress(1)
        return [answers[index] for index in range(len(requests))]

    def generate_stream(self, requests: SequenceOf[Request]) -> Generator[tuple[int, Generation], None, None]:
        """Decode ``requests`` and give each answer, with its request's index, when it is finished."""
        for request in requests:
            self._layout.heads.check(request.heads)
        if not requests:
            return
        apart = self._apart(requests)
        plainly = [index for index, alone in enumerate(apart) if alone]
        shared = [index for index, alone in enumerate(apart) if not alone]
        for places, decode in ((shared, self._shared), (plainly, self._plainly)):
            if places:
                for place, generation in decode([requests[index] for index in places]):
                    yield places[place], generation

    def forget(self) -> None:
        """Drop the prefixes kept from call to call.

        A weight that was written since is noticed; after anything else that changes what the model
        computes (a peft adapter switched, a hook added) this is the caller's to say.
        """
        self._kept = None

    def why_plain(self) -> str | None:
        """Why this model is decoded without sharing, or ``None`` where it is shared."""
        if not self._probed:
            self._probed = True
            self._plain_reason = why_unsafe(self._model)
            if self._plain_reason is not None:
                _LOGGER.warning(
                    "the engine shares nothing on this %s model and decodes it plainly: %s",
                    getattr(self._model.config, "model_type", "unknown"),
                    self._plain_reason,
                )
        return self._plain_reason

    def _apart(self, requests: SequenceOf[Request]) -> list[bool]:
        """Which requests are decoded plainly: all, or those whose length would turn their neighbours."""
        if self.why_plain() is not None:
            return [True] * len(requests)
        threshold = rotation_threshold(self._model)
        apart = [threshold is not None and request.length > threshold for request in requests]
        if any(apart) and not self._told_of_rotation:
            self._told_of_rotation = True
            _LOGGER.warning(
                "this model's rotary embedding changes for texts beyond %d tokens: the engine decodes "
                "requests that may become longer plainly",
                threshold,
            )
        return apart

    def _shared(self, requests: SequenceOf[Request]) -> Iterator[tuple[int, Generation]]:
        kept, self._kept = self._kept, None  # a call that breaks off leaves nothing half-computed behind
        head_sets, weights = frozenset(request.heads for request in requests), weights_of(self._model)
        if kept is None or kept.weights != weights or not head_sets <= kept.head_sets:
            kept = Kept(head_sets, self._layout.heads.num_layers, weights)
        call = Call(self._model, self._tokenizer, self._settings, kept, requests)
        yield from call.answers(self._token_budget, self._limits, self.counters)
        self._kept = kept

    def _plainly(self, requests: SequenceOf[Request]) -> Iterator[tuple[int, Generation]]:
        size = min(32, self._limits.live)
        plain = PlainEngine(self._model, self._tokenizer, settings=self._settings, batch_size=size)
        plain.counters = self.counters
        yield from plain.generate_stream(requests)
