"""``sprint-eval study``: tables and plots of what pruning each head does to a model."""

from __future__ import annotations

import argparse

HELP = "write tables and plots of what pruning each head does, from outcome stores"
EXAMPLES = """\
examples:
  sprint-eval study runs/z --out study
  sprint-eval study runs/z-qwen-math runs/z-llama-math --name Qwen2.5-Math-1.5B --name Llama-3-8B --out study
  sprint-eval study --impact-csv table1.csv --name Llama-3-8B-Instruct --out study-published

A store comes from 'sprint-eval sweep'; questions that are not complete yet are left out. An impact CSV
has the columns head, subject, layer, pass_at_1, with head 'none' for the unpruned model; it joins the
tables, heat maps and violins. Read DIR/study.md first.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommand's arguments."""
    add = parser.add_argument
    add("stores", nargs="*", metavar="OUTCOMES", help="outcome stores, of any models and tasks")
    add("--out", required=True, metavar="DIR", help="folder for the study's files")
    add("--impact-csv", action="append", default=[], metavar="FILE", help="published accuracies; repeatable")
    add("--name", action="append", default=[], metavar="NAME", help="what to call each of them, in order")
    add("--threshold", type=float, default=0.1, metavar="SHARE", help="a catastrophic loss (default: 0.1)")
    add("--layers", metavar="L,L", help="layers with a heat map (default: all of up to 8, else four)")


def run(args: argparse.Namespace) -> int:
    """Make the study."""
    from sprint_eval.analysis import StudyConfig, impact_from_csv, run_study
    from sprint_eval.analysis.study_tables import interval
    from sprint_eval.errors import ArgumentError
    from sprint_eval.outcomes import Outcomes

    layers = None
    if args.layers:
        try:
            layers = tuple(int(part) for part in args.layers.replace("/", ",").split(","))
        except ValueError:
            raise ArgumentError(f"--layers {args.layers}: expected numbers, e.g. 0,5,15") from None
    config = StudyConfig(args.out, args.threshold, layers, tuple(args.name))
    published = [impact_from_csv(path) for path in args.impact_csv]
    study = run_study([Outcomes.load(store) for store in args.stores], config, published)
    for case in study.cases:
        gain = case.overall
        print(
            f"{case.label}: base {case.cover.base:.3f}, best head {100 * gain.naive:+.1f} points, split-half "
            f"gain {100 * gain.honest:+.1f}{interval(gain)}, any head {case.cover.everyone:.3f}, "
            f"{len(case.catastrophes) - 1} catastrophic heads, N = {gain.n}"
        )
    print(f"report: {study.report}")
    return 0
