"""Decoding and scoring behind a store: what an earlier run did is not done again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from sprint_eval.backends import Backend
from sprint_eval.compare.store import KeyedStore, key_of, text_of
from sprint_eval.engine.counters import Counters
from sprint_eval.engine.request import Generation, Request
from sprint_eval.scoring import Answer, Scorer

# Part of every key: raised by whoever changes which answer a request gets, the sampler's draws for one.
FORMAT = 2
# Answers decoded before they are written: what a kill can cost.
_AT_ONCE = 2048

Item = TypeVar("Item")


def generation_store(folder: Path) -> KeyedStore[Generation]:
    """A store of answers: text, tokens, finish reason, log-probability."""

    def pack(answer: Generation) -> list[Any]:
        return [answer.text, list(answer.tokens), answer.finish_reason, answer.logprob]

    def unpack(fields: list[Any]) -> Generation:
        text, tokens, finish, logprob = fields
        return Generation(tuple(tokens), text, finish, logprob)

    return KeyedStore(folder, pack, unpack)


def score_store(folder: Path) -> KeyedStore[float]:
    """A store of answers' scores."""
    return KeyedStore(folder, lambda score: [score], lambda fields: float(*fields))


class StoredBackend:
    """Decodes what the store does not have, and keeps it.

    Args:
        backend: who decodes.
        store: where answers are kept.
        identity: what decides an answer besides the request: the model's fingerprint, its dtype, the
            engine, versions of libraries.
    """

    def __init__(self, backend: Backend, store: KeyedStore[Generation], identity: Mapping[str, Any]) -> None:
        self._backend = backend
        self._store = store
        self._identity = text_of({"format": FORMAT, **identity})
        self._found = Counters()
        self.counters = Counters()

    def generate(
        self, requests: Sequence[Request], progress: Callable[[int], None] | None = None
    ) -> list[Generation]:
        """Answers in the order of the requests, about two thousand decoded and kept at a time.

        Prompts that begin alike are decoded together, whatever their order: the engine shares their work.
        """
        keys = [self._key(request) for request in requests]
        answers = [self._store.get(key) for key in keys]
        missing = [index for index, answer in enumerate(answers) if answer is None]
        self._count([(requests[i], a) for i, a in enumerate(answers) if a is not None])
        if progress is not None:
            progress(len(requests) - len(missing))
        missing.sort(key=lambda index: requests[index].prompt)
        for part in _parts(missing, {index: requests[index].group for index in missing}):
            decoded = self._backend.generate([requests[index] for index in part], progress)
            self._store.put((keys[index], answer) for index, answer in zip(part, decoded, strict=True))
            for index, answer in zip(part, decoded, strict=True):
                answers[index] = answer
        self._count_all()
        return [answer for answer in answers if answer is not None]

    def _count_all(self) -> None:
        """The backend's counters, with the tokens of answers that came from the store, and how many did."""
        own = self._backend.counters
        self.counters = replace(
            own,
            requests=own.requests + self._found.requests,
            prompt_tokens=own.prompt_tokens + self._found.prompt_tokens,
            generated_tokens=own.generated_tokens + self._found.generated_tokens,
            from_store=self._found.from_store,
        )

    def _key(self, request: Request) -> str:
        """Of everything that decides the answer; ``group`` does not."""
        decides = (request.prompt, str(request.heads), request.max_new_tokens, request.stop)
        return key_of(self._identity, *decides, asdict(request.sampling))

    def _count(self, found: Sequence[tuple[Request, Generation]]) -> None:
        self._found.requests += len(found)
        self._found.from_store += len(found)
        self._found.prompt_tokens += sum(len(request.prompt) for request, _ in found)
        self._found.generated_tokens += sum(len(answer.tokens) for _, answer in found)


class StoredScorer:
    """Scores what the store does not have, and keeps it.

    Args:
        scorer: who scores.
        store: where scores are kept.
        identity: what decides a score besides the answer: versions of libraries, a model's dtype.
    """

    def __init__(self, scorer: Scorer, store: KeyedStore[float], identity: Mapping[str, Any]) -> None:
        self._scorer = scorer
        self._store = store
        self._identity = text_of({"format": FORMAT, **scorer.info(), **identity})
        self.name = scorer.name
        self.from_store = 0  # distinct answers that an earlier run had scored

    def key(self, answer: Answer) -> Any:
        return self._scorer.key(answer)

    def score(self, answers: Sequence[Answer], progress: Callable[[int], None] | None = None) -> list[float]:
        """A finite score an answer, in order, about two thousand scored and kept at a time.

        Raises:
            GenerationError: one is not finite.
        """
        first: dict[str, Answer] = {}
        keys = [key_of(self._identity, self._scorer.key(answer)) for answer in answers]
        for key, answer in zip(keys, answers, strict=True):
            first.setdefault(key, answer)
        scores = {key: score for key in first if (score := self._store.get(key)) is not None}
        self.from_store += len(scores)
        if progress is not None:
            progress(len(scores))
        # Prompts that begin alike are scored together, whatever the order: the scorer shares their work.
        missing = sorted((key for key in first if key not in scores), key=lambda key: first[key].prompt)
        for part in _parts(missing, {key: first[key].prompt for key in missing}):
            made = self._scorer.score([first[key] for key in part], progress)
            self._store.put(zip(part, made, strict=True))
            scores.update(zip(part, made, strict=True))
        return [scores[key] for key in keys]

    def info(self) -> dict[str, Any]:
        return self._scorer.info()


def _parts(items: Sequence[Item], groups: Mapping[Item, Any]) -> Iterable[list[Item]]:
    """Runs of whole groups: siblings go to the engine together, which shares their work."""
    part: list[Item] = []
    for item in items:
        if len(part) >= _AT_ONCE and groups[item] != groups[part[-1]]:
            yield part
            part = []
        part.append(item)
    if part:
        yield part
