"""What a run cost: read where the run says it, blank where it does not, never estimated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sprint_eval.errors import DataError
from sprint_eval.leaderboards.fields import number_or_none
from sprint_eval.leaderboards.tables import Row


@dataclass(frozen=True)
class Cost:
    """One kind of cost: its key in files, its heading, its unit, and how it is read."""

    key: str
    title: str
    unit: str
    about: str


COSTS = (
    Cost("decode_seconds", "Decode s", "s", "seconds of decoding, as the model counted them"),
    Cost("total_seconds", "Total s", "s", "seconds of the whole lm_eval run, loading and grading included"),
    Cost("generated_tokens", "Tokens", "tokens", "tokens generated, up to and with each stop"),
    Cost("forwards", "Forwards", "calls", "forward passes of the model"),
    Cost("parameters", "Parameters", "weights", "parameters of the model that answered"),
    Cost("peak_memory_bytes", "Peak memory", "bytes", "largest memory use while decoding"),
)


def costs_of(row: Row) -> dict[str, float | None]:
    """Every cost of a row; ``None`` where the run does not say.

    A run of several tasks has one clock and one set of counters: they say nothing of a single task.
    """
    header, info = row.run.header, row.run.header.info
    counters = info.get("counters")
    counters = counters if isinstance(counters, dict) else {}
    alone = header.tasks_in_run == 1
    # Answers that an earlier run had decoded cost no time here: the clock says nothing of the method.
    timed = alone and not _number(counters, "from_store")
    tokens = _number(counters, "generated_tokens") if alone else None
    sampled = row.run.sampled
    if tokens is None and sampled is not None and sampled.tokens is not None and not row.deterministic:
        tokens = float(sampled.tokens)
    return {
        "decode_seconds": _number(counters, "decode_seconds") if timed else None,
        "total_seconds": header.total_seconds if timed else None,
        "generated_tokens": tokens,
        "forwards": _number(counters, "forwards") if alone else None,
        "parameters": _number(info, "model_num_parameters"),
        # An engine that cannot measure its memory counts 0.
        "peak_memory_bytes": _number(counters, "peak_memory_bytes") or None,
    }


def _number(values: dict[str, Any], key: str) -> float | None:
    try:
        value = number_or_none(values.get(key), key)
    except DataError:
        return None
    return value if value is not None and value >= 0 else None


def pareto(points: Sequence[tuple[float | None, float | None]], lower_is_better: bool = False) -> list[bool]:
    """Which ``(cost, score)`` points no other beats: none is as cheap and better, or cheaper and as good.

    Points with an unknown side are never on the front, and beat nothing.
    """
    sign = -1.0 if lower_is_better else 1.0
    known = [(cost, sign * score) for cost, score in points if cost is not None and score is not None]
    front = []
    for cost, score in points:
        if cost is None or score is None:
            front.append(False)
            continue
        mine = sign * score
        beaten = any(
            other_cost <= cost and other >= mine and (other_cost < cost or other > mine)
            for other_cost, other in known
        )
        front.append(not beaten)
    return front


def human(value: float | None, unit: str) -> str:
    """A cost as people read it: ``12.3``, ``45,120``, ``1.5 GiB``; blank where unknown."""
    if value is None:
        return ""
    if unit == "s":
        return f"{value:,.1f}" if value < 1_000 else f"{value:,.0f}"
    if unit == "bytes":
        return f"{value / 2**30:.2f} GiB" if value >= 2**30 else f"{value / 2**20:.0f} MiB"
    if unit == "weights":
        return f"{value / 1e9:.2f} B" if value >= 1e9 else f"{value / 1e6:.1f} M"
    return f"{value:,.0f}"
