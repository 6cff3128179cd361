"""Stock lm_eval knows our models and tasks, whatever its version does, and pays nothing when unused."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from sprint_eval import _hook
from sprint_eval.model_wrappers import MODELS

TASKS = ("asdiv", "gsm8k", "math23k", "math500", "rg_math")


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter, away from the source tree."""
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=Path(sys.prefix),
        env={**os.environ, "PYTHONWARNINGS": "default::RuntimeWarning", **environment},
    )


def fake_lm_eval(folder: Path, **files: str) -> str:
    """An ``lm_eval`` of another version, ``api__registry="source"`` and so on; its entry for ``sys.path``."""
    for name, source in files.items():
        path = folder / "lm_eval" / Path(*name.split("__")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    for package in [path for path in (folder / "lm_eval").rglob("*") if path.is_dir()] + [folder / "lm_eval"]:
        (package / "__init__.py").touch()
    return str(folder)


REGISTRY = """
class Registry(dict):
    def register(self, name, *, target):
        assert name not in self, name
        self[name] = target
model_registry = Registry({present!r})
"""
MANAGER = """
class TaskManager:
    def __init__(self, verbosity=None, include_path=None, include_defaults=True, metadata=None):
        self.include_path = include_path
        self.scanned = include_path
"""


def test_entry_points_are_the_table() -> None:
    declared = {point.name: point.value for point in importlib.metadata.entry_points(group="lm_eval.models")}
    ours = {name: value for name, value in declared.items() if value.startswith("sprint_eval.")}
    assert ours == MODELS


def test_a_start_costs_little_and_loads_nothing() -> None:
    """Bytecode is cached as it is for users; the best of several starts says what the work itself takes."""
    cumulative = re.compile(r"^import time:\s+\d+ \|\s+(\d+) \|   ?(\S+)$", re.MULTILINE)
    totals = []
    for _ in range(6):
        done = python("-X", "importtime", "-c", "import sys; print(*sys.modules)", PYTHONDONTWRITEBYTECODE="")
        loaded = set(done.stdout.split())
        assert "sprint_eval._hook" in loaded, "the start-up file is not installed"
        assert not loaded & {"torch", "lm_eval", "transformers", "numpy", "importlib.util", "pathlib"}
        assert {name for name in loaded if name.startswith("sprint_eval")} == {
            "sprint_eval",
            "sprint_eval._hook",
        }
        costs = {name: int(cost) for cost, name in cumulative.findall(done.stderr)}
        totals.append(costs["sprint_eval._hook"] + costs.get("_sprint_eval_editable", 0))
    assert min(totals) < 5000, f"{min(totals)} microseconds at best"


def test_hook_is_armed_once() -> None:
    _hook.install()
    _hook.install()
    assert sum(type(finder) is _hook.Finder for finder in sys.meta_path) == 1


def test_models_are_registered_by_any_import_order() -> None:
    code = (
        "from lm_eval.api.registry import get_model, model_registry\n"
        "import lm_eval.models, importlib, inspect\n"
        "importlib.reload(lm_eval.models)\n"
        "inspect.getsource(lm_eval.models)\n"
        "print(*model_registry.keys())\n"
        "print(*lm_eval.models.MODEL_MAPPING)\n"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    registry, table = (set(line.split()) for line in done.stdout.splitlines()[-2:])
    assert set(MODELS) <= registry
    assert set(MODELS) <= table


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_name_resolves_to_its_class(name: str) -> None:
    from lm_eval.api.model import LM
    from lm_eval.api.registry import get_model

    found = get_model(name)
    assert issubclass(found, LM)
    assert f"{found.__module__}:{found.__name__}" == MODELS[name]


def test_names_registered_before_stay(tmp_path: Path) -> None:
    """A later lm-eval reads entry points itself; its registration stands."""
    path = fake_lm_eval(
        tmp_path, api__registry=REGISTRY.format(present={"pruned-head": "by entry point"}), models="x = 1\n"
    )
    code = "import lm_eval.models; from lm_eval.api.registry import model_registry as r; print(dict(r))"
    done = python("-c", code, PYTHONPATH=path)
    assert done.stderr == ""
    assert eval(done.stdout) == MODELS | {"pruned-head": "by entry point"}


@pytest.mark.parametrize(
    ("files", "module", "reason"),
    [
        ({"api__other": "", "models": "MODEL_MAPPING = {}"}, "lm_eval.models", "ModuleNotFoundError"),
        ({"api__registry": "model_registry = 3", "models": ""}, "lm_eval.models", "TypeError"),
        ({"tasks__manager": "class Tasks: pass"}, "lm_eval.tasks.manager", "no attribute 'TaskManager'"),
        (
            {"tasks__manager": "class TaskManager:\n    def __init__(self, folders): pass"},
            "lm_eval.tasks.manager",
            "no parameter include_defaults or include_path",
        ),
    ],
)
def test_a_version_that_changed_too_much_gets_a_warning_and_works(
    files: dict[str, str], module: str, reason: str, tmp_path: Path
) -> None:
    path = fake_lm_eval(tmp_path, **files)
    done = python("-c", f"import {module}; print('works')", PYTHONPATH=path)
    assert done.stdout == "works\n"
    assert done.returncode == 0
    assert f"sprint-eval cannot extend {module}" in done.stderr
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def test_switched_off_by_the_environment(tmp_path: Path) -> None:
    path = fake_lm_eval(tmp_path, api__registry=REGISTRY.format(present={}), models="")
    code = "import lm_eval.models; from lm_eval.api.registry import model_registry as r; print(dict(r))"
    assert python("-c", code, PYTHONPATH=path, SPRINT_EVAL_NO_HOOK="1").stdout == "{}\n"


def test_errors_inside_lm_eval_stay_its_own(tmp_path: Path) -> None:
    path = fake_lm_eval(tmp_path, models="raise ImportError('a broken install')")
    done = python("-c", "import lm_eval.models", PYTHONPATH=path)
    assert done.returncode == 1
    assert "ImportError: a broken install" in done.stderr
    assert "sprint-eval cannot extend" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "scanned"),
    [
        ("", ["OURS"]),
        ("include_path='mine'", ["OURS", "mine"]),
        ("None, ['a', 'b']", ["OURS", "a", "b"]),
        ("include_defaults=False", None),
        ("include_path='mine', include_defaults=False", "mine"),
        ("include_path=OURS", "OURS"),
    ],
)
def test_our_tasks_come_before_the_users(arguments: str, scanned: Any, tmp_path: Path) -> None:
    path = fake_lm_eval(tmp_path, tasks__manager=MANAGER)
    code = (
        "import sprint_eval.tasks, lm_eval.tasks.manager as m, importlib\n"
        "importlib.reload(m)\n"
        "OURS = sprint_eval.tasks.__path__[0]\n"
        f"manager = m.TaskManager({arguments})\n"
        "print(repr(manager.scanned).replace(OURS, 'OURS'))\n"
        "print(repr(manager.include_path).replace(OURS, 'OURS'))\n"
    )
    done = python("-c", code, PYTHONPATH=path)
    assert done.stderr == ""
    found, kept = done.stdout.splitlines()
    assert eval(found) == scanned
    assert "OURS" not in kept or arguments == "include_path=OURS"


