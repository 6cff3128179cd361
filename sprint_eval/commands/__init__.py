"""The subcommands of ``sprint-eval``, a module each.

A module has ``HELP`` (one line), ``EXAMPLES`` (shown under its ``--help``), ``add_arguments(parser)`` and
``run(args) -> int``. Importing it is cheap: heavy imports stand inside ``run``.
"""
