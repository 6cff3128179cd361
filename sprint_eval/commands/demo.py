"""``sprint-eval demo``: the whole line on a small real model, offline, in minutes."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HELP = "the whole line in minutes: sweep, router, five lm_eval runs, leaderboard"
EXAMPLES = """\
examples:
  sprint-eval demo
  sprint-eval demo --out runs/demo --train-questions 120 --test-questions 240

It prints each command before it runs it: the same ones work on any model and task.
Killed, it goes on where it was when it is started again.
"""

MODEL = "smollm2-135m-instruct"
TASK = "rg_math_pass_at_n_fewshot"
SAMPLING = "do_sample=True,temperature=0.6,top_k=40,top_p=0.95"


@dataclass(frozen=True)
class Step:
    """One command of the demo.

    Attributes:
        name: of its log and of the mark that it is done.
        arguments: of ``python -m``; the first is the module.
        quiet: keep what it prints on standard output in the log alone.
    """

    name: str
    arguments: tuple[str, ...]
    quiet: bool = True

    @property
    def shown(self) -> str:
        """The command as a user would type it."""
        program = {"sprint_eval.cli": "sprint-eval"}.get(self.arguments[0], self.arguments[0])
        return shlex.join((program, *self.arguments[1:]))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, default=Path("runs/demo"), metavar="DIR", help="default: %(default)s"
    )
    parser.add_argument(
        "--train-questions",
        type=int,
        default=72,
        metavar="K",
        help="training questions of the sweep (default: %(default)s)",
    )
    parser.add_argument(
        "--test-questions",
        type=int,
        default=96,
        metavar="K",
        help="test questions of each run (default: %(default)s)",
    )
    parser.add_argument(
        "--layers",
        default="5/15/25",
        help="layers whose heads are the pool (default: %(default)s)",
    )
    parser.add_argument("--n", type=int, default=4, help="candidates a question (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    out: Path = args.out
    started = time.monotonic()
    _check(args, _model_folder())
    for step in _training_steps(args, out):
        _run(step, out)
    for step in _test_steps(args, out, _best_head(out / "outcomes")):
        _run(step, out)
    board = ("sprint_eval.cli", "leaderboard", str(out / "results"), "--out", str(out / "site"))
    _run(Step("leaderboard", board, quiet=False), out, always=True)
    print(f"\nThe demo took {time.monotonic() - started:.0f} s. The page: {out / 'site' / 'index.html'}")
    return 0


def _check(args: argparse.Namespace, model: str) -> None:
    """What a later step would refuse after minutes is refused at once."""
    from transformers import AutoConfig

    from sprint_eval.architectures import head_layout_of_config
    from sprint_eval.errors import ArgumentError
    from sprint_eval.files import refuse_file
    from sprint_eval.heads import HeadPool

    refuse_file(args.out)
    for option in ("train_questions", "test_questions", "n"):
        if getattr(args, option) < 1:
            raise ArgumentError(f"--{option.replace('_', '-')} {getattr(args, option)}: expected 1 or more")
    pool = HeadPool.parse(f"{args.layers}:*", head_layout_of_config(AutoConfig.from_pretrained(model)))
    if args.n > len(pool):
        raise ArgumentError(f"--n {args.n}: the pool of layers {args.layers} has {len(pool)} heads")


def _training_steps(args: argparse.Namespace, out: Path) -> Iterator[Step]:
    sweep = ["sprint_eval.cli", "sweep", "--model", MODEL, "--task", TASK, "--pool", f"{args.layers}:*"]
    sweep += ["--limit", str(args.train_questions), "--out", str(out / "outcomes")]
    yield Step("sweep", tuple(sweep), quiet=False)
    train = ("sprint_eval.cli", "train-router", str(out / "outcomes"), "--out", str(out / "router"))
    yield Step("train-router", train, quiet=False)


def _test_steps(args: argparse.Namespace, out: Path, best_head: str) -> Iterator[Step]:
    """The five runs through lm_eval; greedy decoding of plain ``hf`` gives one answer, so N = 1 will do."""

    def evaluate(name: str, model: str, extra: str, n: int, *more: str) -> Step:
        model_args = f"pretrained={_model_folder() if model == 'hf' else MODEL},dtype=float32{extra}"
        command = ["lm_eval", "--model", model, "--model_args", model_args, "--tasks", TASK]
        command += ["--metadata", f"n={n}", "--limit", str(args.test_questions), "--log_samples"]
        command += ["--device", "cpu", "--output_path", str(out / "results" / name)]
        command += ["--batch_size", "32"] if model == "hf" else []  # the engine finds its own
        return Step(name, (*command, *more))

    yield evaluate("hf-greedy", "hf", "", 1)
    yield evaluate("hf-sampling", "hf", "", args.n, "--gen_kwargs", SAMPLING)
    yield evaluate("random-heads", "random-heads", f",outcomes={out / 'outcomes'}", args.n)
    yield evaluate("best-head", "pruned-head", f",heads={best_head}", args.n)
    yield evaluate("sprint-router", "sprint-router", f",router={out / 'router'}", args.n)


def _run(step: Step, out: Path, always: bool = False) -> None:
    """Run a step unless the same one is done; its output goes on in ``logs/``."""
    from sprint_eval.errors import DataError
    from sprint_eval.files import write_atomic

    mark = out / "done" / step.name
    if not always and mark.is_file() and mark.read_text(encoding="utf-8") == step.shown:
        print(f"\n(done before) {step.shown}", flush=True)
        return
    print(f"\n$ {step.shown}", flush=True)
    log = out / "logs" / f"{step.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "LMEVAL_LOG_LEVEL": "WARNING"}
    started = time.monotonic()
    with log.open("w", encoding="utf-8") as handle:
        finished = subprocess.run(
            [sys.executable, "-m", *step.arguments],
            env={**os.environ, **environment},
            stdout=handle if step.quiet else None,
            check=False,
        )
    if finished.returncode:
        raise DataError(
            f"step '{step.name}' of the demo ended with exit code {finished.returncode}; "
            f"its output is above and in {log}; start the demo again to go on from here"
        )
    write_atomic(mark, step.shown)
    print(f"({step.name}: {time.monotonic() - started:.0f} s)", flush=True)


def _model_folder() -> str:
    from sprint_eval.models import resolve_model_path

    return resolve_model_path(MODEL)


def _best_head(outcomes: Path) -> str:
    from sprint_eval.outcomes import Outcomes
    from sprint_eval.routing import best_single_head

    return str(best_single_head(Outcomes.load(outcomes)))
