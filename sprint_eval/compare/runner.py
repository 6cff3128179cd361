"""Carrying a plan out, one run after another, and going on where it was."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sprint_eval.compare.plan import Run
from sprint_eval.errors import GenerationError
from sprint_eval.files import write_json
from sprint_eval.processes import torchrun_arguments

Execute = Callable[[Sequence[str], Path], int]
"""Runs lm_eval with these arguments, its output into a file; returns its exit code."""


def carry_out(runs: Sequence[Run], out: Path, execute: Execute | None = None) -> int:
    """Do what is not done yet, and return how many runs that were.

    A run is done when it ended well with the same arguments, on the same routers and outcomes. One
    that was broken off, or whose plan changed, begins anew in an empty folder; answers that are in
    the store are not decoded again.

    Raises:
        GenerationError: a run failed; the message names its log.
    """
    execute = execute or run_lm_eval
    done = 0
    for number, run in enumerate(runs, start=1):
        place = f"[{number}/{len(runs)}] {run.task} {run.label}"
        if is_done(run, out):
            print(f"{place}: done before", flush=True)
            continue
        print(f"{place}\n$ {shown(run)}", flush=True)
        _mark(run, out).unlink(missing_ok=True)
        shutil.rmtree(run.folder, ignore_errors=True)
        log = out / "logs" / run.task / f"{run.label}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        code = execute(run.arguments, log)
        if code != 0 or not any(run.folder.rglob("results_*.json")):
            ended = f"ended with exit code {code}" if code else "wrote no results"
            raise GenerationError(
                f"lm_eval {ended} in run '{run.label}' on {run.task}: {_last_line(log)} "
                f"(the rest is in {log}); start the same comparison again to go on from here"
            )
        write_json(_mark(run, out), _facts(run, out))
        print(f"  {time.monotonic() - started:.0f} s", flush=True)
        done += 1
    return done


def is_done(run: Run, out: Path) -> bool:
    """Whether this very run ended well before."""
    facts = _read(_mark(run, out))
    wanted = _facts(run, out)
    same = all(facts.get(name) == wanted[name] for name in ("arguments", "depends"))
    return same and run.folder.is_dir()


def finished(out: Path) -> list[Run]:
    """Every run below ``out`` that ended well, in this comparison or an earlier one, by task and label."""
    found = []
    for path in sorted((out / "done").glob("*/*.json")):
        facts = _read(path)
        try:
            run = Run(
                task=path.parent.name,
                method=str(facts["method"]),
                label=path.stem,
                folder=out / str(facts["folder"]),
                arguments=tuple(facts["arguments"]),
                depends=tuple(facts["depends"]),
                oracle=bool(facts["oracle"]),
            )
        except (KeyError, TypeError):
            continue
        if run.folder.is_dir():
            found.append(run)
    return found


def shown(run: Run) -> str:
    """The command as a user would type it."""
    return shlex.join(["lm_eval", *run.arguments])


def run_lm_eval(arguments: Sequence[str], log: Path, processes: int = 1) -> int:
    """Run lm_eval in a process of its own, or several; it finds our models without the hook, too."""
    environment = {"TOKENIZERS_PARALLELISM": "false", **os.environ}
    command = ["-m", "sprint_eval", "lm-eval", *arguments]
    if processes > 1:
        command = torchrun_arguments(processes, command)
    with log.open("w", encoding="utf-8") as handle:
        finished = subprocess.run(
            [sys.executable, *command],
            env=environment,
            stdout=handle,
            stderr=subprocess.STDOUT,
            check=False,
        )
    return finished.returncode


def _mark(run: Run, out: Path) -> Path:
    return out / "done" / run.task / f"{run.label}.json"


def _facts(run: Run, out: Path) -> dict[str, Any]:
    return {
        "method": run.method,
        "folder": str(run.folder.relative_to(out)),
        "oracle": run.oracle,
        "arguments": list(run.arguments),
        "depends": list(run.depends),
    }


def _read(mark: Path) -> dict[str, Any]:
    """What the mark says; nothing where there is none, or a damaged one."""
    try:
        facts = json.loads(mark.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.is_file() else []
    said = [line.strip() for line in lines if line.strip()]
    # The launcher of several processes goes on talking after one of them has said what is wrong.
    ours = [line for line in said if line.startswith("sprint-eval: error:")]
    return (ours or said or ["it said nothing"])[-1][-300:]
