"""Run mypy over the packages under the names they are installed by.

The top-level folders are one package only once installed, so this lays them out as the wheel does, in a tree
of links, and fails when mypy looked at fewer files than there are.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TREE = ROOT / "build" / "typecheck"
INNER = ("leaderboards", "model_wrappers", "tasks")


def lay_out() -> int:
    """Build the tree and return how many Python files it holds."""
    shutil.rmtree(TREE, ignore_errors=True)
    package = TREE / "sprint_eval"
    package.mkdir(parents=True)
    for entry in [*(ROOT / "sprint_eval").iterdir(), *(ROOT / name for name in INNER)]:
        (package / entry.name).symlink_to(entry)
    return sum(len(list((ROOT / name).rglob("*.py"))) for name in ("sprint_eval", *INNER))


def main() -> int:
    """Check, with paths of the source tree in the output."""
    expected = lay_out()
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--config-file",
        str(ROOT / "pyproject.toml"),
        "-p",
        "sprint_eval",
    ]
    done = subprocess.run(command, cwd=TREE, capture_output=True, text=True)
    pattern = re.compile(rf"^sprint_eval/(?=(?:{'|'.join(INNER)})/)", re.MULTILINE)
    print(pattern.sub("", done.stdout), end="")
    print(done.stderr, end="", file=sys.stderr)
    counted = re.search(r"(?:in|checked) (\d+) source files?", done.stdout)
    if done.returncode == 0 and (counted is None or int(counted[1]) < expected):
        print(f"mypy looked at {counted[1] if counted else 0} of {expected} files", file=sys.stderr)
        return 1
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
