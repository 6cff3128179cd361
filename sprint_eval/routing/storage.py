"""A router's folder: ``router.safetensors`` (arrays) and ``router.json`` (everything else)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from sprint_eval.errors import DataError, HeadError, MismatchError
from sprint_eval.files import read_json, write_atomic, write_json
from sprint_eval.heads import HeadPool
from sprint_eval.routing.config import COVERAGE, MIXED, NEAREST
from sprint_eval.routing.coverage import CoverageRule
from sprint_eval.routing.embedder import FLOAT32, Embedder
from sprint_eval.routing.router import Router, RouterCard
from sprint_eval.routing.selection import NearestRule, SelectionRule

SCHEMA_VERSION = 2  # of 1, the JSON's own hash was not there
ARRAYS, CARD = "router.safetensors", "router.json"
_RESTORE: dict[str, Callable[[Mapping[str, np.ndarray], Mapping[str, Any]], SelectionRule]] = {
    NEAREST: NearestRule.restore,
    COVERAGE: CoverageRule.restore,
    MIXED: CoverageRule.restore,
}


def save_router(router: Router, folder: Path) -> None:
    """Write both files; the JSON, last, names the arrays by their hash, so halves never pass for a whole."""
    arrays, same_as = _without_copies(_arrays(router))
    payload = safetensors.numpy.save(arrays)
    try:
        write_atomic(folder / ARRAYS, payload)
        write_json(folder / CARD, _description(router, payload, same_as))
    except OSError as error:
        raise DataError(f"the router cannot be written to {folder}: {error.strerror}") from error


def _description(router: Router, payload: bytes, same_as: dict[str, str]) -> dict[str, Any]:
    card = router.card
    description = {
        "schema_version": SCHEMA_VERSION,
        "fingerprint": router.fingerprint,
        "arrays_sha256": hashlib.sha256(payload).hexdigest(),
        "same_as": same_as,
        "base_model": {"name": card.model, "fingerprint": card.model_fingerprint},
        "pool": router.pool.names(),
        "embedder": card.embedder,
        "embedder_dtype": card.embedder_dtype,
        "selection": card.selection,
        "rules": {name: rule.settings() for name, rule in router.rules.items()},
        "hyperparameters": dict(card.hyperparameters),
        "task": card.task,
        "prompt_format": dict(card.prompt_format),
        "counts": dict(card.counts),
        "metrics": dict(card.metrics),
        "question_keys": sorted(card.question_keys),
    }
    return description | {"sha256": _own_hash(description)}


def _own_hash(description: Mapping[str, Any]) -> str:
    """Of all the JSON says but this hash: guards of model, prompts and questions too."""
    read_back = json.loads(json.dumps(description))  # in which all keys are text, for one order
    rest = {name: value for name, value in read_back.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def load_router(folder: Path, embedder: Embedder | None = None) -> Router:
    """Read a folder that :func:`save_router` wrote.

    Raises:
        DataError: a file is missing, damaged, or belongs to another save.
        MismatchError: the folder's schema is newer than this version reads.
    """
    description = read_json(folder / CARD, "router")
    version = description.get("schema_version")
    if not isinstance(version, int):
        raise DataError(f"{folder / CARD} is not a router: it has no schema_version")
    if version > SCHEMA_VERSION:
        raise MismatchError(
            f"router {folder} has schema {version}, this version reads up to {SCHEMA_VERSION}; "
            "update sprint-eval"
        )
    if version > 1 and description.get("sha256") != _own_hash(description):
        raise DataError(f"{folder / CARD} is damaged or was changed; train the router again")
    arrays = _read_arrays(folder, description)
    try:
        arrays |= {name: arrays[kept] for name, kept in description["same_as"].items()}
        router = _rebuild(description, arrays, embedder)
        if router.fingerprint != description["fingerprint"]:
            raise ValueError(f"its content is not that of {description['fingerprint']}")
        return router
    except (KeyError, TypeError, ValueError, AttributeError, HeadError) as error:
        raise DataError(f"router {folder} is damaged: {error!r}; train it again") from error


def router_fingerprint(router: Router) -> str:
    """16 hexadecimal digits from the arrays, the pool, the embedder, the rules and the default selection."""
    digest = hashlib.sha256()
    for name, array in sorted(_arrays(router).items()):
        digest.update(f"{name}{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    rules = {name: rule.settings() for name, rule in router.rules.items()}
    card = router.card
    embedder: Any = card.embedder
    if card.embedder_dtype != FLOAT32:  # so that routers from before dtypes keep their fingerprints
        embedder = [card.embedder, card.embedder_dtype]
    facts = [router.pool.names(), embedder, card.selection, rules]
    digest.update(json.dumps(facts, sort_keys=True).encode())
    return digest.hexdigest()[:16]


def _arrays(router: Router) -> dict[str, np.ndarray]:
    arrays = {"probe": router.probe}
    for name, rule in router.rules.items():
        for key, array in rule.arrays().items():
            arrays[f"{name}.{key}"] = array
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _without_copies(arrays: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays that differ, and for each of the others the name of its equal."""
    kept: dict[bytes, str] = {}
    same_as: dict[str, str] = {}
    for name, array in sorted(arrays.items()):
        content = hashlib.sha256(f"{array.dtype}{array.shape}".encode() + array.tobytes()).digest()
        if kept.setdefault(content, name) != name:
            same_as[name] = kept[content]
    return {name: array for name, array in arrays.items() if name not in same_as}, same_as


def _read_arrays(folder: Path, description: dict[str, Any]) -> dict[str, np.ndarray]:
    path = folder / ARRAYS
    try:
        payload = path.read_bytes()
    except OSError as error:
        raise DataError(f"router {folder} cannot be read: {error}") from error
    if hashlib.sha256(payload).hexdigest() != description.get("arrays_sha256"):
        raise DataError(f"{path} is damaged or belongs to another {CARD}; train the router again")
    try:
        return safetensors.numpy.load(payload)
    except SafetensorError as error:
        raise DataError(f"{path} is damaged: {error}") from error


def _rebuild(description: dict[str, Any], arrays: dict[str, np.ndarray], embedder: Embedder | None) -> Router:
    pool = HeadPool.from_names(description["pool"])
    rules: dict[str, SelectionRule] = {}
    for name, settings in description["rules"].items():
        own = {key.partition(".")[2]: array for key, array in arrays.items() if key.startswith(f"{name}.")}
        rule = _RESTORE[name](own, settings)
        if not len(rule.columns) or rule.columns.min() < 0 or rule.columns.max() >= len(pool):
            raise ValueError(f"selection {name} names candidates outside the pool of {len(pool)}")
        rules[name] = rule
    card = RouterCard(
        model=description["base_model"]["name"],
        model_fingerprint=description["base_model"]["fingerprint"],
        embedder=description["embedder"],
        embedder_dtype=description.get("embedder_dtype", FLOAT32),  # older routers have none
        selection=description["selection"],
        question_keys=frozenset(description["question_keys"]),
        task=description["task"],
        prompt_format=description["prompt_format"],
        hyperparameters=description["hyperparameters"],
        counts=description["counts"],
        metrics=description["metrics"],
    )
    return Router(pool, rules, card, arrays["probe"], embedder)
