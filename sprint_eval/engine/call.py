"""One call's requests on their way through the engine: schedule, plan, run, decide."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from collections.abc import Sequence as SequenceOf
from typing import Any

import torch

from sprint_eval.engine.cache import Cache, Kept
from sprint_eval.engine.counters import Counters
from sprint_eval.engine.garbage import no_collection
from sprint_eval.engine.limits import PeakMemory, default_token_budget, is_out_of_memory
from sprint_eval.engine.nodes import Node
from sprint_eval.engine.plan import Planner, StepPlan
from sprint_eval.engine.prefix_memory import PrefixMemory
from sprint_eval.engine.prefixes import common_prefixes
from sprint_eval.engine.request import Generation, Request
from sprint_eval.engine.runner import Runner
from sprint_eval.engine.sampling import choose_token, penalize_repetition
from sprint_eval.engine.scheduler import Limits, Scheduler, in_working_order
from sprint_eval.engine.sequence import Sequence
from sprint_eval.engine.settings import DecodingSettings
from sprint_eval.engine.text import StopChecker, answer_text
from sprint_eval.engine.tree import AnswerTree
from sprint_eval.errors import GenerationError

_LOGGER = logging.getLogger(__name__)
_SPARE = 16  # slots beyond what requests can need


class Call:
    """One call's requests on their way through the engine."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        settings: DecodingSettings,
        kept: Kept,
        requests: SequenceOf[Request],
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._settings = settings
        self._segments = kept.segments
        self._sequences = self._make_sequences(requests, kept)

    def answers(
        self, token_budget: int | None, limits: Limits, counters: Counters
    ) -> Iterator[tuple[int, Generation]]:
        """Step until all requests are answered; with half the budget and again when memory runs out.

        No less than what one request needs: what made memory run out may pass.
        """
        needs = sum(sequence.most_slots for sequence in self._sequences)
        room = token_budget or default_token_budget(self._model, len(self._segments))
        budget = min(room, needs + _SPARE)
        waiting = in_working_order(self._sequences, budget)
        cache, prefixes = self._memory(budget, room)
        scheduler = Scheduler(waiting, cache, prefixes, limits)
        memory = PeakMemory(self._model.device)
        while scheduler.unfinished:
            started = time.perf_counter()
            try:
                finished = self._steps(scheduler, cache, counters)
            except (torch.OutOfMemoryError, RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                least = _SPARE + max(s.most_slots for s in self._sequences if s.finish_reason is None)
                if budget <= least and limits.live == 1:
                    raise GenerationError("out of memory even with one request at a time") from error
                budget = min(budget, max(budget // 2, least))
                room, limits = min(room, max(room // 2, least)), limits.halved()
                _LOGGER.warning("out of memory: going on with a token budget of %d", budget)
                for sequence in self._sequences:
                    sequence.tree.reset()
                cache, prefixes = self._memory(budget, room)
                scheduler.restart(cache, prefixes, limits)
                continue
            finally:
                counters.decode_seconds += time.perf_counter() - started
                counters.peak_memory_bytes = max(counters.peak_memory_bytes, memory.used())
            for sequence in finished:
                yield sequence.index, self._generation(sequence, counters)

    def _memory(self, budget: int, room: int) -> tuple[Cache, PrefixMemory]:
        """For requests' own tokens ``budget``, and as much as they could have for their prefixes."""
        prefixes = PrefixMemory((s.tree.prefix for s in self._sequences), self._segments, room)
        return Cache(self._segments, budget), prefixes

    def _steps(self, scheduler: Scheduler, cache: Cache, counters: Counters) -> list[Sequence]:
        """Forwards until some requests are finished."""
        planner = Planner(self._segments, cache, self._model.device)
        runner = Runner(self._model, self._segments, cache)
        with runner.open():
            while scheduler.unfinished:
                with no_collection():
                    plan = planner.plan(scheduler.next_step())
                logits = runner.run(plan)
                counters.forwards += 1
                counters.token_forwards += plan.token_layers / self._segments.num_layers
                counters.layers_skipped += plan.skipped_layers
                with no_collection():
                    finished = self._decide(plan, logits, scheduler, counters)
                if finished:
                    return finished
        return []

    def _decide(
        self, plan: StepPlan, logits: torch.Tensor, scheduler: Scheduler, counters: Counters
    ) -> list[Sequence]:
        """Choose tokens, keep the drafts that agree with them, and part with what is finished."""
        finished: list[Sequence] = []
        guesses: list[tuple[Sequence, list[Node]]] = []
        best = logits.argmax(-1).tolist()
        # All tokens are chosen before anything is kept: choosing may run out of memory, and the
        # requests must then stand where they stood before this forward.
        choices = [_choices(sequence, rows, best, logits) for sequence, rows in plan.decisions]
        for (sequence, _), tokens in zip(plan.decisions, choices, strict=True):
            draft, accepted = sequence.draft, 0
            followed = bool(draft) and draft[0].visits > 0
            tip = sequence.tip
            for token in tokens:
                sequence.choose(token)
                tip = tip.child(token)
                sequence.tree.visit(tip)
                agreed = accepted < len(draft) and draft[accepted] is tip
                if sequence.finish_reason is not None or not agreed:
                    accepted += agreed
                    break
                accepted += 1
            counters.drafted_tokens += len(draft)
            counters.accepted_tokens += accepted
            guesses.append((sequence, draft[accepted:]))
            scheduler.settle(sequence, accepted, followed)
            sequence.pending = [tip]
            if sequence.finish_reason is not None:
                scheduler.finish(sequence)
                finished.append(sequence)
        scheduler.drop_guesses(guesses)
        return finished

    def _generation(self, sequence: Sequence, counters: Counters) -> Generation:
        request = sequence.request
        counters.requests += 1
        counters.generated_tokens += len(sequence.tokens)
        counters.prompt_tokens += len(request.prompt)
        text = answer_text(self._tokenizer, sequence.tokens, request.stop, self._settings)
        return Generation(tuple(sequence.tokens), text, sequence.finish_reason or "length")

    def _make_sequences(self, requests: SequenceOf[Request], kept: Kept) -> list[Sequence]:
        prefixes = kept.prefixes(common_prefixes(request.prompt for request in requests))
        trees: dict[tuple[int, ...], AnswerTree] = {}
        checkers: dict[tuple[str, ...], StopChecker] = {}
        sequences: list[Sequence] = []
        for index, request in enumerate(requests):
            prompt = request.prompt
            if prompt not in trees:
                prefix = prefixes[prompt]
                trees[prompt] = AnswerTree(prefix, prompt[len(prefix) :])
            if request.stop not in checkers:
                checkers[request.stop] = StopChecker(self._tokenizer, request.stop, self._settings)
            keys = self._segments.keys(request.heads)
            order = self._segments.order(request.heads)
            sequences.append(Sequence(index, request, trees[prompt], keys, order, checkers[request.stop]))
        return sequences


def _choices(sequence: Sequence, rows: list[int], best: list[int], logits: torch.Tensor) -> list[int]:
    """The next tokens of a request: one, and one more for each drafted token that agrees."""
    tokens: list[int] = []
    for place, row in enumerate(rows):
        tokens.append(best[row] if sequence.plain_greedy else _choose(sequence, tokens, logits[row]))
        if place >= len(sequence.draft) or sequence.draft[place].token != tokens[-1]:
            break
    return tokens


def _choose(sequence: Sequence, chosen: list[int], logits: torch.Tensor) -> int:
    """The token after ``chosen`` where it is drawn, or where a penalty moves the logits ``[vocab]``."""
    sampling = sequence.request.sampling
    tokens = [*sequence.tokens, *chosen]
    penalized = penalize_repetition(logits, [*sequence.request.prompt, *tokens], sampling.repetition_penalty)
    return choose_token(penalized, sampling, len(tokens))
