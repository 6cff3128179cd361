"""What the engines that load their own weights have in common.

They decode what :class:`~sprint_eval.engine.request.Request` asks for on weights that this process
does not hold: of the model it has the config, the generation config and the tokenizer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sprint_eval.engine.request import FinishReason, Generation, Request
from sprint_eval.engine.settings import DecodingSettings
from sprint_eval.engine.text import StopChecker, answer_text
from sprint_eval.errors import ArgumentError, DataError, GenerationError, HeadError
from sprint_eval.files import read_json
from sprint_eval.heads import BASE, HeadSet

_PROBES = 3
PROBE_LOGPROBS = 5
_ROUNDING = 1e-4
# Fields of the adapters' manifest that are used, with their types.
_FIELDS: dict[str, tuple[Any, str]] = {
    "model": (str, "a text"),
    "model_fingerprint": (str, "a text"),
    "dtype": (str, "a text"),
    "null_adapter": (str, "a text"),
    "adapters": (list, "a list"),
    "max_rank": (int, "a whole number"),
    "vllm_max_lora_rank": (int | None, "a whole number or null"),
}
# As adapter_name makes them; none leads out of the folder.
_ADAPTER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+_-]*")


class ServedModel:
    """Stands where a loaded model would: what decoding must know of it, and no weights."""

    def __init__(self, config: Any, generation_config: Any) -> None:
        self.config = config
        self.generation_config = generation_config
        self.name_or_path = getattr(config, "_name_or_path", "")

    def to(self, device: Any) -> ServedModel:
        """Nothing to move."""
        return self


def served_model(config: Any, pretrained: str, **where: Any) -> ServedModel:
    """The model of this config as a served engine will load it.

    Args:
        where: ``revision``, ``subfolder``, ``trust_remote_code``: as of ``from_pretrained``.
    """
    from transformers import GenerationConfig

    try:
        generation = GenerationConfig.from_pretrained(pretrained, **where)
    except OSError:  # as transformers does for a model without a generation_config.json
        generation = GenerationConfig.from_model_config(config)
    return ServedModel(config, generation)


@dataclass(frozen=True)
class Adapters:
    """Which adapter prunes which head set.

    Attributes:
        folder: the folder of ``sprint-eval export heads``.
        manifest: its manifest.
        paths: folder of each head set's adapter; the base has one too, which changes nothing.
    """

    folder: Path
    manifest: Mapping[str, Any]
    paths: Mapping[str, Path]

    @classmethod
    def load(cls, folder: str | Path) -> Adapters:
        """Read a folder's manifest.

        Raises:
            DataError: there is none, it is malformed, or an adapter that it names is missing.
        """
        from sprint_eval.export import read_manifest

        folder = Path(folder)
        manifest = read_manifest(folder)
        paths = _paths(folder, manifest)
        for heads, path in paths.items():
            if not (path / "adapter_model.safetensors").is_file():
                raise DataError(f"the adapter of {heads} is missing: {path}; run the export again")
        return cls(folder, manifest, paths)

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the base model that the adapters were made from."""
        return str(self.manifest["model_fingerprint"])

    def module_names(self) -> list[str]:
        """Last names of the modules that the adapters change, e.g. ``o_proj``: engines can skip the rest.

        Raises:
            DataError: an adapter's config does not list them.
        """
        names: set[str] = set()
        for path in self.paths.values():
            modules = read_json(path / "adapter_config.json", "adapter config").get("target_modules")
            if not isinstance(modules, list):
                raise _malformed(path / "adapter_config.json", "target_modules", modules, "a list")
            names |= {str(module).rpartition(".")[2] for module in modules}
        return sorted(names)

    def check(self, head_sets: Sequence[HeadSet]) -> None:
        """Refuse head sets without an adapter (:class:`ArgumentError`)."""
        lacking = [str(heads) for heads in head_sets if str(heads) not in self.paths]
        if lacking:
            raise ArgumentError(
                f"{self.folder} has no adapter for {_some(lacking)}; add what is missing: sprint-eval export "
                f"heads --model {self.manifest['model']} --pool … --out {self.folder}"
            )


