"""Embeddings on disk, found again by the text they are of."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from sprint_eval.files import write_atomic

_MAX_SHARDS = 32


def text_hash(text: str) -> bytes:
    """SHA-256 of the exact text: a different space is a different embedding."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


class EmbeddingCache:
    """A folder of shards, each whole or not there, for one embedder.

    Every call that computes something adds one shard, named by its content; processes that share
    the folder never write to one another's files, and the same text stored twice does no harm.
    When there are many shards they are merged into one. A shard that cannot be read is as if it
    were not there: its texts are computed again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[bytes, np.ndarray] = {}
        self._read: set[str] = set()

    def get(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """The stored vectors of those texts that have one."""
        keys = {text: text_hash(text) for text in texts}
        if any(key not in self._known for key in keys.values()):
            self._read_new_shards()
        return {text: self._known[key] for text, key in keys.items() if key in self._known}

    def put(self, vectors: Mapping[str, np.ndarray]) -> None:
        """Store vectors, all of one width and finite."""
        if not vectors:
            return
        fresh = {text_hash(text): np.asarray(vector, np.float32) for text, vector in vectors.items()}
        self._write(fresh)
        self._known.update(fresh)
        shards = self._shards()
        if len(shards) > _MAX_SHARDS:
            self._read_new_shards()
            merged = self._write(self._known)
            # Only shards listed before the merge go, and all that could be read of them is in it;
            # a process that still wants one computes its texts once more.
            for shard in shards:
                if shard.name != merged:
                    shard.unlink(missing_ok=True)

    def _shards(self) -> list[Path]:
        return sorted(self.folder.glob("*.safetensors"))

    def _read_new_shards(self) -> None:
        for shard in self._shards():
            if shard.name in self._read:
                continue
            self._read.add(shard.name)
            try:
                arrays = safetensors.numpy.load(shard.read_bytes())
                hashes, vectors = arrays["hashes"], arrays["vectors"]
            except (OSError, SafetensorError, KeyError):
                continue
            if hashes.ndim == 2 and vectors.ndim == 2 and np.isfinite(vectors).all():
                self._known.update(zip((row.tobytes() for row in hashes), vectors, strict=False))

    def _write(self, vectors: Mapping[bytes, np.ndarray]) -> str:
        keys = sorted(vectors)
        payload = safetensors.numpy.save(
            {
                "hashes": np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), -1),
                "vectors": np.stack([vectors[key] for key in keys]),
            }
        )
        name = f"{hashlib.sha256(payload).hexdigest()[:24]}.safetensors"
        write_atomic(self.folder / name, payload)
        self._read.add(name)
        return name
