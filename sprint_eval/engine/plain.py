"""Plain batched ``transformers`` generation with a head set a row.

The engine's peer in benchmarks and its reference in tests: nothing is shared between requests
but the batch.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from sprint_eval.engine.counters import Counters
from sprint_eval.engine.limits import PeakMemory, is_out_of_memory
from sprint_eval.engine.request import Generation, Request
from sprint_eval.engine.rotation import forget_longer_texts, rotation_threshold
from sprint_eval.engine.sampling import choose_token
from sprint_eval.engine.settings import DecodingSettings
from sprint_eval.engine.text import StopChecker, answer_text
from sprint_eval.errors import GenerationError
from sprint_eval.masking import HeadMasker

_LOGGER = logging.getLogger(__name__)

if TYPE_CHECKING:
    from torch import Tensor


class PlainEngine:
    """Decodes requests in batches of fixed size by ``model.generate``."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        settings: DecodingSettings | None = None,
        batch_size: int = 32,
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._masker = HeadMasker(model)
        self._settings = settings or DecodingSettings.from_model(model, tokenizer)
        self._batch_size = batch_size
        self._threshold = rotation_threshold(model)
        self.counters = Counters()

    def generate(
        self, requests: Sequence[Request], progress: Callable[[int], None] | None = None
    ) -> list[Generation]:
        """Decode ``requests``; answers come in their order. ``progress(n)`` is told of n more."""
        answers: dict[int, Generation] = {}
        for index, generation in self.generate_stream(requests):
            answers[index] = generation
            if progress is not None:
                progress(1)
        return [answers[index] for index in range(len(requests))]

    def generate_stream(self, requests: Sequence[Request]) -> Iterator[tuple[int, Generation]]:
        """Decode ``requests`` and give each answer, with its request's index, when its batch is finished."""
        memory = PeakMemory(self._model.device)
        for batch in self._batches(requests):
            started = time.perf_counter()
            generations = self._fitting([requests[i] for i in batch])
            self.counters.generated_tokens += sum(len(generation.tokens) for generation in generations)
            self.counters.prompt_tokens += sum(len(requests[index].prompt) for index in batch)
            self.counters.requests += len(batch)
            self.counters.decode_seconds += time.perf_counter() - started
            self.counters.peak_memory_bytes = max(self.counters.peak_memory_bytes, memory.used())
            yield from zip(batch, generations, strict=True)

    def _batches(self, requests: Sequence[Request]) -> Iterator[list[int]]:
        """Indices of requests that can share a batch, the longest prompts first."""
        order = sorted(range(len(requests)), key=lambda i: _batch_key(requests[i]))
        batch: list[int] = []
        for index in order:
            full = len(batch) == self._batch_size
            if batch and (full or not _can_share(requests[batch[0]], requests[index], self._threshold)):
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch

    def _fitting(self, batch: list[Request]) -> list[Generation]:
        """The batch decoded, in halves where memory runs out."""
        try:
            return self._decode(batch)
        except (torch.OutOfMemoryError, RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if len(batch) == 1:
                raise GenerationError("out of memory even with one request at a time") from error
        half = len(batch) // 2
        self._batch_size = min(self._batch_size, max(half, 1))
        _LOGGER.warning("out of memory: going on with batches of %d", self._batch_size)
        return self._fitting(batch[:half]) + self._fitting(batch[half:])

    def _decode(self, batch: list[Request]) -> list[Generation]:
        if self._threshold is not None:
            forget_longer_texts(self._model)
        width = max(len(request.prompt) for request in batch)
        pad = self._tokenizer.pad_token_id or 0
        padded = [[pad] * (width - len(request.prompt)) + list(request.prompt) for request in batch]
        ids = torch.tensor(padded, device=self._model.device)  # [batch, width], left-padded
        lengths = torch.tensor([len(request.prompt) for request in batch], device=ids.device)
        mask = (torch.arange(width, device=ids.device) >= width - lengths[:, None]).long()
        stopping = _RowStops(
            [StopChecker(self._tokenizer, request.stop, self._settings) for request in batch], width
        )
        with torch.no_grad(), self._masker.rows([request.heads for request in batch]):
            output: Tensor = self._model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=batch[0].max_new_tokens,
                max_length=None,
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
                repetition_penalty=batch[0].sampling.repetition_penalty,
                pad_token_id=pad,
                eos_token_id=None,
                stopping_criteria=StoppingCriteriaList([stopping]),
                logits_processor=LogitsProcessorList([_RowSampler(batch, width)]),
            )
        steps = output.shape[1] - width
        self.counters.forwards += steps
        self.counters.token_forwards += len(batch) * (width + steps - 1)
        return [
            self._generation(request, row[width:], length)
            for request, row, length in zip(batch, output.tolist(), stopping.lengths, strict=True)
        ]

    def _generation(self, request: Request, tokens: list[int], length: int | None) -> Generation:
        kept = tuple(tokens[: length or request.max_new_tokens])
        text = answer_text(self._tokenizer, kept, request.stop, self._settings)
        return Generation(kept, text, "length" if length is None else "stop")


def _batch_key(request: Request) -> tuple[int, int, float]:
    return -request.max_new_tokens, -len(request.prompt), request.sampling.repetition_penalty


def _can_share(first: Request, other: Request, threshold: int | None) -> bool:
    """``threshold``: length beyond which a text would turn the others' rotations."""
    if first.max_new_tokens != other.max_new_tokens:
        return False
    if threshold is not None and max(first.length, other.length) > threshold:
        return False
    penalties = first.sampling.repetition_penalty, other.sampling.repetition_penalty
    # A penalty counts padding as text already seen, so penalised rows need prompts of one length.
    return penalties == (1.0, 1.0) or (
        penalties[0] == penalties[1] and len(first.prompt) == len(other.prompt)
    )


class _RowStops(StoppingCriteria):
    """Ends each row at its own stop and remembers how many tokens it had."""

    def __init__(self, checkers: list[StopChecker], prompt_width: int) -> None:
        self._checkers = checkers
        self._width = prompt_width
        self.lengths: list[int | None] = [None] * len(checkers)

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        for row, tokens in enumerate(input_ids[:, self._width :].tolist()):
            if self.lengths[row] is None and self._checkers[row].ended(tokens):
                self.lengths[row] = len(tokens)
        done = [length is not None for length in self.lengths]
        return torch.tensor(done, device=input_ids.device)


class _RowSampler(LogitsProcessor):
    """Leaves greedy rows alone; in sampled rows only the token drawn by the row's seed stays."""

    def __init__(self, batch: list[Request], prompt_width: int) -> None:
        self._sampling = [request.sampling for request in batch]
        self._width = prompt_width

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        step = input_ids.shape[1] - self._width
        for row, sampling in enumerate(self._sampling):
            if sampling.do_sample:
                token = choose_token(scores[row], sampling, step)
                scores[row] = -torch.inf
                scores[row, token] = 0.0
        return scores
