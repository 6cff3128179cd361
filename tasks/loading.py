"""Loading a task from Python, as the sweep does: the very task that ``lm_eval`` would run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from sprint_eval.errors import ArgumentError, DataError, did_you_mean

TASKS_DIR = Path(__file__).parent

_raise_errors: ContextVar[bool] = ContextVar("raise_errors", default=False)


def errors_reach_the_caller() -> bool:
    """Whether a task is being loaded by :func:`load_task`, whose caller handles our errors itself."""
    return _raise_errors.get()


def task_files() -> dict[str, Path]:
    """The YAML of each of our tasks, by the task's name."""
    return {path.stem: path for path in sorted(TASKS_DIR.glob("*/*.yaml"))}


def load_task(
    name: str,
    metadata: Mapping[str, Any] | None = None,
    split: str = "test",
    include_path: str | Path | Sequence[str | Path] | None = None,
) -> Any:
    """The lm-eval task ``name``, with ``split`` as its evaluated documents.

    Args:
        name: one of our tasks, a stock task, a task found in ``include_path``, or a YAML's path.
        metadata: what ``--metadata`` would give.
        split: ``test``, ``validation`` or ``train``.
        include_path: folders with further tasks, as ``--include_path``.

    Raises:
        ArgumentError: no such task, a group, a split that it does not have, or metadata that names
            another one.
        DataError: its data cannot be had.
    """
    from lm_eval.tasks import TaskManager

    given = dict(metadata or {})
    if given.get("split", split) != split:
        raise ArgumentError(
            f"metadata names split = {given['split']}, but the '{split}' part is what is read here: "
            "leave it out, and choose the part by --split where there is one"
        )
    given["split"] = split  # ours read it, whether by name, by path or out of an included folder
    ours = task_files()
    if name in ours:
        manager = TaskManager(include_defaults=False, metadata=given)
        with _errors_raised():
            return _only_task(manager.load([str(ours[name])]), name)
    include = [include_path] if isinstance(include_path, (str, Path)) else list(include_path or [])
    # Indexing lm-eval's own thousands of YAMLs takes seconds: only where the name may be one of them.
    manager = TaskManager(include_path=include or None, include_defaults=False, metadata=given)
    known = [*ours, *manager.all_tasks]
    if name not in known and not Path(name).is_file():
        manager = TaskManager(include_path=include or None, metadata=given)
        known += manager.all_tasks
        if name not in known:
            raise ArgumentError(f"unknown task '{name}'{did_you_mean(name, known)}")
    try:
        with _errors_raised():
            task = _only_task(manager.load([name]), name)
    except (OSError, ValueError, ConnectionError) as error:
        raise DataError(f"task '{name}' could not be loaded: {error}") from error
    _choose_split(task, name, split)
    return task


def set_num_fewshot(task: Any, wanted: int | None) -> None:
    """As lm-eval's ``--num_fewshot``: a task that says 0 itself keeps it, ``None`` leaves the task's own."""
    if wanted is not None and task.get_config("num_fewshot") != 0:
        task.set_config(key="num_fewshot", value=wanted)
    elif task.get_config("num_fewshot") is None:
        task.set_config(key="num_fewshot", value=0)


def _only_task(loaded: Mapping[str, Any], name: str) -> Any:
    tasks = list(loaded["tasks"].values())
    if len(tasks) != 1:
        raise ArgumentError(f"'{name}' is a group of {len(tasks)} tasks: name one of them")
    return tasks[0]


def _choose_split(task: Any, name: str, split: str) -> None:
    """Evaluate another split of a stock task: its documents are read from ``test_split``."""
    if hasattr(task, "options") or split == "test":
        return
    wanted = task.config.training_split if split == "train" else task.config.validation_split
    if wanted is None:
        raise ArgumentError(f"task '{name}' has no {split} split")
    task.set_config("test_split", wanted)


@contextlib.contextmanager
def _errors_raised() -> Iterator[None]:
    token = _raise_errors.set(True)
    try:
        yield
    finally:
        _raise_errors.reset(token)
