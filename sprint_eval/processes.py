"""Several processes of one run, as ``torchrun``, ``accelerate launch`` or MPI number them.

On a machine without an accelerator accelerate needs help twice: it forms a process group on the CPU only
where a variable asks for the CPU, so that every process of ``torchrun`` would do all the work; and
``accelerate launch --cpu --num_processes N`` starts one process whatever N.
"""

from __future__ import annotations

import logging
import os
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
        ArgumentError: the launcher's variables contradict each other.
    """
    given = os.environ if environment is None else environment
    index = next((int(given[name]) for name in _INDEX_VARIABLES if given.get(name)), 0)
    count = next((int(given[name]) for name in _COUNT_VARIABLES if given.get(name)), 1)
    if not 0 <= index < count:
        raise ArgumentError(f"process index {index} of {count} processes: check RANK and WORLD_SIZE")
    if count == 1:
        _warn_of_one_process()
    return Process(index, count)


def allow_group_on_cpu() -> None:
    """Let accelerate form a group of several processes where there is no accelerator to compute on."""
    import torch

    if this_process().count > 1 and not torch.accelerator.is_available():
        os.environ.setdefault("ACCELERATE_USE_CPU", "true")


def _warn_of_one_process() -> None:
    asked = asked_of_launcher(_command_of_parent())
    if asked > 1:
        _LOGGER.warning(
            "accelerate launch --cpu starts one process, not the %d asked for; "
            "to share the work use: torchrun --nproc_per_node %d -m …",
            asked,
            asked,
        )


def asked_of_launcher(command: Sequence[str]) -> int:
    """Processes that a command line of ``accelerate launch --cpu`` asks for; 1 for any other command."""
    launcher = any(word in ("launch", "accelerate-launch", "accelerate.commands.launch") for word in command)
    if not launcher or "--cpu" not in command:
        return 1
    for number, word in enumerate(command):
        name, _, value = word.partition("=")
        if name in ("--num_processes", "--num-processes"):
            value = value or (command[number + 1] if number + 1 < len(command) else "")
            return int(value) if value.isdigit() else 1
    return 1


def _command_of_parent() -> list[str]:
    import psutil  # comes with accelerate

    try:
        parent = psutil.Process().parent()
        return [] if parent is None else list(parent.cmdline())
    except psutil.Error:
        return []
