"""Several processes of one run, as ``torchrun``, ``accelerate launch`` or MPI number them.

On a machine without an accelerator accelerate needs help twice: it forms a process group on the CPU only
where a variable asks for the CPU, so that every process of ``torchrun`` would do all the work; and
``accelerate launch --cpu --num_processes N`` starts one process whatever N, which then becomes N by itself.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sprint_eval.errors import ArgumentError

_LOGGER = logging.getLogger(__name__)

_INDEX_VARIABLES = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")
_COUNT_VARIABLES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")


@dataclass(frozen=True)
class Process:
    """Which part of the work is this process's: question i belongs to process i mod ``count``."""

    index: int = 0
    count: int = 1

    def owns(self, question: int) -> bool:
        return question % self.count == self.index


def this_process(environment: Mapping[str, str] | None = None) -> Process:
    """This process's number and how many there are, from the launcher's variables.

    No process group is made.

    Raises:
        ArgumentError: the launcher's variables are no numbers, or contradict each other.
    """
    given = os.environ if environment is None else environment
    index = _first_number(given, _INDEX_VARIABLES, 0)
    count = _first_number(given, _COUNT_VARIABLES, 1)
    if not 0 <= index < count:
        raise ArgumentError(f"process index {index} of {count} processes: check RANK and WORLD_SIZE")
    return Process(index, count)


def _first_number(environment: Mapping[str, str], names: Sequence[str], default: int) -> int:
    name = next((name for name in names if environment.get(name)), None)
    if name is None:
        return default
    try:
        return int(environment[name])
    except ValueError:
        raise ArgumentError(f"{name}={environment[name]!r} is no number: check what started this") from None


def allow_group_on_cpu() -> None:
    """Let accelerate form a group of several processes where there is no accelerator to compute on."""
    import torch

    if this_process().count > 1 and not torch.accelerator.is_available():
        os.environ.setdefault("ACCELERATE_USE_CPU", "true")


def start_processes_asked_for() -> None:
    """Under ``accelerate launch --cpu --num_processes N``, begin anew as N processes.

    This process becomes ``torchrun`` with its own command line, and the call does not return; in every
    other case it returns and nothing happens. To be called before anything is computed or written.
    """
    asked = asked_of_launcher(_command_of_parent()) if this_process().count == 1 else 1
    if asked == 1:
        return
    _LOGGER.warning("accelerate launch --cpu starts one process; torchrun starts the %d asked for", asked)
    logging.shutdown()
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, *torchrun_arguments(asked, sys.orig_argv[1:])])


def torchrun_arguments(count: int, command: Sequence[str]) -> list[str]:
    """Arguments of Python that run ``[-m MODULE | SCRIPT] ARGUMENT…`` in ``count`` local processes."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
    return [*launcher, "--nproc_per_node", str(count), *command]


def asked_of_launcher(command: Sequence[str]) -> int:
    """Processes that ``accelerate launch --cpu`` on one machine was asked for; 1 for any other command."""
    launcher = any(word in ("launch", "accelerate-launch", "accelerate.commands.launch") for word in command)
    if not launcher or "--cpu" not in command or _option(command, "num_machines") not in ("", "1"):
        return 1
    count = _option(command, "num_processes")
    return max(int(count), 1) if count.isdigit() else 1


def _option(command: Sequence[str], name: str) -> str:
    """An option's value in either spelling of accelerate; empty if it is not given."""
    for number, word in enumerate(command):
        key, _, value = word.partition("=")
        if key.replace("-", "_") == f"__{name}":
            return value or (command[number + 1] if number + 1 < len(command) else "")
    return ""


def _command_of_parent() -> list[str]:
    import psutil  # comes with accelerate

    try:
        parent = psutil.Process().parent()
        return [] if parent is None else list(parent.cmdline())
    except psutil.Error:
        return []
