"""``python -m sprint_eval``: the ``sprint-eval`` command where its script is not on the path."""

import sys

from sprint_eval.cli import main

sys.exit(main())
