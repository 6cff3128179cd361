"""The subcommands of ``sprint-eval``, a module each.

A module has ``HELP`` (one line), ``EXAMPLES`` (shown under its ``--help``), ``add_arguments(parser)`` and
``run(args) -> int``. Importing it is cheap: heavy imports stand inside ``run``.
"""

from __future__ import annotations


def examples_of(examples: str, command: str) -> str:
    """Those of a subcommand's examples that show one of its actions, for that action's own help.

    Args:
        examples: the subcommand's ``EXAMPLES``.
        command: subcommand and action, ``"export heads"``.
    """
    lines = [line for line in examples.splitlines() if line.startswith(f"  sprint-eval {command} ")]
    return "\n".join(["examples:", *lines])
