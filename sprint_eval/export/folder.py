"""A folder of adapters on disk: one folder a head set, and a manifest of them all.

::

    OUT/heads.json                        the manifest, written last
    OUT/L15H0/adapter_config.json         what peft, vLLM and SGLang read
    OUT/L15H0/adapter_model.safetensors
    OUT/base/…                            an adapter that changes nothing
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sprint_eval
from sprint_eval.architectures import attention_layout
from sprint_eval.draws import Draw
from sprint_eval.errors import DataError, MismatchError
from sprint_eval.export.adapters import AdapterPlan, adapter_name, null_adapter, plan_adapters
from sprint_eval.export.ranks import vllm_rank
from sprint_eval.files import read_json, write_json
from sprint_eval.fingerprint import model_fingerprint
from sprint_eval.heads import BASE, HeadPool, HeadSet
from sprint_eval.pruning.checkpoint import make_folder_readable

if TYPE_CHECKING:
    from torch import nn

MANIFEST = "heads.json"
SCHEMA_VERSION = 1
_PARTIAL = ".partial-"
_MARK = "sprint_eval."
_SPARE_BYTES = 16 * 2**20  # room left on the disk for configs and the manifest


@dataclass(frozen=True)
class ExportReport:
    """What an export did.

    Attributes:
        folder: the folder of the adapters.
        written, kept: names of adapters written now, and of those that were there already.
        max_rank: the largest rank among them.
        num_bytes: bytes of all adapters' weights.
    """

    folder: Path
    written: tuple[str, ...]
    kept: tuple[str, ...]
    max_rank: int
    num_bytes: int


def export_heads(
    model: nn.Module,
    pool: HeadPool | Sequence[HeadSet],
    out: Path,
    *,
    model_name: str,
    pad: bool = True,
    dry_run: bool = False,
    say: Callable[[str], None] = print,
) -> ExportReport:
    """Write an adapter for each head set of a pool, one that changes nothing, and the manifest.

    A folder with adapters of the same model is continued: adapters that are there stay, and stay in
    the manifest. Each adapter appears whole or not at all.

    Args:
        model: the loaded base model; adapters have its dtype.
        out: folder to write, made where missing.
        model_name: what engines will load as the base; goes into the adapters' configs.
        pad: round ranks up to those that vLLM takes.
        dry_run: say sizes, write nothing.
        say: is told the sizes before anything is written.

    Raises:
        UnsupportedModelError: the architecture's heads cannot be pruned by LoRA adapters.
        HeadError: a head that the model does not have.
        MismatchError: the folder holds adapters of another model, dtype or padding.
        DataError: the disk has no room, or the folder cannot be written.
    """
    pool = [heads for heads in pool if not isinstance(heads, Draw)]  # the base decodes draws as it is
    plans = plan_adapters(model, [heads for heads in pool if not heads.is_base], pad)
    facts = _facts(model, pad)
    try:
        _entries(out, facts)  # refuses a folder of another model before sizes are said
        kept = {plan.name for plan in plans if _is_there(out / plan.name, facts, plan)}
        missing = [plan for plan in plans if plan.name not in kept]
        _announce(plans, missing, out, say)
        _check_room(out, missing)
        if not dry_run:
            _write_all(model, pool, plans, missing, out, facts, model_name)
    except OSError as error:
        raise DataError(f"adapters cannot be written to {out}: {error}") from error
    return ExportReport(
        out,
        tuple(plan.name for plan in missing),
        tuple(plan.name for plan in plans if plan.name in kept),
        max((plan.rank for plan in plans), default=0),
        sum(plan.num_bytes for plan in plans),
    )


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder of adapters.

    Raises:
        DataError: there is none, it cannot be read, or its schema is newer than this version knows.
    """
    manifest = read_json(folder / MANIFEST, "the adapters' manifest")
    version = manifest.get("schema_version")
    if not isinstance(version, int) or not 1 <= version <= SCHEMA_VERSION:
        raise DataError(
            f"{folder / MANIFEST} has schema version {version}, this version reads up to {SCHEMA_VERSION}; "
            "update sprint-eval or export again"
        )
    return manifest


def _facts(model: Any, pad: bool) -> dict[str, str]:
    """What every adapter of one folder has in common, as safetensors keeps it: texts."""
    return {
        "model_fingerprint": model_fingerprint(model),
        "model_type": str(model.config.model_type),
        "dtype": str(model.dtype).removeprefix("torch."),
        "padded": str(pad).lower(),
    }


