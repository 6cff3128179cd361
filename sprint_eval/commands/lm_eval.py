"""``sprint-eval lm-eval``: lm_eval with our models and tasks where start-up files are not run."""

from __future__ import annotations

import argparse
import importlib.util
import sys

# The command line hands over every argument unread.
FORWARDS = True
HELP = "run lm_eval with our models and tasks, where the installed hook cannot work"
EXAMPLES = """\
Not needed after an ordinary install: there lm_eval itself knows our models and tasks. Where Python's
start-up files are not run (python -S, pip install --target, a frozen application), this adds them and
runs lm_eval with the arguments that follow.

examples:
  sprint-eval lm-eval ls tasks
  sprint-eval lm-eval --model pruned-head --model_args pretrained=DIR,heads=L15H0 --tasks gsm8k_pass_at_n
  accelerate launch -m sprint_eval lm-eval --model pruned-head ...
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say where the arguments go."""
    parser.add_argument("arguments", nargs="+", metavar="ARGUMENT", help="handed to lm_eval unread")


def run(args: argparse.Namespace) -> int:
    """Add our names to lm_eval and run its command line.

    Raises:
        ArgumentError: lm_eval is not installed.
    """
    from sprint_eval import _hook
    from sprint_eval.errors import ArgumentError

    if importlib.util.find_spec("lm_eval") is None:
        raise ArgumentError("lm_eval is not installed; run: python -m pip install 'lm-eval>=0.4.13,<0.5'")
    _hook.install()
    from lm_eval.__main__ import cli_evaluate

    sys.argv = ["lm_eval", *args.arguments]
    cli_evaluate()
    return 0
