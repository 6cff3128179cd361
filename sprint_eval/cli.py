"""The ``sprint-eval`` command: a table of subcommands, each loaded only when it is asked for."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from sprint_eval import __version__
from sprint_eval.errors import ArgumentError, did_you_mean, exit_on_error

# (name, module), in the order of the help.
SUBCOMMANDS: tuple[tuple[str, str], ...] = (
    ("model", "sprint_eval.commands.model"),
    ("sweep", "sprint_eval.commands.sweep"),
    ("outcomes", "sprint_eval.commands.outcomes"),
    ("regrade", "sprint_eval.commands.regrade"),
    ("study", "sprint_eval.commands.study"),
    ("train-router", "sprint_eval.commands.train_router"),
    ("compare", "sprint_eval.commands.compare"),
    ("distill", "sprint_eval.commands.distill"),
    ("export", "sprint_eval.commands.export"),
    ("leaderboard", "sprint_eval.commands.leaderboard"),
    ("lm-eval", "sprint_eval.commands.lm_eval"),
    ("demo", "sprint_eval.commands.demo"),
)

EXAMPLES = """\
examples:
  sprint-eval model smollm2-135m-instruct
  sprint-eval model --help

The models and tasks themselves are run by lm-eval:
  lm_eval --model pruned-head --model_args pretrained=smollm2-135m-instruct,heads=L15H0 \\
      --tasks gsm8k_pass_at_n
"""


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are ours: one line, exit code 2."""

    def error(self, message: str) -> NoReturn:
        raise ArgumentError(f"{message}; see: {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        argv: arguments without the program's name; those of the process by default.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        try:
            with exit_on_error():
                return _dispatch(arguments)
        finally:  # here, so that a reader that has gone is met before the interpreter's own last flush
            sys.stdout.flush()
    except KeyboardInterrupt:
        print("sprint-eval: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Give that last flush somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _dispatch(arguments: list[str]) -> int:
    names = [name for name, _ in SUBCOMMANDS]
    first = arguments[0] if arguments else "--help"
    if first in names:
        return _run(first, arguments[1:])
    if first == "help":
        return _dispatch([*arguments[1:2], "--help"])
    if not first.startswith("-"):
        nearest = did_you_mean(first, names)
        raise ArgumentError(f"unknown subcommand '{first}'{nearest}; see: sprint-eval --help")
    parser = _Parser(
        prog="sprint-eval",
        usage="sprint-eval [--version] [--help] SUBCOMMAND ...",
        description="Attention-head pruning for lm-evaluation-harness.\n\nsubcommands:\n" + _table(),
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"sprint-eval {__version__}")
    parser.parse_args([first])
    raise ArgumentError("no subcommand given; see: sprint-eval --help")


def _run(name: str, arguments: list[str]) -> int:
    module = _load(name)
    parser = _Parser(
        prog=f"sprint-eval {name}",
        description=module.HELP,
        epilog=module.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.add_arguments(parser)
    if getattr(module, "FORWARDS", False) and arguments not in ([], ["-h"], ["--help"]):
        args = argparse.Namespace(arguments=arguments)
    else:
        args = parser.parse_args(arguments)
    return int(module.run(args))


def _load(name: str) -> ModuleType:
    return importlib.import_module(dict(SUBCOMMANDS)[name])


def _table() -> str:
    width = max(len(name) for name, _ in SUBCOMMANDS)
    return "\n".join(f"  {name:{width}}  {_load(name).HELP}" for name, _ in SUBCOMMANDS)


if __name__ == "__main__":
    sys.exit(main())
