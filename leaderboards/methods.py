"""What makes a method: the model, its arguments and what it says of itself; a short, stable name."""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sprint_eval.leaderboards.fields import clean, masked
from sprint_eval.leaderboards.records import RunHeader
from sprint_eval.prompt_facts import TOKEN_LIMITS

_MODEL_KEYS = ("pretrained", "model", "path", "engine_path")
# Arguments that say how fast or where, not what: they do not make another method.
_NOT_IDENTITY = frozenset(
    {"device", "batch_size", "max_batch_size", "parallelize", "num_concurrent", "max_retries", "timeout"}
    | {
        "tensor_parallel_size",
        "data_parallel_size",
        "gpu_memory_utilization",
        "trust_remote_code",
        "logits_cache",
        "store",
    }
)
_SAMPLING = ("temperature", "top_k", "top_p", "min_p", "typical_p", "num_beams", "repetition_penalty")
# Generation settings that stand elsewhere (a table of its own, greedy or not), or change no text.
_NOT_DECODING = frozenset({"until", "do_sample", "use_cache", *TOKEN_LIMITS})
# Greedy decoding does not look at these.
_DRAWS = frozenset({"temperature", "top_k", "top_p", "min_p", "typical_p", "seed"})
_NEUTRAL = {
    "repetition_penalty": 1,
    "length_penalty": 1,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "no_repeat_ngram_size": 0,
    "num_beams": 1,
    "num_return_sequences": 1,
    "early_stopping": False,
}
_PLAIN = frozenset(
    {"hf", "hf-auto", "huggingface", "vllm", "sglang", "local-completions", "local-chat-completions"}
)
_DEFAULT_SEEDS = (0, 1234, 1234, 1234)


@dataclass(frozen=True)
class Method:
    """A method's identity.

    Attributes:
        id: stable across boards: a readable start and a hash of everything that makes the method.
        name: short; unique within a board once :func:`unique_names` has seen it.
        kind: ``sprint-router``, ``hf``, …
        model: the base model's short name, ``None`` where the run does not say.
        details: the settings behind the name, for a page or a file.
    """

    id: str
    name: str
    kind: str
    model: str | None
    details: tuple[tuple[str, str], ...]


def method_of(header: RunHeader) -> Method:
    """The method that a run is of."""
    info = header.info
    kind = _text(info.get("method")) or header.model
    model = _model_name(header.model_args)
    sampling = _sampling(header.generation)
    decoding = _decoding(header.generation, sampling)
    settings = {
        key: value
        for key, value in header.model_args.items()
        if key not in _NOT_IDENTITY and key not in _MODEL_KEYS
    }
    seeds = [] if sampling is None or header.seeds == _DEFAULT_SEEDS else list(header.seeds)
    identity = {
        "kind": kind,
        "harness_model": header.model,
        "model": _text(info.get("model_fingerprint")) or _path_of(header.model_args),
        "settings": settings,
        "sampling": sampling,
        "seeds": seeds,
        "own": {key: info.get(key) for key in ("pool", "selection", "router_fingerprint", "engine")},
    }
    if decoding:  # without any, an id stays what it was before these counted
        identity["decoding"] = decoding
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode("utf-8", "replace"))
    slug = re.sub(r"[^a-z0-9]+", "-", kind.lower()).strip("-")[:40] or "method"
    return Method(
        id=f"{slug}-{digest.hexdigest()[:8]}",
        name=_name(kind, header, sampling, decoding, seeds),
        kind=kind,
        model=model,
        details=tuple(_details(header, model, settings, _said(sampling, decoding))),
    )


def unique_names(methods: Iterable[Method]) -> dict[str, str]:
    """A name an id, no two alike: the base model, then settings, then the id's end tell twins apart."""
    by_id = {method.id: method for method in methods}
    names = {key: method.name for key, method in by_id.items()}
    for tell in (_by_model, _by_settings, lambda group: [method.id.rsplit("-", 1)[-1] for method in group]):
        clashes: dict[str, list[str]] = defaultdict(list)
        for key in sorted(names):
            clashes[names[key]].append(key)
        for keys in clashes.values():
            if len(keys) > 1:
                tags = tell([by_id[key] for key in keys])
                if len(set(tags)) > 1:
                    names.update(
                        {
                            key: f"{names[key]} ({tag})" if tag else names[key]
                            for key, tag in zip(keys, tags, strict=True)
                        }
                    )
    return names


def _by_model(group: Sequence[Method]) -> list[str]:
    return [method.model or "" for method in group]


def _by_settings(group: Sequence[Method]) -> list[str]:
    """The settings in which the group's methods differ, as short ``key=value`` texts."""
    tables = [dict(method.details) for method in group]
    keys = sorted({key for table in tables for key in table})
    differing = [key for key in keys if len({table.get(key) for table in tables}) > 1][:3]
    return [", ".join(f"{key}={table[key][:40]}" for key in differing if key in table) for table in tables]


