"""``sprint-eval leaderboard``: result folders of lm-eval in, tables, statistics and a site out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sprint_eval.errors import ArgumentError, one_line

if TYPE_CHECKING:
    from sprint_eval.leaderboards.board import Board
    from sprint_eval.leaderboards.reader import Cache

HELP = "make a leaderboard, with statistics and a site, from folders of lm-eval results"
EXAMPLES = """\
examples:
  sprint-eval leaderboard results/ --out site/
  sprint-eval leaderboard results/ other/run/ --out site/ --reference 'hf greedy'
  sprint-eval leaderboard results/ --out site/ --markdown README.md
  sprint-eval leaderboard results/ --out site/ --watch

Runs made with lm_eval --log_samples get intervals and comparisons; others show what they state.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommand's arguments."""
    parser.add_argument(
        "results", nargs="+", type=Path, metavar="RESULTS", help="folder or file that lm_eval wrote"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder to write to")
    parser.add_argument(
        "--reference", metavar="METHOD", help="name or id of the method that all others are compared with"
    )
    parser.add_argument("--title", default="Leaderboard", help="heading of the page")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="also put the tables into this file, between markers"
    )
    parser.add_argument(
        "--no-instances",
        action="store_true",
        help="leave the lines a question out of the every_eval_ever records: they repeat all texts",
    )
    parser.add_argument("--no-plots", action="store_true", help="draw no PNG and SVG plots")
    parser.add_argument(
        "--watch",
        nargs="?",
        type=float,
        const=5.0,
        metavar="SECONDS",
        help="build again as runs finish, looking every SECONDS (5 by default)",
    )


def run(args: argparse.Namespace) -> int:
    """Build once, or again and again, and print the table."""
    from sprint_eval.leaderboards.build import build, watch

    if args.out.exists() and not args.out.is_dir():
        raise ArgumentError(f"--out {args.out} is a file; give a folder")
    if args.watch is not None and not 0.05 <= args.watch <= 86_400:
        raise ArgumentError(f"--watch {args.watch:g}: give seconds between 0.05 and 86400")

    def make(cache: Cache | None = None) -> Board:
        return build(
            args.results,
            args.out,
            reference=args.reference,
            title=args.title,
            readme=args.markdown,
            instances=not args.no_instances,
            plots=not args.no_plots,
            cache=cache,
        )

    if args.watch is None:
        _tell(make(), args.out)
    else:
        watch(args.results, make, lambda outcome: _tell(outcome, args.out), args.watch)
    return 0


def _tell(outcome: Board | Exception, out: Path) -> None:
    from sprint_eval.leaderboards.markdown import terminal
    from sprint_eval.leaderboards.words import summary

    if isinstance(outcome, Exception):
        print(f"waiting: {one_line(outcome)}", file=sys.stderr, flush=True)
        return
    for problem in outcome.reading.problems:
        print(f"skipped {one_line(problem)}", file=sys.stderr)
    print(terminal(outcome))
    print(f"\n{summary(outcome)}\nThe page: {out / 'index.html'}", flush=True)
