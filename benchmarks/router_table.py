"""The comparisons of the router's protocol, carried out: docs/results/router-smollm2/protocol.md.

    python benchmarks/router_table.py --out docs/results/router-smollm2 'rg, base=RUNS/results/TASK=TIMED' …

Each argument is a setting's name and a folder of ``sprint-eval compare``'s results of one task; a third part
is such a folder of runs that share no store, which tell seconds. Every method's Pass@N with its interval,
one answer chosen without gold, each routed method against each baseline at every N, Holm over that family,
the smallest detectable difference, seconds and tokens a question, and the protocol's verdicts, as Markdown
and CSV.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sprint_eval.files import write_atomic
from sprint_eval.leaderboards.reader import read_runs
from sprint_eval.leaderboards.records import Sampled
from sprint_eval.leaderboards.statistics import (
    LEVEL,
    Resampling,
    detectable_difference,
    holm,
    percentile_interval,
    permutation_p,
)

ROUTED = ("nearest", "coverage")
BASELINES = ("greedy", "best", "sample-0.1", "sample-0.6", "sample-0.9", "random", "cover")
PAPER = ("random", "sample-0.1", "sample-0.6", "sample-0.9")  # what the paper compares with
CHOICES = ("maj", "wmaj", "best")  # the vote, weighted by the router, and by base_logprob
MOST = 0.75  # of all N: the protocol's "nearly all"


@dataclass(frozen=True)
class Method:
    """A method's scores on the test.

    Attributes:
        passed: Pass@1..N a question, averaged over the method's seeds, ``[questions, N]``.
        chosen: right or not a question where one of N answers is chosen without gold, by the choice's name.
        tokens: generated tokens a question, of all its candidates.
        seeds: runs averaged.
    """

    passed: np.ndarray
    chosen: dict[str, np.ndarray]
    tokens: float | None
    seeds: int


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("settings", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    text: list[str] = []
    rows: list[dict[str, Any]] = []
    for given in args.settings:
        name, folder, *timed = given.split("=")
        methods = read_methods(Path(folder))
        found = compare(methods)
        rows += [{"setting": name, **row} for row in found]
        text += [f"## {name}", "", *pass_table(methods), "", *verdicts(found), ""]
        text += [*choice_table(methods, read_seconds(Path(timed[0])) if timed else {}), ""]
        text += [*difference_table(found), ""]
    write_atomic(args.out / "tables.md", "\n".join(text))
    with (args.out / "differences.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        for row in rows:
            writer.writerow({k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in row.items()})
    print("\n".join(text))


def read_methods(folder: Path) -> dict[str, Method]:
    """Every method below a task's folder; runs that differ in a trailing ``-K`` are seeds of one."""
    runs: dict[str, list[Sampled]] = defaultdict(list)
    tokens: dict[str, list[float]] = defaultdict(list)
    for part in sorted(path for path in folder.iterdir() if path.is_dir()):
        (run,) = read_runs([part]).runs
        if run.sampled is None:
            raise SystemExit(f"{part} has no samples")
        runs[method_of(part.name)].append(run.sampled)
        counters = run.header.info.get("counters") or {}
        if "generated_tokens" in counters:
            tokens[method_of(part.name)].append(counters["generated_tokens"] / len(run.sampled.keys))
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
        spent = float(np.mean(tokens[name])) if tokens[name] else None
        found[name] = Method(passed, chosen, spent, len(parts))
    return found


def read_seconds(folder: Path) -> dict[str, float]:
    """Seconds of decoding a question, of every method that was run alone."""
    found = {}
    for part in sorted(path for path in folder.iterdir() if path.is_dir()):
        (run,) = read_runs([part]).runs
        seconds = (run.header.info.get("counters") or {}).get("decode_seconds")
        if seconds is not None and run.sampled is not None:
            found[method_of(part.name)] = seconds / len(run.sampled.keys)
    return found


def method_of(label: str) -> str:
    """``nearest-0`` is a seed of ``nearest``, ``sample-0.6-0`` one of ``sample-0.6``."""
    known = sorted((*ROUTED, *BASELINES, "mixed"), key=len, reverse=True)
    return next((name for name in known if label == name or label.startswith(f"{name}-")), label)


