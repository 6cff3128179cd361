"""``sprint-eval leaderboard``: result folders of lm-eval in, tables, statistics and a site out."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "make a leaderboard, with statistics and a site, from folders of lm-eval results"
EXAMPLES = """\
examples:
  sprint-eval leaderboard results/ --out site/
  sprint-eval leaderboard results/ other/run/ --out site/ --reference 'hf greedy'
  sprint-eval leaderboard results/ --out site/ --markdown README.md

Runs made with --log_samples get intervals and comparisons; others show what they state.
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
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="also put the tables into this file, between markers"
    )


def run(args: argparse.Namespace) -> int:
    """Build once and print the table."""
    import sys

    from sprint_eval.leaderboards.build import build
    from sprint_eval.leaderboards.markdown import terminal
    from sprint_eval.leaderboards.words import summary

    board = build(args.results, args.out, reference=args.reference, readme=args.markdown)
    for problem in board.reading.problems:
        print(f"skipped {problem}", file=sys.stderr)
    print(terminal(board))
    print(f"\n{summary(board)}\nThe page: {args.out / 'index.html'}")
    return 0
