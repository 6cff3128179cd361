"""One table of runs of ``sprint-eval distill``: accuracy beside the teacher's, perplexity, cost.

    python benchmarks/distilled_table.py --teacher results/teacher --out docs/results/distilled-asdiv \\
        "30 %=runs/asdiv-30:results/asdiv-30" "25 %, alpha 0=runs/asdiv-25-a0:results/asdiv-25-a0"

A run is LABEL=RUN:RESULTS, the run's folder (or a checkpoint within it, as runs/asdiv-30/round-1) and the
``--output_path`` of its evaluation with ``--log_samples``. Several, joined by commas, are one point trained
from several seeds: its figures are means over them. An empty RUN leaves costs and perplexity out (of a
quantised model, say). Answers are joined by question.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sprint_eval.distillation.comparison import PairedComparison, compare_seeds
from sprint_eval.errors import DataError, exit_on_error
from sprint_eval.files import read_json, write_atomic, write_json

FACTS = (
    "heads_percent",
    "parameters_percent",
    "decode_flops_1024_percent",
    "cache_percent",
    "perplexity",
    "training_seconds",
    "training_flops",
)


def main() -> None:
    """Write ``table.json`` and ``table.md``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--teacher", required=True, help="results of the teacher's evaluation")
    parser.add_argument(
        "--margin", type=float, default=0.02, help="of the non-inferiority test (default: 0.02)"
    )
    parser.add_argument(
        "--pair",
        nargs=2,
        action="append",
        default=[],
        metavar=("FIRST", "SECOND"),
        help="also compare two points by their labels; left out while one is missing",
    )
    parser.add_argument("--out", required=True)
    parser.add_argument("runs", nargs="+", metavar="LABEL=RUN:RESULTS[,RUN:RESULTS]")
    args = parser.parse_args()
    with exit_on_error():
        teacher = verdicts(Path(args.teacher))
        rows = [row(text, teacher, args.margin) for text in args.runs]
        pairs = compared_pairs(args.runs, args.pair)
        write_json(
            Path(args.out) / "table.json", {"teacher": accuracy(teacher), "rows": rows, "pairs": pairs}
        )
        text = markdown(accuracy(teacher), len(teacher), rows) + pairs_markdown(pairs)
        write_atomic(Path(args.out) / "table.md", text)


def verdicts(results: Path) -> dict[str, bool]:
    """Whether the first candidate is right, by the question's hash, from the newest samples file."""
    files = sorted(results.rglob("samples_*.jsonl"))
    if not files:
        raise DataError(f"no samples_*.jsonl under {results}; evaluate with --log_samples")
    found = {}
    for line in files[-1].read_text(encoding="utf-8").splitlines():
        sample = json.loads(line)
        found[sample["doc_hash"]] = bool(sample["candidates"][0]["correct"])
    return found


def row(text: str, teacher: dict[str, bool], margin: float) -> dict[str, Any]:
    """One point's figures."""
    label, _, places = text.partition("=")
    pairs = [place.rpartition(":")[::2] for place in places.split(",")]
    if not label or not all(results for _, results in pairs):
        raise DataError(f"{text!r}: expected LABEL=RUN:RESULTS[,RUN:RESULTS]")
    students = [verdicts(Path(results)) for _, results in pairs]
    compared: PairedComparison = compare_seeds(teacher, students, margin)
    facts = [phase_facts(Path(run)) if run else dict.fromkeys(FACTS) for run, _ in pairs]
    means = {name: mean([fact[name] for fact in facts]) for name in FACTS}
    accuracies = [accuracy(student) for student in students]
    return {
        "label": label,
        **asdict(compared),
        "accuracies": accuracies,
        "verdict": compared.verdict(),
        **means,
    }


def compared_pairs(runs: list[str], pairs: list[list[str]]) -> list[dict[str, Any]]:
    """Two points on the questions that both answered, the first seed of each."""
    places = {text.partition("=")[0]: text.partition("=")[2].split(",")[0] for text in runs}
    found = []
    for first, second in pairs:
        if first in places and second in places:
            results = [verdicts(Path(places[name].rpartition(":")[2])) for name in (first, second)]
            one = compare_seeds(results[0], results[1:])
            found.append({"first": first, "second": second, **asdict(one)})
    return found


def pairs_markdown(pairs: list[dict[str, Any]]) -> str:
    """The pairs as text."""
    if not pairs:
        return ""
    lines = ["", "| first | second | questions | second less first, points |", "|---|---|---|---|"]
    for pair in pairs:
        interval = f"{100 * pair['difference']:+.1f} ({100 * pair['low']:+.1f} to {100 * pair['high']:+.1f})"
        lines.append(f"| {pair['first']} | {pair['second']} | {pair['questions']} | {interval} |")
    return "\n".join(lines) + "\n"


def mean(values: list[float | None]) -> float | None:
    """The mean; ``None`` where a value is missing."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def phase_facts(run: Path) -> dict[str, Any]:
    """Perplexity, cost and training of a run's student, or of the round whose folder is given."""
    folder = run if (run / "report.json").exists() else run.parent
    report = read_json(folder / "report.json", "the run's report")
    name = run.name if run != folder else report["rounds"][-1]["phase"]
    if name == "student":
        name = report["rounds"][-1]["phase"]
    number = [phase["phase"] for phase in report["rounds"]].index(name)
    phases = report["rounds"][: number + 1]
    base, cost = report["base"], phases[-1]["cost"]

    def less(before: float, after: float) -> float:
        return 100.0 * (1.0 - after / before)

    return {
        "heads_percent": less(base["heads"], cost["heads"]),
        "parameters_percent": less(base["parameters"], cost["parameters"]),
        "decode_flops_1024_percent": less(base["decode_flops"]["1024"], cost["decode_flops"]["1024"]),
        "cache_percent": less(base["cache_bytes"]["1024"], cost["cache_bytes"]["1024"]),
        "perplexity": phases[-1]["held_out_perplexity"],
        "training_seconds": sum(phase.get("seconds") or 0.0 for phase in phases),
        "training_flops": sum(phase["flops"] for phase in phases),
    }


def accuracy(found: dict[str, bool]) -> float:
    """Share of questions answered correctly."""
    return sum(found.values()) / max(len(found), 1)


def markdown(teacher: float, questions: int, rows: list[dict[str, Any]]) -> str:
    """The table as text."""
    lines = [
        f"Teacher: {100 * teacher:.1f} % of {questions} questions. Differences in points, with 95 % "
        "bootstrap intervals over questions; heads, parameters, FLOPs and cache: how many percent less "
        "than the teacher's. Where several seeds were trained, figures are means over them, and their "
        "accuracies stand in brackets; how other seeds would vary is not in the intervals.",
        "",
        "| student | questions | accuracy | difference | heads | parameters | FLOPs at 1,024 | KV cache "
        "| perplexity | training s | not worse by 2 points? |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        interval = f"{100 * r['difference']:+.1f} ({100 * r['low']:+.1f} to {100 * r['high']:+.1f})"
        shown = [
            "" if r[name] is None else f"{r[name]:.{digits}f}"
            for name, digits in zip(FACTS[:6], (1, 2, 2, 1, 3, 0), strict=True)
        ]
        seeds = ", ".join(f"{100 * value:.1f}" for value in r["accuracies"])
        reached = f"{100 * r['student']:.1f} %" + (f" ({seeds})" if len(r["accuracies"]) > 1 else "")
        cells = [r["label"], r["questions"], reached, interval, *shown, r["verdict"]]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
