"""φ: question text to vector, by any sentence-transformers model."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sprint_eval.errors import ArgumentError, DataError, UnsupportedModelError
from sprint_eval.models import cache_root, resolve_embedder_path
from sprint_eval.routing.embedding_cache import EmbeddingCache

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_LOGGER = logging.getLogger(__name__)

DEFAULT_EMBEDDER = "all-MiniLM-L6-v2"
AUTO, FLOAT32, BFLOAT16 = "auto", "float32", "bfloat16"
DTYPES = (AUTO, FLOAT32, BFLOAT16)


class Embedder(Protocol):
    """What training and routing need of φ."""

    @property
    def name(self) -> str:
        """What the router's folder calls it, enough to load it again."""

    @property
    def dtype(self) -> str:
        """What it computes in: its vectors differ a little between dtypes."""

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors, float32, ``[len(texts), width]``, one a text in order; finite."""


class SentenceEmbedder:
    """A sentence-transformers model that remembers on disk what it has embedded.

    The model is loaded when the first text needs it; with every text stored, it never is.

    Args:
        name: a name that ``sprint_eval.models`` knows, a local folder, or a hub name.
        cache: folder for stored embeddings; ``None`` for the user's cache folder
            (``$SPRINT_EVAL_CACHE`` or ``~/.cache/sprint-eval``).
        device: where the model runs; the processor is fast enough for questions.
        batch_size: texts a forward pass, of like length: many would be padded to the longest of them.
        dtype: ``float32``, ``bfloat16``, or ``auto``: bfloat16 where the processor multiplies in it, which
            takes about a third of the time. A router says which it was trained with, and routes with that.

    Raises:
        ArgumentError: there is no such dtype.
    """

    def __init__(
        self,
        name: str = DEFAULT_EMBEDDER,
        cache: Path | None = None,
        device: str = "cpu",
        batch_size: int = 16,
        dtype: str = AUTO,
    ) -> None:
        if dtype not in DTYPES:
            raise ArgumentError(f"embedder dtype must be {', '.join(DTYPES)}, found {dtype!r}")
        self.name = name
        self.dtype = best_dtype() if dtype == AUTO else dtype
        self._path = str(resolve_embedder_path(name))
        self._device = device
        self._batch_size = batch_size
        self._model: SentenceTransformer | None = None
        # Only a folder's files say for sure what a name stands for today: a hub name is not stored.
        files = _files_digest(Path(self._path)) if Path(self._path).is_dir() else None
        root = cache or cache_root() / "embeddings"
        apart = "" if self.dtype == FLOAT32 else f"-{self.dtype}"
        self._cache = EmbeddingCache(root / f"{files}{apart}") if files else None

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of the texts, ``[len(texts), width]``.

        Raises:
            UnsupportedModelError: the model cannot be loaded.
            DataError: it gave a vector with NaN or infinity.
        """
        found = self._cache.get(texts) if self._cache else {}
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        if missing:
            vectors = np.asarray(self._compute(missing), np.float32)
            check_embeddings(vectors, missing, self.name)
            fresh = dict(zip(missing, vectors, strict=True))
            if self._cache:
                self._keep(self._cache, fresh)
            found.update(fresh)
        return np.stack([found[text] for text in texts]) if texts else np.zeros((0, 0), np.float32)

    def _keep(self, cache: EmbeddingCache, vectors: dict[str, np.ndarray]) -> None:
        """Store vectors; a full disk or a read-only home costs time later, no result now."""
        try:
            cache.put(vectors)
        except OSError as error:
            _LOGGER.warning("embeddings are not stored in %s: %s", cache.folder, error.strerror)
            self._cache = None

    def _compute(self, texts: list[str]) -> np.ndarray:
        if self._model is None:
            self._model = _load(self._path, self.name, self._device, self.dtype)
        return self._model.encode(
            texts, batch_size=self._batch_size, show_progress_bar=False, convert_to_numpy=True
        )


def best_dtype() -> str:
    """``bfloat16`` where this machine's processor multiplies matrices in it, else ``float32``."""
    import torch

    able: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # older torch does not say
    native = any(able.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return BFLOAT16 if native else FLOAT32


def check_embeddings(vectors: np.ndarray, texts: Sequence[str], name: str) -> None:
    """Refuse embeddings that are not one finite vector a text.

    Raises:
        DataError: says which text has none.
    """
    if vectors.ndim != 2 or len(vectors) != len(texts):
        raise DataError(f"embedder {name}: expected {len(texts)} vectors, found shape {vectors.shape}")
    broken = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(broken):
        text = texts[int(broken[0])]
        raise DataError(
            f"embedder {name} gave NaN or infinity for {len(broken)} of {len(texts)} questions, "
            f"the first is {text[:80]!r}; use another embedder or drop them"
        )


def _load(path: str, name: str, device: str, dtype: str) -> SentenceTransformer:
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        return SentenceTransformer(path, device=device).to(dtype=getattr(torch, dtype))
    except (OSError, ValueError) as error:
        raise UnsupportedModelError(
            f"embedder {name} cannot be loaded as a sentence-transformers model from {path}: {error}"
        ) from error
    finally:
        if bars:
            logging.enable_progress_bar()


def _files_digest(folder: Path) -> str:
    """16 hexadecimal digits from everything in a model's folder that decides its vectors."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.suffix in {".json", ".safetensors", ".bin", ".txt", ".model"}:
            digest.update(f"{file.relative_to(folder).as_posix()}\0{file.stat().st_size}\0".encode())
            with file.open("rb") as handle:
                for block in iter(lambda: handle.read(1 << 20), b""):
                    digest.update(block)
    return digest.hexdigest()[:16]