def _paths(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Path]:
    """Each head set's folder, by a manifest whose fields are checked here (:class:`DataError`)."""
    from sprint_eval.export.folder import MANIFEST

    where = folder / MANIFEST
    for field, (kind, expected) in _FIELDS.items():
        found = manifest.get(field)
        if isinstance(found, bool) or not isinstance(found, kind):  # true is an int to isinstance()
            raise _malformed(where, field, found, expected)
    paths: dict[str, Path] = {}
    for entry in (*manifest["adapters"], {"heads": BASE, "name": manifest["null_adapter"]}):
        try:
            heads, name = HeadSet.parse(entry["heads"]), entry["name"]
            inside = _ADAPTER_NAME.fullmatch(name) is not None
        except (KeyError, TypeError, AttributeError, HeadError):
            inside = False
        if not inside:
            raise _malformed(where, "an adapter", entry, "a head set and the name of a folder in this one")
        paths[str(heads)] = folder / name
    return paths


def _malformed(path: Path, field: str, found: object, expected: str) -> DataError:
    return DataError(
        f"{path} is malformed: {field} is {found!r:.100}, expected {expected}; export the adapters again "
        "into a new folder"
    )


def probe_sets(requests: Sequence[Request]) -> list[HeadSet]:
    """A few of the head sets asked for, by which to tell whether an engine prunes at all."""
    found = dict.fromkeys(request.heads for request in requests if request.heads)
    return list(found)[:_PROBES]


def check_effect(where: str, base: Sequence[float], pruned: Mapping[HeadSet, Sequence[float]]) -> None:
    """Refuse an engine whose adapters change nothing: it would pass the base off as every head set.

    Args:
        base: log-probabilities of the likeliest first tokens of an answer.
        pruned: the same under some head sets.

    Raises:
        GenerationError: all of them are the base's, but for rounding.
    """

    def differs(values: Sequence[float]) -> bool:
        pairs = zip(sorted(base), sorted(values), strict=False)
        return len(values) != len(base) or any(abs(a - b) > _ROUNDING for a, b in pairs)

    if pruned and not any(differs(values) for values in pruned.values()):
        names = ", ".join(map(str, pruned))
        raise GenerationError(
            f"{where}: the adapters {names} change nothing, so this engine would decode the base under their "
            "names; it may not apply LoRA to the output projection of this architecture"
        )


def serving_order(requests: Sequence[Request]) -> list[int]:
    """Indices of requests in the order in which an engine with adapters does least work.

    An engine keeps few adapters at hand and shares prefixes within one adapter only: so one head set
    after the other, and equal beginnings next to each other.
    """
    return sorted(range(len(requests)), key=lambda i: (str(requests[i].heads), requests[i].prompt))


def cut_generation(
    tokenizer: Any, settings: DecodingSettings, request: Request, tokens: Sequence[int], stopped: bool
) -> Generation:
    """An engine's tokens as an answer, ended exactly where the built-in engine ends it.

    Args:
        tokens: generated token ids, with the token that made the engine stop.
        stopped: whether the engine says that it stopped before the token limit.
    """
    end = StopChecker(tokenizer, request.stop, settings).first_end(tokens)
    kept = tuple(tokens[: end or len(tokens)])
    reason: FinishReason = "stop" if end is not None or stopped else "length"
    return Generation(kept, answer_text(tokenizer, kept, request.stop, settings), reason)


def cut_text(text: str, stop: Sequence[str], settings: DecodingSettings) -> str:
    """A server's text, without thinking and cut before the first stop string.

    Raises:
        ArgumentError: see :func:`check_think_end`.
    """
    if text:
        check_think_end(settings)
    if isinstance(settings.think_end_token, str):
        text = text.split(settings.think_end_token)[-1].lstrip()
    for term in stop:
        text = text.split(term)[0]
    return text


def check_think_end(settings: DecodingSettings) -> None:
    """Refuse a token id as the end of thinking where an engine gives text only.

    Raises:
        ArgumentError: it is one: the text does not show it, and thinking would stay in the answer.
    """
    if isinstance(settings.think_end_token, int):
        raise ArgumentError(
            f"think_end_token = {settings.think_end_token}: a server that gives no token ids does not show "
            "where this token stands; give the token's text, like think_end_token=</think>"
        )


def _some(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