def _entries(out: Path, facts: dict[str, str]) -> list[dict[str, Any]]:
    """Adapters of an earlier manifest in this folder, after checking that they belong to the model."""
    if not (out / MANIFEST).exists():
        return []
    manifest = read_manifest(out)
    for field, value in facts.items():
        if manifest.get(field) != value:
            raise MismatchError(
                f"{out} holds adapters with {field} {manifest.get(field)}, now it would be {value}; "
                "choose another folder"
            )
    return list(manifest["adapters"])


def _is_there(folder: Path, facts: dict[str, str], plan: AdapterPlan) -> bool:
    """Whether this adapter was written before, by its file's own marks."""
    if not folder.exists():
        return False
    from safetensors import SafetensorError, safe_open

    path = folder / "adapter_model.safetensors"
    try:
        with safe_open(path, framework="pt") as file:
            found = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"{path} is not a readable adapter ({error}); remove {folder} or choose another folder"
        ) from error
    for field, value in (facts | {"heads": str(plan.heads)}).items():
        if found.get(_MARK + field) != value:
            raise MismatchError(
                f"{folder} holds an adapter with {field} {found.get(_MARK + field)}, "
                f"now it would be {value}; choose another folder"
            )
    return True


def _announce(
    plans: list[AdapterPlan], missing: list[AdapterPlan], out: Path, say: Callable[[str], None]
) -> None:
    total, rank = sum(plan.num_bytes for plan in plans), max((plan.rank for plan in plans), default=0)
    there = len(plans) - len(missing)
    say(
        f"{len(plans)} adapters of rank up to {rank}, {_size(total)} in {out}"
        + (
            f"; {there} are there already, {_size(sum(p.num_bytes for p in missing))} to write"
            if there
            else ""
        )
    )
    if rank and vllm_rank(rank) is None:
        say(f"rank {rank} is beyond vLLM's largest; these adapters load with peft, not with vLLM")


def _check_room(out: Path, missing: list[AdapterPlan]) -> None:
    wanted = sum(plan.num_bytes for plan in missing)
    place = out.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if missing and free < wanted + _SPARE_BYTES:
        raise DataError(f"the adapters need {_size(wanted)} and {place} has {_size(free)} free")


def _write_all(
    model: nn.Module,
    pool: Sequence[HeadSet],
    plans: list[AdapterPlan],
    missing: list[AdapterPlan],
    out: Path,
    facts: dict[str, str],
    model_name: str,
) -> None:
    """Write the missing adapters, then the manifest with what other exports have put there by now."""
    from filelock import FileLock

    layout = attention_layout(model)
    out.mkdir(parents=True, exist_ok=True)
    with FileLock(str(out / ".lock")):
        for stale in out.glob(f"{_PARTIAL}*"):  # we hold the lock: nobody is writing these any more
            shutil.rmtree(stale, ignore_errors=True)
        for plan in [null_adapter(model), *missing]:
            if not _is_there(out / plan.name, facts, plan):  # another process may have been first
                _write_adapter(plan, plan.tensors(layout), out, facts, model_name)
        _write_manifest(out, facts, model_name, pool, plans)


def _write_adapter(
    plan: AdapterPlan, tensors: dict[str, Any], out: Path, facts: dict[str, str], model_name: str
) -> None:
    from safetensors.torch import save_file

    marks = {_MARK + field: value for field, value in (facts | {"heads": str(plan.heads)}).items()}
    partial = Path(tempfile.mkdtemp(dir=out, prefix=_PARTIAL))
    try:
        save_file(tensors, partial / "adapter_model.safetensors", metadata={"format": "pt", **marks})
        write_json(partial / "adapter_config.json", plan.config(model_name))
        make_folder_readable(partial)
        partial.rename(out / plan.name)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _write_manifest(
    out: Path,
    facts: dict[str, str],
    model_name: str,
    pool: Sequence[HeadSet],
    plans: list[AdapterPlan],
) -> None:
    entries = {entry["heads"]: entry for entry in _entries(out, facts)}
    for plan in plans:
        entries[str(plan.heads)] = {
            "heads": str(plan.heads),
            "name": plan.name,
            "rank": plan.rank,
            "num_bytes": plan.num_bytes,
        }
    largest = max((entry["rank"] for entry in entries.values()), default=0)
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "sprint_eval_version": sprint_eval.__version__,
        "model": model_name,
        **facts,
        "max_rank": largest,
        "vllm_max_lora_rank": vllm_rank(largest),
        "num_bytes": sum(entry["num_bytes"] for entry in entries.values()),
        "null_adapter": BASE,
        "pool": [str(heads) for heads in pool],
        "adapters": list(entries.values()),
    }
    write_json(out / MANIFEST, manifest)


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


__all__ = ["MANIFEST", "ExportReport", "adapter_name", "export_heads", "read_manifest"]
