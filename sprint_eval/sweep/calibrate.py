"""What a sweep will cost, told from a few of its cells."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from sprint_eval.backends import Backend
from sprint_eval.engine.request import Request
from sprint_eval.heads import BASE, HeadSet, parse_entry
from sprint_eval.outcomes.cells import Cell
from sprint_eval.sweep.fill import make_cell
from sprint_eval.sweep.prepare import Prepared
from sprint_eval.sweep.progress import duration

_QUESTIONS = 3
_HEAD_SETS = 24


@dataclass(frozen=True)
class Estimate:
    """A sweep's cost.

    Attributes:
        cells: cells of the whole matrix; ``done`` of them are in the store.
        sample: cells that were decoded to find out.
        prompt_tokens, generated_tokens: of the cells that are left.
        seconds: decoding and grading them, over all ``processes``.
        bytes: what they take on disk.
        processes: among which the work is divided.
    """

    cells: int
    done: int
    sample: int
    prompt_tokens: int
    generated_tokens: int
    seconds: float
    bytes: int
    processes: int

    def lines(self) -> list[str]:
        """The estimate as text."""
        left = self.cells - self.done
        rate = self.generated_tokens / self.seconds if self.seconds else 0.0
        share = f" on {self.processes} processes like this one" if self.processes > 1 else ""
        return [
            f"cells   {left} to decode of {self.cells} (questions x head sets, the base included)",
            f"tokens  about {self.generated_tokens:,} generated; prompts {self.prompt_tokens:,}, unshared",
            f"time    about {duration(self.seconds / self.processes)}{share} ({rate:.0f} tokens/s)",
            f"disk    about {size(self.bytes)}",
            f"from a calibration on {self.sample} cells; nothing was written",
        ]


def calibrate(prepared: Prepared, backend: Backend, cells: int, done: int, processes: int) -> Estimate:
    """Decode and grade a few cells, spread over questions and pool, and reckon up the rest.

    The first question warms up and is not timed. With few variants a question the drafts of a fast
    engine help less than in the sweep itself, so that the time is rather too long than too short.
    """
    rows = np.unique(np.linspace(0, len(prepared.questions) - 1, _QUESTIONS + 1).astype(int)).tolist()
    sets = _spread(prepared)
    timed = rows[1:] or rows
    _decode(prepared, backend, rows[:1], sets[: max(2, len(sets) // 4)])
    started = time.perf_counter()
    sample = _decode(prepared, backend, timed, sets)
    seconds = time.perf_counter() - started
    left = cells - done
    per_cell = left / max(len(sample), 1)
    prompts = float(np.mean([len(prompt) for prompt in prepared.prompts])) if prepared.prompts else 0.0
    return Estimate(
        cells=cells,
        done=done,
        sample=len(sample),
        prompt_tokens=round(prompts * left),
        generated_tokens=round(sum(cell.tokens for cell in sample) * per_cell),
        seconds=seconds * per_cell,
        bytes=round(sum(len(cell.encode()) for cell in sample) * per_cell),
        processes=processes,
    )


def _spread(prepared: Prepared) -> list[HeadSet]:
    """The base and a few head sets from all over the pool."""
    pool = [text for text in prepared.manifest.pool if text != BASE]
    count = min(_HEAD_SETS, len(pool))
    chosen = np.unique(np.linspace(0, max(len(pool) - 1, 0), count).astype(int)).tolist()
    return [HeadSet()] + [parse_entry(pool[j]) for j in chosen]


def _decode(prepared: Prepared, backend: Backend, rows: list[int], sets: list[HeadSet]) -> list[Cell]:
    requests: list[Request] = [prepared.request(i, heads) for i in rows for heads in sets]
    places = [(i, column) for i in rows for column in range(len(sets))]
    answers = backend.generate(requests)
    docs = [prepared.questions[i].doc for i, _ in places]
    verdicts = prepared.grade([(doc, answer.text) for doc, answer in zip(docs, answers, strict=True)])
    return [make_cell(*parts) for parts in zip(places, answers, verdicts, strict=True)]


def size(count: float) -> str:
    """``"12 kB"``, ``"3.4 MB"`` or ``"1.2 GB"``."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"
