"""Our names added to lm_eval's tables.

lm-eval 0.4.13 finds models only in its own table and tasks only in its own folder. ``_hook.py`` watches for
the two modules that hold them:

- ``lm_eval.models``: our models join its registry as lazy targets, as its own do. Later versions read
  entry points; a name that is registered already stays as it is, there and here.
- ``lm_eval.tasks.manager``: a ``TaskManager`` with default tasks also looks into our folder, before the
  ``include_path`` of the user, whose tasks win.

Where start-up files are not run (``python -S``, ``pip install --target``), ``sprint-eval lm-eval …`` or
``python -m sprint_eval lm-eval …`` does the same and then runs lm_eval.
"""

from __future__ import annotations

import functools
import inspect
import os
import warnings
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

OFF_VARIABLE = "SPRINT_EVAL_NO_HOOK"
"""Environment variable that leaves lm_eval alone when it is set to anything."""


def watch(spec: ModuleSpec) -> None:
    """Make ``spec``'s loader call :func:`extend` after it has run the module.

    The loader keeps its class, so that inspect, runpy and importlib.resources see what they know.
    """
    loader: Any = spec.loader
    try:
        run = loader.exec_module
        loader.exec_module = functools.partial(_run_and_extend, run)
    except AttributeError as error:
        _warn(spec.name, error)


def extend(module: ModuleType) -> None:
    """Add ours to a loaded module of lm_eval; a version that has changed too much gets a warning, no more."""
    if OFF_VARIABLE in os.environ:
        return
    try:
        _EXTENSIONS[module.__name__](module)
    except Exception as error:  # whatever an unknown version does, lm_eval itself must go on working
        _warn(module.__name__, error)


def _run_and_extend(run: Callable[[ModuleType], None], module: ModuleType) -> None:
    run(module)
    extend(module)


def _add_models(module: ModuleType) -> None:
    from lm_eval.api.registry import model_registry

    from sprint_eval.model_wrappers import MODELS

    for name, target in MODELS.items():
        if name not in model_registry:
            model_registry.register(name, target=target)
        getattr(module, "MODEL_MAPPING", {}).setdefault(name, target)


def _add_tasks(module: ModuleType) -> None:
    import sprint_eval.tasks

    ours = Path(sprint_eval.tasks.__path__[0]).resolve()
    original = module.TaskManager.__init__
    if hasattr(original, "adds_tasks_of"):
        return
    signature = inspect.signature(original)
    if missing := {"include_path", "include_defaults"} - set(signature.parameters):
        raise TypeError(f"TaskManager has no parameter {' or '.join(sorted(missing))}")

    @functools.wraps(original)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments["include_path"]
        paths = [] if not given else list(given) if isinstance(given, (list, tuple)) else [given]
        named = any(Path(path).resolve() == ours for path in paths)
        if bound.arguments["include_defaults"] and not named:
            bound.arguments["include_path"] = [str(ours), *paths]
        original(*bound.args, **bound.kwargs)
        self.include_path = given

    init.adds_tasks_of = str(ours)  # type: ignore[attr-defined]
    module.TaskManager.__init__ = init


def _warn(name: str, error: Exception) -> None:
    warnings.warn(
        f"sprint-eval cannot extend {name} of the installed lm-eval ({type(error).__name__}: {error}), so "
        "lm_eval may not know its models or tasks; sprint-eval is tested with lm-eval 0.4.13",
        RuntimeWarning,
        stacklevel=3,
    )


_EXTENSIONS: dict[str, Callable[[ModuleType], None]] = {
    "lm_eval.models": _add_models,
    "lm_eval.tasks.manager": _add_tasks,
}
