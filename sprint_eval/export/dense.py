"""A head set pruned once and for all: a plain checkpoint that any engine loads."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import sprint_eval
from sprint_eval.architectures import AttentionLayout, attention_layout
from sprint_eval.errors import DataError, UnsupportedModelError
from sprint_eval.export.columns import is_plain
from sprint_eval.files import write_json
from sprint_eval.fingerprint import model_fingerprint
from sprint_eval.heads import HeadSet
from sprint_eval.pruning.checkpoint import make_folder_readable

if TYPE_CHECKING:
    from torch import nn

MANIFEST = "pruned_heads.json"


@torch.no_grad()
def zero_heads(model: nn.Module, heads: HeadSet) -> None:
    """Zero the columns of the pruned heads in the output projections, in place.

    Raises:
        HeadError: a head that the model does not have.
        UnsupportedModelError: a projection's weight is packed, or shared with another layer.
    """
    layout = attention_layout(model)
    layout.heads.check(heads)
    _check_own_weights(layout, heads)
    for layer, indices in heads.by_layer().items():
        projection: Any = layout.outputs[layer]
        for head in indices:
            columns = slice(head * layout.head_dim, (head + 1) * layout.head_dim)
            if layout.architecture.conv1d:
                projection.weight[columns, :] = 0.0  # Conv1D keeps [in, out]
            else:
                projection.weight[:, columns] = 0.0


def write_dense(model: Any, tokenizer: Any, out: Path, facts: dict[str, Any]) -> None:
    """Save a model and its tokenizer as one plain checkpoint folder, which appears whole or not at all.

    Args:
        facts: goes into ``pruned_heads.json`` beside the checkpoint.

    Raises:
        DataError: ``out`` exists and is not empty, or cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} exists and is not an empty folder; choose another")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.partial-"))
        try:
            model.save_pretrained(partial)
            tokenizer.save_pretrained(partial)
            write_json(partial / MANIFEST, {"sprint_eval_version": sprint_eval.__version__, **facts})
            make_folder_readable(partial)
            partial.replace(out)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    except OSError as error:
        raise DataError(f"the checkpoint cannot be written to {out}: {error}") from error


def export_dense(model: Any, tokenizer: Any, heads: HeadSet, out: Path, *, model_name: str) -> None:
    """Prune a head set in a loaded model (in place) and write it as a plain checkpoint.

    Its logits are the masked model's; its shape and speed are the base's, since the heads are zeros
    and not gone.

    Raises:
        HeadError, UnsupportedModelError: see :func:`zero_heads`.
        DataError: see :func:`write_dense`.
    """
    base = model_fingerprint(model)
    zero_heads(model, heads)
    facts = {
        "model": model_name,
        "model_type": str(model.config.model_type),
        "base_fingerprint": base,
        "model_fingerprint": model_fingerprint(model),
        "heads": str(heads),
    }
    write_dense(model, tokenizer, out, facts)


def _check_own_weights(layout: AttentionLayout, heads: HeadSet) -> None:
    pointers: dict[int, list[int]] = {}
    for layer, projection in enumerate(layout.outputs):
        weight = getattr(projection, "weight", None)
        if weight is not None:
            pointers.setdefault(weight.data_ptr(), []).append(layer)
    for layer in heads.by_layer():
        projection = layout.outputs[layer]
        if not is_plain(projection):
            raise UnsupportedModelError(
                f"layer {layer}'s output projection is a {type(projection).__name__} with packed weights; "
                "a dense export needs plain ones: load it dequantized, or use 'sprint-eval export heads'"
            )
        sharing = pointers[projection.weight.data_ptr()]  # type: ignore[union-attr,operator]
        if len(sharing) > 1:
            raise UnsupportedModelError(
                f"layers {', '.join(map(str, sharing))} share one output projection weight, so a head of one "
                "cannot be zeroed alone; use 'sprint-eval export heads'"
            )