def test_fallback_works_without_start_up_files(tmp_path: Path) -> None:
    """``sprint-eval lm-eval`` adds our names itself and hands every argument on."""
    main = (
        "import sys\n"
        "def cli_evaluate():\n"
        "    import lm_eval.models\n"
        "    from lm_eval.api.registry import model_registry\n"
        "    print(sys.argv, sorted(model_registry))\n"
    )
    path = fake_lm_eval(tmp_path, api__registry=REGISTRY.format(present={}), models="")
    (tmp_path / "lm_eval" / "__main__.py").write_text(main)
    code = (
        "import sys\n"
        f"sys.path[:0] = [{path!r}, {sysconfig.get_path('purelib')!r}]\n"
        "try:\n"
        "    import _sprint_eval_editable\n"
        "    _sprint_eval_editable.install()\n"
        "except ImportError:\n"
        "    pass\n"
        "from sprint_eval.cli import main\n"
        "sys.exit(main(['lm-eval', '--model', 'x', '--help']))\n"
    )
    done = python("-S", "-c", code)
    assert done.stderr == ""
    assert done.stdout.strip() == f"{['lm_eval', '--model', 'x', '--help']} {sorted(MODELS)}"


# Stock lm_eval takes 10 s and more to start, so each of these looks at one way to start it and one answer.


@pytest.mark.slow
def test_accelerate_knows_our_models_and_tasks() -> None:
    """Our task is found with no ``--include_path``, and the error for an unknown model names our models."""
    launch = ("-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1", "-m", "lm_eval")
    done = python(*launch, "--model", "pruned-haed", "--tasks", "rg_math_pass_at_n", "--limit", "1")
    assert done.returncode != 0
    assert "Attempted to load model 'pruned-haed'" in done.stderr
    known = done.stderr.split("Supported model names: ")[1].split("\n")[0].split(", ")
    assert set(MODELS) <= set(known)


@pytest.mark.slow
def test_module_lists_our_tasks() -> None:
    done = python("-m", "lm_eval", "ls", "tasks")
    assert done.returncode == 0, done.stderr
    for name in TASKS:
        assert re.search(rf"^\|{name}_pass_at_n +\|", done.stdout, re.MULTILINE), f"{name} is not listed"


@pytest.mark.slow
def test_script_shows_an_error_of_ours_as_one_line_and_exits_2(smollm2: str) -> None:
    """Stock lm_eval lets exceptions of a model through as tracebacks with exit code 1."""
    arguments = ("--model", "pruned-head", "--tasks", "rg_math_pass_at_n", "--limit", "1", "--device", "cpu")
    script = f"{sys.prefix}/bin/lm_eval"
    done = python(script, *arguments, "--model_args", f"pretrained={smollm2},hedas=L1H0")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    ours = [line for line in done.stderr.splitlines() if line.startswith("sprint-eval: error: ")]
    assert len(ours) == 1
    assert "hedas" in ours[0]
    assert "heads" in ours[0]
