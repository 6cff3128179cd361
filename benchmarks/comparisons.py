"""Methods of a protocol compared on the same questions: what the tables of two protocols share.

``router_table.py`` and ``mixed_table.py`` read ``sprint-eval compare``'s results with it.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sprint_eval.files import write_atomic
from sprint_eval.intervals import widen_certain
from sprint_eval.leaderboards.reader import read_runs
from sprint_eval.leaderboards.records import Run, Sampled
from sprint_eval.leaderboards.statistics import (
    LEVEL,
    Resampling,
    detectable_difference,
    holm,
    percentile_interval,
    permutation_p,
)

LABELS = (
    *("nearest", "coverage", "mixed", "greedy", "best", "random", "cover", "mixed-cover"),
    *("sample-0.1", "sample-0.6", "sample-0.9"),
)
CHOICES = ("maj", "wmaj", "best")  # the vote, weighted by the router, and by base_logprob
ASKED = (4, 8)  # the N at which two methods alone are compared
MOST = 0.75  # of all N: the protocols' "nearly all"


@dataclass(frozen=True)
class Method:
    """A method's scores on the test.

    Attributes:
        passed: Pass@1..N a question, averaged over the method's seeds, ``[questions, N]``.
        chosen: right or not a question where one of N answers is chosen without gold, by the choice's name.
        tokens: generated tokens a question of its first k candidates, ``[N]``.
        seeds: runs averaged.
    """

    passed: np.ndarray
    chosen: dict[str, np.ndarray]
    tokens: np.ndarray
    seeds: int


def read_arguments(description: str) -> tuple[dict[str, Path], Path]:
    """From the command line: each setting's folder by its name, and where tables go."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("settings", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    pairs = [given.partition("=") for given in args.settings]
    return {name: Path(folder) for name, _, folder in pairs}, args.out


def publish(out: Path, name: str, lines: list[str], rows: list[dict[str, Any]]) -> None:
    """A setting's two files, the first also on the screen."""
    write_atomic(out / f"tables-{name}.md", "\n".join(lines))
    write_differences(out / f"differences-{name}.csv", rows)
    print("\n".join(lines))


def write_differences(path: Path, rows: list[dict[str, Any]]) -> None:
    """The family of comparisons for machines, four digits of each number."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    for row in rows:
        writer.writerow({k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in row.items()})
    write_atomic(path, text.getvalue().encode())


def read_methods(folder: Path) -> dict[str, Method]:
    """Every method below a task's folder; runs that differ in a trailing ``-K`` are seeds of one."""
    runs: dict[str, list[Sampled]] = defaultdict(list)
    tokens: dict[str, list[np.ndarray]] = defaultdict(list)
    for part in sorted(path for path in folder.iterdir() if path.is_dir()):
        (run,) = read_runs([part]).runs
        if run.sampled is None:
            raise SystemExit(f"{part} has no samples")
        runs[method_of(part.name)].append(run.sampled)
        tokens[method_of(part.name)].append(read_tokens(run))
    order = sorted(next(iter(runs.values()))[0].keys)

    def mean(parts: list[Sampled], values: Callable[[Sampled], Any]) -> np.ndarray:
        """Over seeds, questions in one order."""
        curves = [dict(zip(part.keys, np.asarray(values(part), float), strict=True)) for part in parts]
        return np.mean([[curve[key] for key in order] for curve in curves], axis=0)

    found = {}
    for name, parts in runs.items():
        passed = mean(parts, lambda part: np.maximum.accumulate(part.correct, axis=1))
        chosen = {}
        if all(part.majority is not None for part in parts):
            chosen["maj"] = mean(parts, lambda part: part.majority[:, -1])
        for choice in parts[0].choices:
            if all(choice in part.choices for part in parts):
                chosen[choice] = mean(parts, lambda part, choice=choice: part.choices[choice][:, -1])
        found[name] = Method(passed, chosen, np.mean(tokens[name], axis=0), len(parts))
    return found


def read_tokens(run: Run) -> np.ndarray:
    """Mean tokens of a question's first k answers, ``[N]``; a deterministic model answers once."""
    rows = []
    with run.sampled.path.open(encoding="utf-8") as lines:
        for line in lines:
            rows.append([candidate["tokens"] for candidate in json.loads(line)["candidates"]])
    spent = np.array(rows, float)
    if run.header.info.get("deterministic"):
        spent[:, 1:] = 0
    mean: np.ndarray = spent.cumsum(axis=1).mean(axis=0)
    return mean


def check_complete(
    setting: str,
    methods: dict[str, Method],
    names: Sequence[str],
    wanted: Mapping[str, int],
) -> None:
    """Refuse another family of comparisons, or a mean over more or fewer seeds, than a protocol's."""
    for name in names:
        seeds = methods[name].seeds if name in methods else 0
        if seeds != wanted.get(name, 1):
            raise SystemExit(
                f"{setting}: {seeds} runs of {name}, the protocol asks for {wanted.get(name, 1)}"
            )


def method_of(label: str) -> str:
    """``nearest-0`` is a seed of ``nearest``, ``sample-0.6-0`` one of ``sample-0.6``."""
    known = sorted(LABELS, key=len, reverse=True)
    return next((name for name in known if label == name or label.startswith(f"{name}-")), label)


