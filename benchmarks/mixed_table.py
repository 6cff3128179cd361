"""Heads and draws together, the comparisons carried out: docs/results/router-smollm2/protocol-mixed.md.

    python benchmarks/mixed_table.py --out docs/results/router-smollm2 mixed-rg-base=RUNS/mixed-rg-base …

Each argument is a setting's name and its folder of ``benchmarks/router_evidence.sh``: outcomes of the
training questions, and ``compare``'s results. A setting has ``tables-NAME.md`` and ``differences-NAME.csv``.
"""

from __future__ import annotations

from typing import Any

import comparisons as tables
import numpy as np

from sprint_eval.draws import Draw
from sprint_eval.leaderboards.statistics import LEVEL
from sprint_eval.outcomes import Outcomes

ROUTED = "mixed"
SAMPLINGS = {"sample-0.6": 0.6, "sample-0.9": 0.9}
BASELINES = ("greedy", *SAMPLINGS, "cover", "mixed-cover")
SEEDS = {ROUTED: 3, **dict.fromkeys(SAMPLINGS, 3)}
TASK = "rg_math_pass_at_n_fewshot"


def main() -> None:
    settings, out = tables.read_arguments(__doc__)
    for name, folder in settings.items():
        methods = tables.read_methods(folder / "compare" / "results" / TASK)
        tables.check_complete(name, methods, (ROUTED, *BASELINES), SEEDS)
        found = tables.compare(methods, (ROUTED,), BASELINES)
        rates = training_rates(Outcomes.load(folder / "outcomes"))
        text = [f"# {name}", "", *tables.pass_table(methods), "", *verdicts(found, rates), ""]
        text += [*tables.choice_table(methods), "", *tables.token_table(methods), ""]
        text += [*tables.difference_table(found), ""]
        tables.publish(out, name, text, found)


def training_rates(outcomes: Outcomes) -> dict[str, float]:
    """How many training questions all of a temperature's draws solve together, by the sampling's name."""
    rates = {}
    for name, temperature in SAMPLINGS.items():
        columns = [
            j
            for j, candidate in enumerate(outcomes.pool)
            if isinstance(candidate, Draw) and candidate.temperature == temperature
        ]
        rates[name] = float((np.asarray(outcomes.z)[:, columns] == 1).any(axis=1).mean())
    return rates


def verdicts(rows: list[dict[str, Any]], rates: dict[str, float]) -> list[str]:
    """The protocol's rules, applied."""
    ahead = {name: _count(rows, name, 1) for name in BASELINES}
    behind = {name: _count(rows, name, -1) for name in BASELINES}
    depth = max(row["n"] for row in rows)
    confirmed = all(ahead[name] >= tables.MOST * depth for name in ("cover", *SAMPLINGS))
    refuted = not confirmed and any(behind[name] for name in ("cover", *SAMPLINGS))
    word = "confirmed" if confirmed else "refuted" if refuted else "not shown"
    best = max(rates, key=lambda name: rates[name])
    shown = ", ".join(f"{rate:.3f} by eight of {name}" for name, rate in rates.items())
    return [
        f"- **The claim is {word}**: of {depth} N, ahead of the cover at {ahead['cover']}, of "
        + ", of ".join(f"{name} at {ahead[name]}" for name in SAMPLINGS)
        + "; behind at "
        + ", ".join(f"{behind[name]} ({name})" for name in ("cover", *SAMPLINGS))
        + ".",
        *tables.at_two(rows, ROUTED, "cover", "the fixed cover of heads"),
        *tables.at_two(rows, ROUTED, "mixed-cover", "the fixed cover of all candidates"),
        f"- Solved of the training questions: {shown}; so the better sampling is {best}.",
        *tables.at_two(rows, ROUTED, best, "the better sampling"),
    ]


def _count(rows: list[dict[str, Any]], baseline: str, sign: int) -> int:
    """At how many N the rule is ahead of a baseline, or, with -1, behind."""
    return sum(
        row["baseline"] == baseline and row["holm"] < LEVEL and sign * row["difference"] > 0 for row in rows
    )


if __name__ == "__main__":
    main()
