"""``sprint-eval compare``: methods over tasks through lm_eval, then the leaderboard and the figure."""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sprint_eval.errors import ArgumentError

if TYPE_CHECKING:
    from sprint_eval.compare.figure import Panel
    from sprint_eval.compare.plan import Comparison, Run
    from sprint_eval.leaderboards.board import Board
    from sprint_eval.leaderboards.tables import Table

HELP = "run a list of methods over tasks through lm_eval; make the leaderboard and the figure"
EXAMPLES = """\
examples:
  sprint-eval compare --model smollm2-135m-instruct --tasks rg_math_pass_at_n_fewshot \\
      --outcomes runs/outcomes --router runs/router --out runs/compare
  sprint-eval compare --model MODEL --tasks math500_pass_at_n gsm8k_pass_at_n --n 8 \\
      --outcomes math500_pass_at_n=runs/z-math gsm8k_pass_at_n=runs/z-gsm8k \\
      --router math500_pass_at_n=runs/r-math gsm8k_pass_at_n=runs/r-gsm8k --out runs/compare
  sprint-eval compare ... --methods oracle greedy cover nearest coverage --dry-run

Methods: greedy, sample:T, random, cover, best, nearest, coverage, mixed, mixed-cover, oracle.
Killed, it goes on where it was when it is started again. Answers of our models are kept in OUT/store and
shared between runs (no seconds are reported for those that come from there; --no-store times every run).
More arguments of lm_eval go behind a lone --, e.g.  -- --apply_chat_template --batch_size 16
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from sprint_eval.compare.methods import DEFAULT

    parser.add_argument("--model", required=True, help="folder, hub name or packaged model")
    parser.add_argument("--tasks", required=True, nargs="+", metavar="TASK", help="Pass@N tasks")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder for everything made")
    parser.add_argument(
        "--methods", nargs="+", default=list(DEFAULT), metavar="METHOD", help=f"default: {' '.join(DEFAULT)}"
    )
    parser.add_argument("--n", type=int, default=8, help="candidates a question (default: %(default)s)")
    parser.add_argument(
        "--outcomes", nargs="+", default=[], metavar="[TASK=]DIR", help="outcomes of the training questions"
    )
    parser.add_argument(
        "--router",
        nargs="+",
        default=[],
        metavar="[TASK=]DIR",
        help="routers; several for one task (seeds of training) are run each and averaged in the figure",
    )
    parser.add_argument(
        "--seeds", nargs="+", type=int, default=[0], metavar="K", help="seeds of sampling and of random heads"
    )
    parser.add_argument("--limit", type=int, metavar="K", help="the first K questions of each task")
    parser.add_argument("--metadata", metavar="K=V,…", help="the tasks' metadata, e.g. data_dir=data")
    parser.add_argument("--model_args", metavar="K=V,…", help="for every model, e.g. dtype=float32")
    parser.add_argument(
        "--processes",
        type=int,
        default=1,
        metavar="P",
        help="local processes that share a run's questions",
    )
    parser.add_argument("--no-store", action="store_true", help="decode everything anew in every run")
    parser.add_argument("--reference", metavar="METHOD", help="the leaderboard's method to compare with")
    parser.add_argument("--dry-run", action="store_true", help="print the commands and do nothing")
    parser.add_argument("extra", nargs="*", metavar="-- ARGUMENT", help="further arguments of lm_eval")


def run(args: argparse.Namespace) -> int:
    from sprint_eval.compare.checks import check_inputs
    from sprint_eval.compare.figure import write_figure
    from sprint_eval.compare.plan import plan
    from sprint_eval.compare.runner import carry_out, finished, run_lm_eval, shown

    if args.processes < 1:
        raise ArgumentError(f"--processes {args.processes}: expected 1 or more")
    comparison = comparison_of(args)
    runs = plan(comparison)
    if args.dry_run:
        print("\n".join(shown(run) for run in runs))
        return 0
    if args.reference is not None:
        check_reference(args.reference, [*runs, *finished(comparison.out)], comparison.out / "results")
    check_inputs(comparison)
    carry_out(runs, comparison.out, partial(run_lm_eval, processes=args.processes))
    # The leaderboard holds all that was ever run into this folder, and so does the figure.
    done = finished(comparison.out)
    if all(run.oracle for run in done):
        for table in _oracles(done):
            print(f"{table.title}: any of the pool solves {_share(table):.3f} of {table.questions} questions")
        return 0
    board = _board(comparison, args.reference)
    for path in write_figure(comparison.out / "figure4", panels_of(board, done, comparison.n)):
        print(f"figure: {path}")
    return 0


def comparison_of(args: argparse.Namespace) -> Comparison:
    """What the arguments ask for.

    Raises:
        ArgumentError: a pair that is none, a task that is not among ``--tasks``.
    """
    from sprint_eval.compare.plan import Comparison

    outcomes = _by_task(args.outcomes, args.tasks)
    for task, folders in outcomes.items():
        if len(folders) > 1:
            raise ArgumentError(
                f"--outcomes names {len(folders)} folders for {task or 'every task'}: give one"
            )
    return Comparison(
        model=args.model,
        tasks=tuple(dict.fromkeys(args.tasks)),
        methods=tuple(args.methods),
        out=args.out,
        n=args.n,
        outcomes={task: folders[0] for task, folders in outcomes.items()},
        routers=_by_task(args.router, args.tasks),
        seeds=tuple(dict.fromkeys(args.seeds)),
        model_args=_pairs("--model_args", args.model_args),
        metadata=_pairs("--metadata", args.metadata),
        limit=args.limit,
        extra=tuple(args.extra),
        store=not args.no_store,
    )


def panels_of(board: Board, runs: Iterable[Run], n: int) -> list[Panel]:
    """A panel a task: each method's mean over its seeds, in the order of the methods' table."""
    from sprint_eval.compare.figure import Panel, curve
    from sprint_eval.compare.methods import place_of
    from sprint_eval.leaderboards.scores import FIRST

    ranked = [run for run in runs if not run.oracle]
    method_of = {run.folder.resolve(): run.method for run in ranked}
    order = sorted({run.method for run in ranked}, key=place_of)
    oracles = _oracles(runs)
    panels = []
    for standing in board.standings:
        scores = standing.scores.get(FIRST)
        if scores is None or standing.table.keys is None:
            continue
        found: dict[str, list[int]] = defaultdict(list)
        for index, row in enumerate(standing.rows):
            for folder in row.run.header.path.resolve().parents:
                if folder in method_of:
                    found[method_of[folder]].append(index)
        curves = [curve(name, scores[found[name], :, :n]) for name in order if name in found]
        oracle = next((_share(table) for table in oracles if _alike(table, standing.table)), None)
        panels.append(Panel(standing.table.title, curves, len(standing.table.keys), oracle))
    return panels


def _oracles(runs: Iterable[Run]) -> list[Table]:
    """Tables of the oracle's runs, a row each."""
    from sprint_eval.leaderboards.records import PASS

    tables = [table for run in runs if run.oracle for table in _tables(run.folder)]
    return [table for table in tables if table.score == PASS and table.keys is not None]


