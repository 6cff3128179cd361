"""A training phase on disk: whole checkpoints, no pickle, the newest named by a pointer."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sprint_eval.errors import DataError, MismatchError
from sprint_eval.files import read_json, write_atomic, write_json

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

_POINTER = "latest.json"


@dataclass(frozen=True)
class PhaseState:
    """Where a phase stands.

    Attributes:
        step: steps done.
        extra: what else the phase remembers: heads pruned so far, loss scale.
    """

    step: int
    extra: Mapping[str, Any]


def save_state(folder: Path, state: PhaseState, model: Any, optimizer: Optimizer) -> Path:
    """Write a checkpoint; the one before it is removed only when this one is whole."""
    from safetensors.torch import save_file, save_model

    folder.mkdir(parents=True, exist_ok=True)
    before = _latest(folder)
    target = folder / f"step-{state.step}"
    partial = Path(tempfile.mkdtemp(dir=folder, prefix=".step-"))
    try:
        save_model(model, str(partial / "model.safetensors"))
        tensors, numbers = _optimizer_state(optimizer)
        save_file(tensors, str(partial / "optimizer.safetensors"))
        write_json(
            partial / "state.json", {"step": state.step, "extra": dict(state.extra), "optimizer": numbers}
        )
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    write_json(folder / _POINTER, {"step": state.step})
    if before is not None and before != target:
        shutil.rmtree(before, ignore_errors=True)
    return target


def load_state(folder: Path, model: Any, optimizer: Optimizer) -> PhaseState | None:
    """Put the newest checkpoint into model and optimizer; ``None`` where there is none.

    Raises:
        DataError: a file of the checkpoint is missing, or does not hold what was written to it.
        MismatchError: the checkpoint is of another model.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file, load_model

    found = _latest(folder)
    if found is None:
        return None
    values = read_json(found / "state.json", "the checkpoint's state")
    try:
        state = PhaseState(int(values["step"]), dict(values["extra"]))
        numbers = dict(values["optimizer"])
        tensors = load_file(str(found / "optimizer.safetensors"))
        load_model(model, str(found / "model.safetensors"))
    except RuntimeError as error:
        raise MismatchError(f"the checkpoint {found} is of another model: {str(error)[:200]}") from error
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise _damaged(found, folder, error) from error
    try:
        _restore_optimizer(optimizer, tensors, numbers)
    except (RuntimeError, KeyError, ValueError) as error:
        raise MismatchError(f"the checkpoint {found} is of another model: {str(error)[:200]}") from error
    return state


def remove_states(folder: Path) -> None:
    """Remove a finished phase's checkpoints."""
    shutil.rmtree(folder, ignore_errors=True)


def truncate_log(path: Path, step: int) -> None:
    """Drop a metrics log's lines of steps beyond ``step``, and a torn last line."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] > step:
                break
        except (ValueError, KeyError):
            break
        kept.append(line + "\n")
    write_atomic(path, "".join(kept))


def _latest(folder: Path) -> Path | None:
    pointer = folder / _POINTER
    if not pointer.exists():
        return None
    named = read_json(pointer, "the pointer to the newest checkpoint")
    try:
        return folder / f"step-{int(named['step'])}"
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(pointer, folder, error) from error


def _damaged(what: Path, folder: Path, error: Exception) -> DataError:
    return DataError(
        f"the checkpoint {what} is damaged ({type(error).__name__}: {str(error)[:200]}); remove the folder "
        f"{folder} to train this phase anew"
    )


def _optimizer_state(optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Tensors and plain numbers of an optimizer's state, by parameter index and name."""
    import torch

    tensors: dict[str, Tensor] = {}
    numbers: dict[str, float] = {}
    for index, values in optimizer.state_dict()["state"].items():
        for name, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{index}.{name}"] = value.contiguous()
            else:
                numbers[f"{index}.{name}"] = float(value)
    return tensors, numbers


def _restore_optimizer(
    optimizer: Optimizer, tensors: Mapping[str, Tensor], numbers: Mapping[str, float]
) -> None:
    state: dict[int, dict[str, Any]] = {}
    for key, value in (*tensors.items(), *numbers.items()):
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
