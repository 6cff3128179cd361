"""The Python API that ``import sprint_eval`` offers."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sprint_eval

SOURCE = ast.parse(Path(sprint_eval.__file__).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", sprint_eval.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(sprint_eval, name) is not None
    assert name in dir(sprint_eval)


def test_the_lists_of_names_agree() -> None:
    """What type checkers read, what is imported on use, and ``__all__``."""
    (block,) = [node for node in SOURCE.body if isinstance(node, ast.If)]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom) and node.module != "typing"]
    read = {str(node.module).split(".", 1)[1]: tuple(alias.name for alias in node.names) for node in imports}
    assert read == sprint_eval._HOMES
    assert sprint_eval.__all__ == ["__version__", *(name for names in read.values() for name in names)]


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="module 'sprint_eval' has no attribute 'no_such_name'"):
        getattr(sprint_eval, "no_such_name")  # noqa: B009 (a plain attribute would fail the type check)


def test_importing_it_loads_nothing_else() -> None:
    code = (
        "import sys; before = set(sys.modules); import sprint_eval; print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"  # the start-up hook has loaded it already, and it alone