def compare(methods: dict[str, Method]) -> list[dict[str, Any]]:
    """Every routed method against every baseline at every N, Holm within a routed method."""
    resampling = Resampling(len(next(iter(methods.values())).passed))
    rows: list[dict[str, Any]] = []
    for routed in (name for name in ROUTED if name in methods):
        family: list[dict[str, Any]] = []
        for baseline in (name for name in BASELINES if name in methods):
            differences = methods[routed].passed - methods[baseline].passed  # [questions, N]
            low, high = percentile_interval(resampling.means(differences.T.astype(np.float32)))
            for k, column in enumerate(differences.T):
                detectable = detectable_difference(column.std(ddof=1), len(column), False)
                family.append(
                    {
                        "method": routed,
                        "baseline": baseline,
                        "n": k + 1,
                        "difference": column.mean(),
                        "low": low[k],
                        "high": high[k],
                        "p": permutation_p(column),
                        "detectable": float(detectable),
                    }
                )
        for row, adjusted in zip(family, holm([row["p"] for row in family]), strict=True):
            rows.append({**row, "holm": float(adjusted)})
    return rows


def pass_table(methods: dict[str, Method]) -> list[str]:
    """Markdown of every method's Pass@N with its interval."""
    resampling = Resampling(len(next(iter(methods.values())).passed))
    depth = next(iter(methods.values())).passed.shape[1]
    lines = ["| method | seeds | " + " | ".join(f"N = {k}" for k in range(1, depth + 1)) + " |"]
    lines.append("|---|---:|" + "---:|" * depth)
    for name in sorted(methods, key=lambda name: -methods[name].passed[:, -1].mean()):
        method = methods[name]
        low, high = percentile_interval(resampling.means(method.passed.T.astype(np.float32)))
        cells = [
            f"{mean:.3f} [{a:.3f}, {b:.3f}]"
            for mean, a, b in zip(method.passed.mean(axis=0), low, high, strict=True)
        ]
        lines.append(f"| {name} | {method.seeds} | " + " | ".join(cells) + " |")
    return lines


def choice_table(methods: dict[str, Method], seconds: dict[str, float]) -> list[str]:
    """Markdown of one answer of N, chosen without gold, beside Pass@N, with what all N cost a question."""
    resampling = Resampling(len(next(iter(methods.values())).passed))
    depth = next(iter(methods.values())).passed.shape[1]
    lines = [
        f"| method | Pass@{depth} | " + " | ".join(f"{n}@{depth}" for n in CHOICES) + " | tokens | seconds |"
    ]
    lines.append("|---|---:|" + "---:|" * (len(CHOICES) + 2))
    for name in sorted(methods, key=lambda name: -methods[name].passed[:, -1].mean()):
        method = methods[name]
        cells = [f"{method.passed[:, -1].mean():.3f}"]
        for choice in CHOICES:
            if choice not in method.chosen:
                cells.append("")
                continue
            values = method.chosen[choice]
            low, high = percentile_interval(resampling.means(values[None].astype(np.float32)))
            cells.append(f"{values.mean():.3f} [{low[0]:.3f}, {high[0]:.3f}]")
        cells.append("" if method.tokens is None else f"{method.tokens:.1f}")
        cells.append(f"{seconds[name]:.2f}" if name in seconds else "")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
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


def verdicts(rows: list[dict[str, Any]]) -> list[str]:
    """The protocol's rules, applied."""
    wins: dict[tuple[str, str], int] = defaultdict(int)
    behind: dict[tuple[str, str], int] = defaultdict(int)
    losses: dict[tuple[str, str], int] = defaultdict(int)
    for row in rows:
        pair = (row["method"], row["baseline"])
        shown = row["holm"] < LEVEL
        wins[pair] += shown and row["difference"] > 0
        losses[pair] += shown and row["difference"] < 0
        behind[pair] += row["difference"] <= 0
    depth = max(row["n"] for row in rows)
    lines = []
    for method in dict.fromkeys(row["method"] for row in rows):
        present = [name for name in PAPER if (method, name) in wins]
        ahead = all(wins[method, name] >= MOST * depth for name in present)
        against = behind[method, "random"] >= MOST * depth or losses[method, "random"] > 0
        claim = "confirmed" if ahead else "refuted" if against else "not shown"
        counts = ", ".join(f"{wins[method, name]} of {depth} against {name}" for name in present)
        lines.append(f"- **{method}**: the paper's claim is {claim} here (ahead at {counts}).")
        primary = [r for r in rows if r["method"] == method and r["baseline"] == "cover" and r["n"] in (4, 8)]
        adjusted = holm([r["p"] for r in primary])
        for row, p in zip(primary, adjusted, strict=True):
            word = "ahead of" if p < LEVEL and row["difference"] > 0 else "not shown ahead of"
            word = "behind" if p < LEVEL and row["difference"] < 0 else word
            lines.append(
                f"- **{method}** is {word} the fixed cover at N = {row['n']}: {row['difference']:+.3f} "
                f"[{row['low']:+.3f}, {row['high']:+.3f}], p = {p:.3f} after Holm over N = 4 and 8."
            )
    return lines


if __name__ == "__main__":
    main()
