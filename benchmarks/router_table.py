"""The comparisons of the router's protocol, carried out: docs/results/router-smollm2/protocol.md.

    python benchmarks/router_table.py --out docs/results/router-smollm2 rg-base=RUNS/results/TASK …

Each argument is a setting's name and a folder of ``sprint-eval compare``'s results of one task, with the
oracle's beside them. A setting has its own two files, ``tables-NAME.md`` and ``differences-NAME.csv``:
every method's Pass@N with its interval, one answer chosen without gold, each routed method against each
baseline at every N, Holm over that family, the smallest detectable difference, tokens a question, and the
protocol's verdicts. A setting that lacks a method or a seed is refused. Seconds are ``router_seconds.py``'s.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import comparisons as tables

from sprint_eval.leaderboards.statistics import LEVEL

ROUTED = ("nearest", "coverage")
BASELINES = ("greedy", "best", "sample-0.1", "sample-0.6", "sample-0.9", "random", "cover")
PAPER = ("random", "sample-0.1", "sample-0.6", "sample-0.9")  # what the paper compares with
SEEDS = dict.fromkeys((*ROUTED, "random"), 3)  # the protocol's; one of the others
NOTHING = 1e-9  # means over three seeds are no exact binary fractions


def main() -> None:
    settings, out = tables.read_arguments(__doc__)
    for name, folder in settings.items():
        methods = tables.read_methods(folder)
        tables.check_complete(name, methods, (*ROUTED, *BASELINES), SEEDS)
        oracle = tables.read_methods(folder.parent.parent / "oracle" / folder.name)["oracle"].passed[:, -1]
        found = tables.compare(methods, ROUTED, BASELINES)
        text = [f"# {name}", "", *tables.pass_table(methods, oracle), "", *verdicts(found), ""]
        text += [*tables.choice_table(methods), "", *tables.token_table(methods), ""]
        text += [*tables.difference_table(found), ""]
        tables.publish(out, name, text, found)


def _other_reading(claim: str, above: int, depth: int) -> str:
    """The protocol's "not above 0 at 6 or more of the 8 N" may also mean: above 0 at fewer than 6."""
    if claim != "not shown" or above >= tables.MOST * depth:
        return "."
    return "; read as 'above 0 at fewer than 6', the protocol's rule says refuted."


def verdicts(rows: list[dict[str, Any]]) -> list[str]:
    """The protocol's rules, applied."""
    wins: dict[tuple[str, str], int] = defaultdict(int)
    behind: dict[tuple[str, str], int] = defaultdict(int)
    losses: dict[tuple[str, str], int] = defaultdict(int)
    for row in rows:
        pair = (row["method"], row["baseline"])
        shown = row["holm"] < LEVEL
        wins[pair] += shown and row["difference"] > 0
        losses[pair] += shown and row["difference"] < 0
        behind[pair] += row["difference"] <= NOTHING
    depth = max(row["n"] for row in rows)
    lines = []
    for method in dict.fromkeys(row["method"] for row in rows):
        ahead = all(wins[method, name] >= tables.MOST * depth for name in PAPER)
        against = behind[method, "random"] >= tables.MOST * depth or losses[method, "random"] > 0
        claim = "confirmed" if ahead else "refuted" if against else "not shown"
        counts = ", ".join(f"{wins[method, name]} of {depth} against {name}" for name in PAPER)
        worse = ", ".join(f"{losses[method, name]} against {name}" for name in PAPER if losses[method, name])
        above = depth - behind[method, "random"]
        lines.append(
            f"- **{method}**: the paper's claim is {claim} here (ahead at {counts}; behind at "
            f"{worse or 'none'}). Its difference to random heads is above 0 at {above} of {depth}"
            f"{_other_reading(claim, above, depth)}"
        )
        lines += tables.at_two(rows, method, "cover", "the fixed cover")
    return lines


if __name__ == "__main__":
    main()
