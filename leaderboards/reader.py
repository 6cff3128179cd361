"""Folders in, runs out: every file that cannot be used is named with its reason, none is fatal."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from sprint_eval.errors import DataError
from sprint_eval.leaderboards.discover import find_files
from sprint_eval.leaderboards.records import PASS, Problem, Reading, Run, RunHeader, Sampled
from sprint_eval.leaderboards.results_file import read_results
from sprint_eval.leaderboards.samples import read_samples

# Below this much of samples, starting worker processes costs more than it saves.
_PARALLEL_BYTES = 64 * 2**20


class Cache(dict[tuple[Path, int, int, int], "list[Sampled] | DataError"]):
    """Samples that were read before, by path, size, time of change and N."""


def read_runs(paths: Iterable[Path], cache: Cache | None = None) -> Reading:
    """Read every run under the given folders and files.

    Args:
        cache: what an earlier call read; files that have not changed since are not read again.

    Raises:
        DataError: a path does not exist.
    """
    found = find_files(paths)
    reading = Reading(files=len(found.results), others=list(found.others))
    headers: list[RunHeader] = []
    used: set[Path] = set()
    for path in found.results:
        try:
            read, problems = read_results(path, found)
        except DataError as error:
            reading.problems.append(Problem(path, str(error)))
            continue
        headers.extend(read)
        reading.problems.extend(problems)
    for header, outcome in zip(headers, _read_all(headers, Cache() if cache is None else cache), strict=True):
        if header.samples_path is not None:
            used.add(header.samples_path)
        if isinstance(outcome, DataError):
            reading.problems.append(Problem(header.samples_path or header.path, str(outcome)))
            continue
        _add_runs(reading, header, outcome)
    for (_, task, _), path in sorted(found.samples.items()):
        if path not in used:
            reading.problems.append(Problem(path, f"samples of {task} without a readable results file"))
    return reading


def _read_all(headers: list[RunHeader], cache: Cache) -> list[list[Sampled] | DataError | None]:
    """The samples of each header, in order; in worker processes where there is much to read."""
    keys = [_key(header) for header in headers]
    jobs = [key for key in dict.fromkeys(keys) if key is not None and key not in cache]
    workers = min(os.cpu_count() or 1, 8, len(jobs))
    if workers < 2 or sum(size for _, size, _, _ in jobs) < _PARALLEL_BYTES:
        cache.update({job: _read_one(job) for job in jobs})
    else:
        with ProcessPoolExecutor(workers) as pool:
            cache.update(zip(jobs, pool.map(_read_one, jobs), strict=True))
    for stale in cache.keys() - set(keys):
        del cache[stale]
    return [None if key is None else cache[key] for key in keys]


def _key(header: RunHeader) -> tuple[Path, int, int, int] | None:
    path = header.samples_path
    if path is None:
        return None
    try:
        status = path.stat()
    except OSError:
        return path, 0, 0, header.repeats
    return path, status.st_size, status.st_mtime_ns, header.repeats


def _read_one(job: tuple[Path, int, int, int]) -> list[Sampled] | DataError:
    path, _, _, repeats = job
    try:
        return read_samples(path, repeats)
    except DataError as error:
        return error


def _add_runs(reading: Reading, header: RunHeader, outcome: list[Sampled] | None) -> None:
    if outcome is None:
        reading.runs.extend(_unsampled(header))
        return
    before = len(reading.runs)
    sampled_scores = {(sampled.score, sampled.filter) for sampled in outcome}
    if not any(score == PASS for score, _ in sampled_scores):
        # Another task's own pass@k (HumanEval's) has one value a question: it is not that of candidates.
        known = sampled_scores | {(PASS, name) for score, name in sampled_scores if score.startswith("pass@")}
        # A corpus metric (perplexity, F1) has no value a question: what the results state is all there is.
        reading.runs.extend(run for run in _unsampled(header) if (run.score, run.filter) not in known)
    for sampled in outcome:
        try:
            _check(header, sampled)
        except DataError as error:
            reading.problems.append(Problem(sampled.path, f"{sampled.score}, {sampled.filter}: {error}"))
        else:
            reading.runs.append(Run(header, sampled.score, sampled.filter, sampled))
    if len(reading.runs) == before and not any(p.path == header.samples_path for p in reading.problems):
        reading.problems.append(Problem(header.path, f"task {header.task} has no score a question"))


def _check(header: RunHeader, sampled: Sampled) -> None:
    """Samples must be whole, and give the figures that the results file states."""
    if header.questions is not None and len(sampled.keys) != header.questions:
        raise DataError(f"{len(sampled.keys)} of the run's {header.questions} questions are there")
    if sampled.score == PASS:
        reached = np.maximum.accumulate(sampled.correct, axis=1).mean(axis=0)
        found = {f"pass@{k}": float(value) for k, value in enumerate(reached, start=1)}
    elif sampled.values is not None:
        found = {sampled.score: float(sampled.values.mean())}
    for metric, value in found.items():
        stated = header.metrics.get((metric, sampled.filter))
        if stated is not None and abs(stated - value) > 1e-6 * max(1.0, abs(stated)):
            raise DataError(f"the results say {metric} = {stated:.6g}, the samples' mean is {value:.6g}")


def _unsampled(header: RunHeader) -> list[Run]:
    """A run whose samples were not logged: its aggregate figures are all there is."""
    runs: dict[tuple[str, str], Run] = {}
    for metric, filter_name in header.metrics:
        ours = ("pass@1", filter_name) in header.metrics
        names = ("pass@", "maj@", "wmaj@", "best@") if ours else ("pass@", "maj@")
        score = PASS if metric.startswith(names) else metric
        counted = ours and metric == "candidates"  # how many there are is nobody's score
        if counted or (score == PASS and not ours):
            continue
        runs.setdefault((score, filter_name), Run(header, score, filter_name, None))
    return list(runs.values())
