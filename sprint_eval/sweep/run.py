"""A sweep from its arguments to its end, and its estimate beforehand."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sprint_eval.engine.request import Generation, Request
from sprint_eval.outcomes.manifest import MANIFEST_FILE, Manifest
from sprint_eval.outcomes.reader import Outcomes
from sprint_eval.outcomes.store import OutcomeStore, check_alone, done_cells, expected_cells
from sprint_eval.processes import Process, this_process
from sprint_eval.sweep.calibrate import Estimate, calibrate
from sprint_eval.sweep.config import SweepConfig
from sprint_eval.sweep.fill import Sweeper
from sprint_eval.sweep.model import LoadedModel, load_model
from sprint_eval.sweep.prepare import Prepared, load_task, prepare
from sprint_eval.sweep.progress import Progress


@dataclass(frozen=True)
class SweepResult:
    """What a sweep leaves.

    Attributes:
        outcomes: the matrix as it is now, other processes' cells included.
        written: cells that this process wrote.
        missing: cells still to be decoded (by other processes, or because of ``limit``).
    """

    outcomes: Outcomes
    written: int
    missing: int


def run_sweep(
    config: SweepConfig,
    *,
    process: Process | None = None,
    model: LoadedModel | None = None,
    show: Callable[[str], None] | None = None,
) -> SweepResult:
    """Decode what is missing of an outcome matrix and write it to ``config.out``.

    Args:
        config: the sweep.
        process: this process's part; by default as the launcher numbers it.
        model: a model that is loaded already.
        show: is told what happens, a line at a time.

    Raises:
        SprintError: anything that cannot be done, before anything is decoded where possible.
    """
    process = process if process is not None else this_process()
    say = show if show is not None else _say
    check_alone(Path(config.out), process)
    task = load_task(config)
    model = model if model is not None else load_model(config)
    prepared = prepare(config, model, task)
    store = OutcomeStore(config.out, prepared.manifest, prepared.questions)
    sweeper = _sweeper(store, prepared, model)
    total, done = _part(store, process)
    pool = len(store.manifest.pool)
    say(f"{len(store.questions)} questions x ({pool} head sets + base), {done} of {total} cells done before")
    progress = Progress(total, done, lambda: model.backend.counters, process)
    try:
        written = sweeper.fill(process, progress, config.cells_at_once)
    finally:
        progress.close()
    return _result(store, written)


def dry_run(
    config: SweepConfig, *, processes: int | None = None, model: LoadedModel | None = None
) -> Estimate:
    """Estimate a sweep's cells, tokens, time and disk from a short calibration; writes nothing.

    Raises:
        SprintError: what would also stop the sweep itself.
    """
    task = load_task(config)
    model = model if model is not None else load_model(config)
    prepared = prepare(config, model, task)
    done = 0
    if (Path(config.out) / MANIFEST_FILE).exists():
        Manifest.load(Path(config.out)).check_same(prepared.manifest, config.out)
        done = done_cells(Outcomes.load(config.out))
    count = processes if processes is not None else this_process().count
    return calibrate(prepared, model.backend, expected_cells(prepared.manifest), done, count)


def _sweeper(store: OutcomeStore, prepared: Prepared, model: LoadedModel) -> Sweeper:
    def decode(requests: Sequence[Request], progress: Callable[[int], None]) -> list[Generation]:
        return model.backend.generate(list(requests), progress)

    return Sweeper(store, prepared.request, decode, prepared.grade)


def _part(store: OutcomeStore, process: Process) -> tuple[int, int]:
    """Cells of this process's part, and how many of them are done."""
    rows = len(range(process.index, store.manifest.num_questions, process.count))
    total = rows * expected_cells(store.manifest) // max(store.manifest.num_questions, 1)
    return total, total - sum(len(columns) for _, columns in store.missing(process))


def _result(store: OutcomeStore, written: int) -> SweepResult:
    outcomes = store.outcomes()
    return SweepResult(outcomes, written, expected_cells(store.manifest) - done_cells(outcomes))


def _say(text: str) -> None:
    print(f"sprint-eval sweep: {text}", file=sys.stderr, flush=True)
