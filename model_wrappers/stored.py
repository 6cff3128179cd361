"""Answers kept between runs of our models, and the harness's own cache, which can't keep them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from sprint_eval.backends import Backend
from sprint_eval.compare.store import GenerationStore, StoredBackend
from sprint_eval.engine.settings import DecodingSettings


def stored_backend(
    backend: Backend, folder: str, lm: Any, fingerprint: str, engine: str, settings: DecodingSettings
) -> StoredBackend:
    """The backend behind a store whose keys hold everything that decides an answer.

    Args:
        lm: lm-eval's ``hf`` around the model.
        fingerprint: the model's.
        engine: name of who decodes.
    """
    import torch
    import transformers

    identity = {
        "model": fingerprint,
        "dtype": str(lm.model.dtype),
        "device": lm.device.type,
        "engine": engine,
        "settings": asdict(settings),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    return StoredBackend(backend, GenerationStore(Path(folder)), identity)


def remove_empty_cache(cache_hook: Any) -> None:
    """The harness makes the cache's file before it asks us; leave no empty one behind."""
    store: Any = getattr(cache_hook, "dbdict", None)
    filename = getattr(store, "filename", None)
    if store is not None and filename is not None and len(store) == 0:
        store.close()
        Path(filename).unlink(missing_ok=True)
