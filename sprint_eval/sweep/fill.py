"""The sweep's loop: what is missing is decoded, graded and written, a batch of questions at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sprint_eval.engine.request import Generation, Request
from sprint_eval.errors import StoreError
from sprint_eval.heads import HeadSet
from sprint_eval.outcomes.cells import BASE_COLUMN, Cell
from sprint_eval.outcomes.store import OutcomeStore, check_alone
from sprint_eval.processes import Process

Work = list[tuple[int, list[int]]]
"""Questions with their missing columns."""

_WINDOW = 128  # questions; a sweep that is broken off still has all kinds, in about equal parts


class VerdictLike(Protocol):
    """What a grader says of one answer: see :class:`sprint_eval.grading.Verdict`."""

    @property
    def correct(self) -> bool: ...
    @property
    def extracted(self) -> str | None: ...
    @property
    def how(self) -> str: ...
    @property
    def status(self) -> str: ...


class ProgressLike(Protocol):
    """Is told what has been done."""

    def decoded(self, cells: int) -> None: ...


Decode = Callable[[Sequence[Request], Callable[[int], None]], Sequence[Generation]]
Pairs = Sequence[tuple[Mapping[str, Any], str]]
"""Documents with an answer each."""
Grade = Callable[[Pairs], Sequence[VerdictLike]]


@dataclass(frozen=True)
class Sweeper:
    """How a store is filled.

    Attributes:
        store: where the cells go.
        request: the request for a question under a head set.
        decode: decodes requests, telling how many more are done.
        grade: verdicts on answers to documents.
    """

    store: OutcomeStore
    request: Callable[[int, HeadSet], Request]
    decode: Decode
    grade: Grade

    def fill(self, process: Process, progress: ProgressLike, cells_at_once: int) -> int:
        """Do this process's part and return how many cells were written.

        Raises:
            StoreError: the store cannot be written, or another sweep is writing to it.
        """
        check_alone(self.store.folder, process)
        work = self.store.missing(process)
        if not work:
            return 0
        with self.store.writer(process) as writer:
            for batch in batches(alike_together(work, self._prompt), cells_at_once):
                writer.append(self.cells(batch, progress))
            return writer.cells

    def cells(self, work: Work, progress: ProgressLike) -> list[Cell]:
        """Decode and grade some questions' missing cells; siblings go to the engine together."""
        requests = [self.request(i, self._heads(j)) for i, columns in work for j in columns]
        generations = self.decode(requests, progress.decoded)
        if len(generations) != len(requests):
            raise StoreError(f"the engine gave {len(generations)} answers to {len(requests)} requests")
        places = [(i, j) for i, columns in work for j in columns]
        docs = [self.store.questions[i].doc for i, _ in places]
        verdicts = self.grade([(doc, answer.text) for doc, answer in zip(docs, generations, strict=True)])
        return [make_cell(*parts) for parts in zip(places, generations, verdicts, strict=True)]

    def _prompt(self, question: int) -> tuple[int, ...]:
        return self.request(question, HeadSet()).prompt

    def _heads(self, column: int) -> HeadSet:
        return HeadSet() if column == BASE_COLUMN else self.store.manifest.head_pool[column]


def alike_together(
    work: Work, prompt: Callable[[int], tuple[int, ...]], window: int = _WINDOW
) -> Iterator[tuple[int, list[int]]]:
    """The work, a window at a time in the order of its prompts.

    Questions of one kind often begin with the same worked examples, which the engine computes once
    for all of a batch that share them.
    """
    for start in range(0, len(work), window):
        yield from sorted(work[start : start + window], key=lambda entry: prompt(entry[0]))


def batches(work: Iterable[tuple[int, list[int]]], cells_at_once: int) -> Iterator[Work]:
    """Whole questions, as many as fit into ``cells_at_once``, and at least one."""
    batch: Work = []
    size = 0
    for question in work:
        if batch and size + len(question[1]) > cells_at_once:
            yield batch
            batch, size = [], 0
        batch.append(question)
        size += len(question[1])
    if batch:
        yield batch


def make_cell(place: tuple[int, int], answer: Generation, verdict: VerdictLike) -> Cell:
    """A decoded and graded answer as a cell; ``place`` is its question and column."""
    return Cell(
        *place,
        answer.text,
        verdict.correct,
        verdict.extracted,
        verdict.how,
        verdict.status,
        len(answer.tokens),
        answer.finish_reason,
    )
