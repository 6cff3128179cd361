"""What decoding cost: counted by every backend, summed over processes, published in results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields


@dataclass
class Counters:
    """Cost of the requests decoded so far; zero where a backend has nothing of the kind.

    Attributes:
        requests: answers decoded.
        decode_seconds: wall-clock seconds spent decoding, prompts included.
        prompt_tokens: tokens of the requests' prompts, shared or not.
        generated_tokens: tokens of the answers, up to and with the stop.
        forwards: forward passes of the model.
        token_forwards: tokens put through the model, each counted by the share of layers it ran.
        drafted_tokens: answer tokens proposed by drafts.
        accepted_tokens: drafted tokens that stood in the answer.
        layers_skipped: tokens times layers whose results were there already, from whichever request.
        peak_memory_bytes: most memory in use during a call beyond what was at its start, where it is known.
        from_store: answers that an earlier run had decoded; their tokens count, their time is unknown.
    """

    requests: int = 0
    decode_seconds: float = 0.0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    forwards: int = 0
    token_forwards: float = 0.0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    layers_skipped: int = 0
    peak_memory_bytes: int = 0
    from_store: int = 0

    def as_dict(self) -> dict[str, float]:
        return asdict(self)

    def published(self) -> dict[str, float]:
        """For results: with answers from a store, only what does not depend on who decoded them."""
        values = self.as_dict()
        if not self.from_store:
            return values
        kept = ("requests", "prompt_tokens", "generated_tokens", "from_store")
        return {name: values[name] for name in kept}

    @classmethod
    def total(cls, parts: Iterable[Counters | Mapping[str, float]]) -> Counters:
        """The sum over processes; of seconds and memory the largest, since processes run side by side."""
        total = cls()
        for part in parts:
            values = part.as_dict() if isinstance(part, Counters) else part
            for field in fields(cls):
                mine, other = getattr(total, field.name), values.get(field.name, 0)
                side_by_side = field.name in ("decode_seconds", "peak_memory_bytes")
                setattr(total, field.name, max(mine, other) if side_by_side else mine + other)
        return total