def compare(
    methods: dict[str, Method], routed: Sequence[str], baselines: Sequence[str]
) -> list[dict[str, Any]]:
    """Every routed method against every baseline at every N, Holm within a routed method."""
    resampling = Resampling(len(next(iter(methods.values())).passed))
    depth = next(iter(methods.values())).passed.shape[1]
    # What the family's first step, the strictest, would show; a single test shows two thirds of it.
    level = LEVEL / (len(baselines) * depth)
    rows: list[dict[str, Any]] = []
    for method in routed:
        family: list[dict[str, Any]] = []
        for baseline in baselines:
            differences = methods[method].passed - methods[baseline].passed  # [questions, N]
            low, high = interval_of(differences.T, resampling, paired=True)
            for k, column in enumerate(differences.T):
                spread = column.std(ddof=1)
                family.append(
                    {
                        "method": method,
                        "baseline": baseline,
                        "n": k + 1,
                        "difference": column.mean(),
                        "low": low[k],
                        "high": high[k],
                        "p": permutation_p(column),
                        "detectable": float(detectable_difference(spread, len(column), False, level)),
                        # Where two methods alone are asked about, at N = 4 and 8.
                        "detectable_of_two": float(
                            detectable_difference(spread, len(column), False, LEVEL / 2)
                        ),
                    }
                )
        for row, adjusted in zip(family, holm([row["p"] for row in family]), strict=True):
            rows.append({**row, "holm": float(adjusted)})
    return rows


def interval_of(
    values: np.ndarray, resampling: Resampling, paired: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """95 % intervals of the means of ``[rows, questions]``; ``paired``: of differences."""
    low, high = percentile_interval(resampling.means(values.astype(np.float32)))
    widen_certain(low, high, values, paired=paired)
    return low, high


def pass_table(methods: dict[str, Method], oracle: np.ndarray | None = None) -> list[str]:
    """Markdown of every method's Pass@N with its interval, and of the oracle over the pool, where known."""
    resampling = Resampling(len(next(iter(methods.values())).passed))
    depth = next(iter(methods.values())).passed.shape[1]
    lines = ["| method | seeds | " + " | ".join(f"N = {k}" for k in range(1, depth + 1)) + " |"]
    lines.append("|---|---:|" + "---:|" * depth)
    for name in sorted(methods, key=lambda name: -methods[name].passed[:, -1].mean()):
        method = methods[name]
        low, high = interval_of(method.passed.T, resampling)
        cells = [
            f"{mean:.3f} [{a:.3f}, {b:.3f}]"
            for mean, a, b in zip(method.passed.mean(axis=0), low, high, strict=True)
        ]
        lines.append(f"| {name} | {method.seeds} | " + " | ".join(cells) + " |")
    if oracle is None:
        return lines
    (low,), (high,) = interval_of(oracle[None], resampling)
    lines += ["", f"Oracle, any head of the pool: {oracle.mean():.3f} [{low:.3f}, {high:.3f}]."]
    return lines


def choice_table(methods: dict[str, Method]) -> list[str]:
    """Markdown of one answer of N, chosen without gold, beside Pass@N."""
    resampling = Resampling(len(next(iter(methods.values())).passed))
    depth = next(iter(methods.values())).passed.shape[1]
    lines = [f"| method | Pass@{depth} | " + " | ".join(f"{n}@{depth}" for n in CHOICES) + " |"]
    lines.append("|---|---:|" + "---:|" * len(CHOICES))
    for name in sorted(methods, key=lambda name: -methods[name].passed[:, -1].mean()):
        method = methods[name]
        cells = [f"{method.passed[:, -1].mean():.3f}"]
        for choice in CHOICES:
            if choice not in method.chosen:
                cells.append("")
                continue
            values = method.chosen[choice]
            (low,), (high,) = interval_of(values[None], resampling)
            cells.append(f"{values.mean():.3f} [{low:.3f}, {high:.3f}]")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def token_table(methods: dict[str, Method]) -> list[str]:
    """Markdown of tokens a question of every method's first N candidates."""
    depth = next(iter(methods.values())).passed.shape[1]
    lines = ["| tokens a question | " + " | ".join(f"N = {k}" for k in range(1, depth + 1)) + " |"]
    lines.append("|---|" + "---:|" * depth)
    for name in sorted(methods, key=lambda name: -methods[name].passed[:, -1].mean()):
        lines.append(f"| {name} | " + " | ".join(f"{v:.1f}" for v in methods[name].tokens) + " |")
    return lines


def difference_table(rows: list[dict[str, Any]]) -> list[str]:
    """Markdown of the family: difference with its interval, Holm's p, what could be detected."""
    lines = ["| method | baseline | N | difference | Holm p | detectable |", "|---|---|---:|---:|---:|---:|"]
    for row in rows:
        difference = f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"
        shown = f"| {row['method']} | {row['baseline']} | {row['n']} | {difference} | {row['holm']:.3f} "
        # Where two methods never differ there is no spread to tell it from.
        least = "" if np.isnan(row["detectable"]) else f"{row['detectable']:.3f}"
        lines.append(shown + f"| {least} |")
    return lines


def at_two(rows: list[dict[str, Any]], method: str, baseline: str, called: str) -> list[str]:
    """A method against one baseline at the two N that protocols ask about, Holm over the two."""
    chosen = [r for r in rows if r["method"] == method and r["baseline"] == baseline and r["n"] in ASKED]
    lines = []
    for row, p in zip(chosen, holm([row["p"] for row in chosen]), strict=True):
        word = "not shown ahead of"
        if p < LEVEL:
            word = "ahead of" if row["difference"] > 0 else "behind"
        lines.append(
            f"- **{method}** is {word} {called} at N = {row['n']}: {row['difference']:+.3f} "
            f"[{row['low']:+.3f}, {row['high']:+.3f}], p = {p:.3f} after Holm over N = 4 and 8"
            + ("." if np.isnan(least := row["detectable_of_two"]) else f" (detectable: {least:.3f}).")
        )
    return lines