def _tables(results: Path) -> list[Table]:
    from sprint_eval.leaderboards.reader import read_runs
    from sprint_eval.leaderboards.tables import build_tables

    return build_tables(read_runs([results]).runs) if results.is_dir() else []


def _share(oracle: Table) -> float:
    """Of the questions, how many any candidate of the pool solves."""
    (row,) = oracle.rows
    assert row.run.sampled is not None  # a table with keys has samples in every row
    return float(row.run.sampled.correct.any(axis=1).mean())


def _alike(oracle: Table, table: Table) -> bool:
    """Whether an oracle is of a table's questions, of its settings, and of the one model that it is about."""
    return oracle.settings == table.settings and _models(oracle) == _models(table)


def _models(table: Table) -> set[str]:
    headers = [row.run.header for row in table.rows]
    return {
        str(header.info.get("model_fingerprint") or header.model_args.get("pretrained")) for header in headers
    }


def check_reference(reference: str, runs: Iterable[Run], results: Path) -> None:
    """Refuse, before hours of runs, a reference that no row of the leaderboard will be called.

    A row's whole name is known once its results are there; until then, how names and ids begin.

    Raises:
        ArgumentError: neither a row of ``results`` is called so, nor can one of ``runs`` be.
    """
    from sprint_eval.leaderboards.standing import find_reference

    ranked = [run.arguments for run in runs if not run.oracle]
    starts = {arguments[arguments.index("--model") + 1] for arguments in ranked}
    given = {part for arguments in ranked for text in arguments for part in text.split(",")}
    if given & {"heads=base", "pool=base"}:
        starts.add("base")
    if any(f"{reference} ".startswith((f"{start} ", f"{start}-")) for start in starts):
        return
    if all(find_reference(table, reference) is None for table in _tables(results)):
        begin = f"its names begin with {', '.join(sorted(starts))}" if starts else "it will have none"
        raise ArgumentError(
            f"--reference '{reference}' is no method of the leaderboard: {begin}; run without it to see them"
        )


def _board(comparison: Comparison, reference: str | None) -> Board:
    from sprint_eval.leaderboards.build import build
    from sprint_eval.leaderboards.markdown import terminal

    board = build([comparison.out / "results"], comparison.out / "site", reference=reference)
    print(terminal(board))
    print(f"\nleaderboard: {comparison.out / 'site' / 'index.html'}")
    return board


def _by_task(values: Sequence[str], tasks: Sequence[str]) -> dict[str, list[Path]]:
    """``[TASK=]DIR`` by task; ``""`` for those without one."""
    found: dict[str, list[Path]] = defaultdict(list)
    for value in values:
        task, equals, folder = value.partition("=")
        if equals and task not in tasks:
            raise ArgumentError(f"'{value}': {task} is not among --tasks {' '.join(tasks)}")
        found[task if equals else ""].append(Path(folder if equals else value))
    return dict(found)


def _pairs(option: str, text: str | None) -> dict[str, Any]:
    pairs = {}
    for part in filter(None, (text or "").split(",")):
        name, equals, value = part.partition("=")
        if not equals or not name:
            raise ArgumentError(f"{option}: '{part}' is not of the form name=value")
        pairs[name] = value
    return pairs
