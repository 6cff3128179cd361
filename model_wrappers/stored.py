"""Answers and scores kept between runs of our models, and the harness's own cache, which can't keep them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from sprint_eval.backends import Backend
from sprint_eval.compare.stored import StoredBackend, StoredScorer, generation_store, score_store
from sprint_eval.engine.settings import DecodingSettings
from sprint_eval.scoring import Scorer

_SCORES = "scores"  # the folder beside the answers


def stored_backend(
    backend: Backend, folder: str, lm: Any, fingerprint: str, engine: str, settings: DecodingSettings
) -> StoredBackend:
    """The backend behind a store whose keys hold everything that decides an answer.

    Args:
        lm: lm-eval's ``hf`` around the model.
        fingerprint: the model's.
        engine: name of who decodes.
    """
    identity = {**_identity(lm, fingerprint), "engine": engine, "settings": asdict(settings)}
    return StoredBackend(backend, generation_store(Path(folder)), identity)


def stored_scorer(lm: Any, folder: str | None, scorer: Scorer) -> Scorer:
    """The scorer behind a store of its own in the same folder; as it is where there is no folder."""
    if folder is None:
        return scorer
    return StoredScorer(scorer, score_store(Path(folder) / _SCORES), _identity(lm, lm.fingerprint))


def _identity(lm: Any, fingerprint: str) -> dict[str, Any]:
    import torch
    import transformers

    return {
        "model": fingerprint,
        "dtype": str(lm.model.dtype),
        "device": lm.device.type,
        "attention": getattr(lm.model.config, "_attn_implementation", None),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        **lm.changed_weights(),
    }


def remove_empty_cache(cache_hook: Any) -> None:
    """The harness makes the cache's file before it asks us; leave no empty one behind."""
    store: Any = getattr(cache_hook, "dbdict", None)
    filename = getattr(store, "filename", None)
    if store is not None and filename is not None and len(store) == 0:
        store.close()
        Path(filename).unlink(missing_ok=True)
