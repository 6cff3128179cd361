"""Do adapters belong to a checkpoint? Told from one matrix, without loading the model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sprint_eval.errors import DataError, MismatchError
from sprint_eval.files import read_json

if TYPE_CHECKING:
    from torch import Tensor


def check_checkpoint(adapter: Path, model: str, revision: str | None = None) -> bool:
    """Compare an adapter's columns with the checkpoint's own.

    Args:
        adapter: folder of one adapter.
        model: folder, or hub name of a model in the local cache.

    Returns:
        Whether it could be told: not for packed weights or files other than safetensors.

    Raises:
        MismatchError: the adapter was made from other weights.
    """
    import torch
    from safetensors import safe_open

    folder = _folder(model, revision)
    if folder is None:
        return False
    with safe_open(adapter / "adapter_model.safetensors", framework="pt") as file:
        name = next(key for key in sorted(file.keys()) if key.endswith(".lora_A.weight"))
        selector = file.get_tensor(name)  # [rank, in]
        change = file.get_tensor(name.replace(".lora_A.", ".lora_B."))  # [out, rank]
    module = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
    weight = _weight(folder, module)
    if weight is None or not weight.is_floating_point() or weight.dim() != 2:
        return False
    if read_json(adapter / "adapter_config.json", "adapter config").get("fan_in_fan_out"):
        weight = weight.T
    rows = selector.any(dim=1)
    columns = selector[rows].argmax(dim=1)
    fits = weight.shape == (change.shape[0], selector.shape[1])
    if not fits or not torch.equal(weight[:, columns].to(change.dtype), -change[:, rows]):
        raise MismatchError(
            f"{adapter} was made from other weights than {model} ({module} differs); export the heads of "
            "this model into a folder of their own"
        )
    return True


def _folder(model: str, revision: str | None) -> Path | None:
    if Path(model).is_dir():
        return Path(model)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model, revision=revision, local_files_only=True))
    except (OSError, ValueError):
        return None


def _weight(folder: Path, module: str) -> Tensor | None:
    """The module's weight, whatever prefix the checkpoint gives its names."""
    from safetensors import safe_open

    tail = ".".join(module.split(".")[-4:])  # layers.15.self_attn.o_proj
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        files: dict[str, Any] = read_json(index, "checkpoint index").get("weight_map", {})
    elif (folder / "model.safetensors").is_file():
        with safe_open(folder / "model.safetensors", framework="pt") as file:
            files = dict.fromkeys(file.keys(), "model.safetensors")
    else:
        return None
    found = [key for key in files if key == f"{module}.weight"]
    found = found or [key for key in files if f".{key}".endswith(f".{tail}.weight")]
    if len(found) != 1:
        return None
    try:
        with safe_open(folder / files[found[0]], framework="pt") as file:
            tensor: Tensor = file.get_tensor(found[0])
            return tensor
    except OSError as error:
        raise DataError(f"the checkpoint {folder} cannot be read: {error}") from error
