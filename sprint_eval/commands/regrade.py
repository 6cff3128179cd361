"""``sprint-eval regrade``: put the present grader's verdicts on stored answers."""

from __future__ import annotations

import argparse

HELP = "grade the answers of an outcome store again, without decoding"
EXAMPLES = """\
examples:
  sprint-eval regrade runs/z --dry-run
  sprint-eval regrade runs/z

The old verdicts stay in the shards until 'sprint-eval outcomes prune'. A verdict file that cannot be used
is replaced, and damaged lines are passed over.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommand's arguments."""
    parser.add_argument("store", metavar="DIR")
    parser.add_argument("--dry-run", action="store_true", help="only say what would change")


def run(args: argparse.Namespace) -> int:
    """Regrade and print what changed."""
    from collections.abc import Mapping, Sequence
    from typing import Any

    from sprint_eval.grading import GRADER_VERSION, default_grader
    from sprint_eval.outcomes.regrade import regrade_store

    def grade(doc: Mapping[str, Any], texts: Sequence[str]) -> Sequence[Any]:
        return default_grader().grade([(text, str(doc["answer"])) for text in texts])

    report = regrade_store(args.store, grade, GRADER_VERSION, dry_run=args.dry_run)
    print(f"grader {report.old_version} -> {report.new_version}: {report.cells} cells graded")
    print(f"now right: {report.to_right}, now wrong: {report.to_wrong}, another extract: {report.extracted}")
    for (old, new), count in report.statuses.most_common():
        print(f"status {old} -> {new}: {count}")
    for heads, count in report.by_heads.most_common(10):
        print(f"{heads}: {count} outcomes changed")
    for change in report.examples:
        print(
            f"e.g. question {change.question}, {change.heads}, gold {change.gold!r}: "
            f"{change.old.extracted!r} ({_word(change.old.correct)}) -> "
            f"{change.new.extracted!r} ({_word(change.new.correct)})"
        )
    if report.lost_verdicts:
        print("the earlier verdict file cannot be used: changes are counted from the shards' verdicts")
    if report.damaged or report.foreign:
        print(
            f"passed over: {report.damaged} damaged lines, {len(report.foreign)} files of another run or "
            f"without a header; take them out: sprint-eval outcomes prune {args.store}"
        )
    if args.dry_run:
        print("nothing was written (--dry-run)")
    return 0


def _word(correct: bool) -> str:
    return "right" if correct else "wrong"