def _name(
    kind: str,
    header: RunHeader,
    sampling: dict[str, Any] | None,
    decoding: dict[str, Any],
    seeds: list[Any],
) -> str:
    parts = [kind]
    pool = header.info.get("pool")
    pruned = [clean(str(entry)) for entry in pool] if isinstance(pool, list) else []
    if kind == "pruned-head" or (pruned and kind not in ("sprint-router", "random-heads")):
        if pruned == ["base"]:
            parts = ["base"]  # the wrapper with nothing pruned
        elif len(pruned) == 1:
            parts.append(pruned[0] if len(pruned[0]) <= 24 else f"{pruned[0].count('+') + 1} heads")
        elif pruned:
            parts.append(f"pool of {len(pruned)}")
        elif "heads" in header.model_args:
            parts.append(header.model_args["heads"][:24])
    selection = _text(header.info.get("selection"))
    if selection and "selection" in header.model_args:
        parts.append(selection)
    if sampling is not None:
        parts.append(f"T={_figure(sampling['temperature'])}" if "temperature" in sampling else "sampling")
    elif kind in _PLAIN or parts == ["base"]:
        parts.append("greedy")
    penalties = {key: sampling[key] for key in _NEUTRAL if sampling and not _neutral(key, sampling.get(key))}
    parts += [f"{key[:40]}={_figure(value)[:24]}" for key, value in {**penalties, **decoding}.items()]
    if seeds:
        parts.append(f"seed {seeds[0]}")
    if "draw_seed" in header.model_args:
        parts.append(f"draw {header.model_args['draw_seed'][:12]}")
    return clean(" ".join(" ".join(parts).split()))[:80]


def _sampling(generation: dict[str, Any]) -> dict[str, Any] | None:
    """The settings of a sampling run, ``None`` for greedy decoding.

    lm-eval stays greedy unless ``do_sample`` is true, whatever the temperature says.
    """
    sampled = generation.get("do_sample")
    temperature = generation.get("temperature")
    warm = isinstance(temperature, (int, float)) and not isinstance(temperature, bool) and temperature > 0
    if sampled is not True and not (sampled is None and warm):
        return None
    found: dict[str, Any] = {}
    for name in _SAMPLING:
        value = generation.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            found[name] = value
    if found.get("temperature") == 0:
        return None
    return found


def _decoding(generation: dict[str, Any], sampling: dict[str, Any] | None) -> dict[str, Any]:
    """The settings beside sampling's own that may change a text: numbers as they are, others as texts.

    Greedy decoding honours penalties and beams, whatever the temperature says.
    """
    elsewhere = _NOT_DECODING | (_DRAWS if sampling is None else frozenset(sampling))
    found: dict[str, Any] = {}
    for key, value in sorted(generation.items()):
        if key in elsewhere or _neutral(key, value):
            continue
        text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
        plain = isinstance(value, (int, float)) and not isinstance(value, bool)
        found[clean(key)] = value if plain and masked(key, text) == text else masked(key, text)
    return found


def _neutral(key: str, value: object) -> bool:
    return value in (None, "", [], {}) or (key in _NEUTRAL and value == _NEUTRAL[key])


def _said(sampling: dict[str, Any] | None, decoding: dict[str, Any]) -> str:
    """How answers are decoded, in words."""
    settings = [f"{key}={_figure(value)}" for key, value in [*(sampling or {}).items(), *decoding.items()]]
    if not sampling:
        settings.insert(0, "greedy" if sampling is None else "sampling")
    return ", ".join(settings)[:2000]


def _figure(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return clean(shorten(str(value)))[:200]


def _path_of(args: dict[str, str]) -> str:
    return next((args[key].rstrip("/") or "/" for key in _MODEL_KEYS if args.get(key)), "")


def _model_name(args: dict[str, str]) -> str | None:
    """The last part of the model's path or hub name."""
    path = _path_of(args).rstrip("/\\")
    return clean(re.split(r"[/\\]", path)[-1])[:80] or None if path else None


def shorten(value: str) -> str:
    """An absolute path as its last part: a published table need not tell where things lay on a disk."""
    if re.match(r"^(/|~|[A-Za-z]:\\)", value):
        return "…/" + re.split(r"[/\\]", value.rstrip("/\\"))[-1]
    return value


def _details(
    header: RunHeader, model: str | None, settings: dict[str, str], decoding: str
) -> Iterable[tuple[str, str]]:
    yield "lm-eval model", header.model
    if model:
        yield "base model", model
    for key, value in sorted(settings.items()):
        yield key, shorten(value)[:200]
    yield "decoding", decoding
    for key in (
        "selection",
        "router_fingerprint",
        "model_fingerprint",
        "engine",
        "sprint_eval_version",
        "model_dtype",
    ):
        text = _text(header.info.get(key))
        if text and not (key == "model_dtype" and "dtype" in settings):
            yield key, text[:200]
    pool = header.info.get("pool")
    if isinstance(pool, list) and pool:
        yield "pool", "/".join(clean(str(entry)) for entry in pool)[:2000]


def _text(value: object) -> str | None:
    return clean(value) if isinstance(value, str) and value else None
