"""Folders of cut models: saved as any model is, loaded by one call."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from sprint_eval.errors import DataError, MismatchError, UnsupportedModelError
from sprint_eval.files import make_readable
from sprint_eval.loading import loading
from sprint_eval.pruning.attention import cut_implementation
from sprint_eval.pruning.removed import CONFIG_FIELD, Removed
from sprint_eval.pruning.surgery import cut


def is_pruned(config: Any) -> bool:
    """Whether a model's config says that heads or neurons were cut out."""
    return bool(Removed.of_config(config))


def save_pruned(model: Any, folder: str | Path, tokenizer: Any = None) -> Path:
    """Write a cut model's folder: config, safetensors and, where given, the tokenizer.

    The folder appears whole: it is written under another name first.

    Raises:
        MismatchError: the model was not cut.
        DataError: the folder exists already.
    """
    if not is_pruned(model.config):
        raise MismatchError("no heads were cut out of this model; save it with save_pretrained()")
    return write_folder(model, folder, tokenizer)


def write_folder(model: Any, folder: str | Path, tokenizer: Any = None) -> Path:
    """``save_pretrained`` of model and tokenizer, whole or not at all (:class:`DataError` if it exists)."""
    import shutil
    import tempfile

    target = Path(folder)
    if target.exists():
        raise DataError(f"{target} exists already; choose another folder or remove it")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        model.save_pretrained(partial)
        if tokenizer is not None:
            tokenizer.save_pretrained(partial)
        make_folder_readable(partial)
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return target


def make_folder_readable(folder: Path) -> None:
    """Give a folder and its files the permissions of ordinary ones."""
    for file in folder.rglob("*"):
        if file.is_file():  # safetensors writes files that only their owner can read
            make_readable(file)
    folder.chmod(0o755)


def load_pruned(folder: str | Path, **kwargs: Any) -> Any:
    """Load a cut model by everything that ``from_pretrained`` can do: dtype, device_map, shards.

    Args:
        kwargs: those of ``from_pretrained``; ``attn_implementation`` is ``sdpa`` (default) or ``eager``.

    Raises:
        DataError: the folder is missing, or a file of it is missing or broken.
        MismatchError: nothing was cut out of this model, or its weights do not fit its config.
        UnsupportedModelError: an attention implementation that uneven groups cannot use.
    """
    from transformers import AutoConfig

    shared = {
        name: kwargs[name] for name in ("revision", "subfolder", "token", "cache_dir") if name in kwargs
    }
    config = kwargs.pop("config", None)
    if config is None:
        with loading(f"model '{folder}'"):
            config = AutoConfig.from_pretrained(folder, **shared)
    if not is_pruned(config):
        raise MismatchError(
            f"{folder} has no heads cut out of it (its config has no '{CONFIG_FIELD}'); use --model hf"
        )
    requested = kwargs.pop("attn_implementation", None)
    kwargs = {name: value for name, value in kwargs.items() if not (name == "gguf_file" and value is None)}
    with loading(f"model '{folder}'"):
        try:
            model, report = _cut_class(stock_class(config)).from_pretrained(
                folder,
                config=config,
                attn_implementation=cut_implementation(requested),
                output_loading_info=True,
                **kwargs,
            )
        except RuntimeError as error:
            if "mismatch" not in str(error):
                raise
            raise MismatchError(
                f"the weights in {folder} do not fit the removed heads of its config"
            ) from error
    missing = sorted(report["missing_keys"]) + sorted(report["unexpected_keys"])
    if missing:
        raise MismatchError(
            f"the weights in {folder} do not fit its config: {len(missing)} missing or unexpected, the first "
            f"is {missing[0]}"
        )
    return model


class PrunedCheckpoint:
    """Stands in for ``AutoModelForCausalLM`` where a cut model is to be loaded."""

    from_pretrained = staticmethod(load_pruned)


def stock_class(config: Any) -> Any:
    """The ``transformers`` causal-LM class of a config.

    Raises:
        UnsupportedModelError: there is none.
    """
    from transformers import AutoModelForCausalLM

    try:
        found = AutoModelForCausalLM._model_mapping[type(config)]
    except KeyError:
        raise UnsupportedModelError(f"model type '{config.model_type}' has no causal LM class") from None
    return found[0] if isinstance(found, (list, tuple)) else found


@functools.cache
def _cut_class(stock: Any) -> Any:
    """The stock class, whose instances lose their heads as soon as their modules exist.

    ``from_pretrained`` then finds modules of the shapes that the checkpoint has, and does all the rest.
    """

    class Cut(stock):
        def __init__(self, config: Any, *args: Any, **kwargs: Any) -> None:
            super().__init__(config, *args, **kwargs)
            removed = Removed.of_config(config)
            delattr(config, CONFIG_FIELD)  # cut() records it anew
            # Any neurons will do: only their number shapes the modules.
            neurons = {layer: range(count) for layer, count in removed.neurons.items()}
            cut(self, removed.heads, neurons, allow_empty_layers=True)

    # Saved configs name the stock class, so that nothing of ours is needed to read them.
    Cut.__name__, Cut.__qualname__, Cut.__module__ = stock.__name__, stock.__qualname__, stock.__module__
    return Cut
