"""``sprint-eval outcomes``: show, check, merge, export and prune outcome stores."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from sprint_eval.commands import examples_of

HELP = "show, check, merge, export or prune outcome stores"
EXAMPLES = """\
examples:
  sprint-eval outcomes show runs/z
  sprint-eval outcomes check runs/z
  sprint-eval outcomes merge runs/z-layers-0-9 runs/z-layers-10-19 --out runs/z
  sprint-eval outcomes export runs/z --to z.parquet
  sprint-eval outcomes prune runs/z --dry-run
  sprint-eval outcomes prune runs/z --pool 'L5H0/L5H1' --limit 100 --out runs/z-small

'check' ends with code 1 where something is damaged, contradictory or of another run, and with 3 where
cells are merely missing.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommand's arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, text: str) -> argparse.ArgumentParser:
        return actions.add_parser(
            name,
            help=text,
            description=text,
            epilog=examples_of(EXAMPLES, f"outcomes {name}"),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    show = action("show", "say what a store holds")
    show.add_argument("store", metavar="DIR")
    show.add_argument("--subjects", action="store_true", help="a line a subject too")
    check = action("check", "read every byte: checksums, duplicates, holes, shards of other runs")
    check.add_argument("store", metavar="DIR")
    merge = action("merge", "join stores with other questions or other heads of one run")
    merge.add_argument("stores", nargs="+", metavar="DIR")
    merge.add_argument("--out", required=True, metavar="DIR", help="the new store")
    merge.add_argument(
        "--prefer-first",
        action="store_true",
        help="where stores contradict each other, take the first's answer",
    )
    export = action("export", "write a long table, one row a cell")
    export.add_argument("store", metavar="DIR")
    export.add_argument("--to", required=True, metavar="FILE", help="name ending in .parquet or .csv")
    prune = action("prune", "take out damaged lines, duplicates and shards of other runs; or copy a part")
    prune.add_argument("store", metavar="DIR")
    prune.add_argument("--dry-run", action="store_true", help="only say what would go")
    prune.add_argument("--pool", metavar="POOL", help="with --out: keep these head sets")
    prune.add_argument("--limit", type=int, metavar="K", help="with --out: keep the first K questions")
    prune.add_argument("--out", metavar="DIR", help="write the part to a new store, leave this one alone")


def run(args: argparse.Namespace) -> int:
    """Do one action."""
    actions: dict[str, Callable[[argparse.Namespace], int]] = {
        "show": _show,
        "check": _check,
        "merge": _merge,
        "export": _export,
        "prune": _prune,
    }
    return actions[args.action](args)


def _show(args: argparse.Namespace) -> int:
    from sprint_eval.outcomes import Outcomes
    from sprint_eval.outcomes.summary import summary_lines

    outcomes = Outcomes.load(args.store, allow_stale=True)
    print("\n".join(summary_lines(args.store, outcomes, subjects=args.subjects)))
    return 0


def _check(args: argparse.Namespace) -> int:
    from sprint_eval.outcomes.check import check_store

    report = check_store(args.store)
    for problem in report.problems:
        print(f"problem: {problem}")
    if report.problems:
        print(
            f"{report.shards} shards, {report.torn} bytes torn; the cells of a damaged store are not counted"
        )
    else:
        print(
            f"{report.shards} shards, {report.cells} cells, {report.holes} missing, "
            f"{report.duplicates} duplicates, {report.conflicts} contradictions, "
            f"{report.stale} stale verdicts, {report.torn} bytes torn"
        )
    if not report.sound:
        print("the store is not sound")
        return 1
    print("sound and complete" if not report.holes else "sound, not complete: run the sweep again")
    return 3 if report.holes else 0


def _merge(args: argparse.Namespace) -> int:
    from sprint_eval.outcomes.merge import merge_stores
    from sprint_eval.outcomes.summary import summary_lines

    outcomes = merge_stores(args.stores, args.out, prefer_first=args.prefer_first)
    print("\n".join(summary_lines(args.out, outcomes)))
    return 0


def _export(args: argparse.Namespace) -> int:
    from sprint_eval.outcomes import Outcomes
    from sprint_eval.outcomes.export import export_outcomes

    rows = export_outcomes(Outcomes.load(args.store), args.to)
    print(f"wrote {rows} rows to {args.to}")
    return 0


def _prune(args: argparse.Namespace) -> int:
    from sprint_eval.errors import ArgumentError
    from sprint_eval.outcomes.prune import prune_store

    if args.out is None:
        if args.pool is not None or args.limit is not None:
            raise ArgumentError("--pool and --limit copy a part of the store: name the new one by --out")
        report = prune_store(args.store, dry_run=args.dry_run)
        for name in report.foreign:
            verb = "would be moved" if args.dry_run else "moved"
            print(f"of another run or without a header: {name} {verb} to {args.store}/removed")
        if report.foreign:
            print("nothing reads that folder: see docs/outcomes.md for what can be saved, or delete it")
        what = "would be removed" if args.dry_run else f"removed, {report.bytes / 1e6:.1f} MB smaller"
        print(
            f"{report.damaged} damaged lines, {report.duplicates} duplicates, "
            f"{report.torn} bytes of torn lines, {report.verdict_files} verdict files {what}"
        )
        return 0
    return _select(args)


def _select(args: argparse.Namespace) -> int:
    from sprint_eval.errors import ArgumentError
    from sprint_eval.heads import HeadPool
    from sprint_eval.outcomes.merge import select_store
    from sprint_eval.outcomes.summary import summary_lines

    if args.dry_run:
        raise ArgumentError("--dry-run goes with pruning in place; a copy by --out leaves the store alone")
    pool = HeadPool.from_names(args.pool.replace(",", "/").split("/")) if args.pool else None
    outcomes = select_store(args.store, args.out, pool=pool, limit=args.limit)
    print("\n".join(summary_lines(args.out, outcomes)))
    return 0
