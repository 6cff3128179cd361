"""Do two sweeps of the same questions in different precision agree? What a bfloat16 study rests on.

    python benchmarks/precision_check.py OUTCOMES_BFLOAT16 OUTCOMES_FLOAT32

Takes the cells that both stores have, and prints how many texts and verdicts are equal, how the accuracy
of each head moves, and how far that is from what the choice of questions moves it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from sprint_eval.outcomes import BASE_COLUMN, Outcomes


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("one", type=Path)
    parser.add_argument("other", type=Path)
    args = parser.parse_args()
    one, other = Outcomes.load(args.one), Outcomes.load(args.other)
    rows = common({q.doc_hash: i for i, q in enumerate(one.questions)}, [q.doc_hash for q in other.questions])
    columns = common({str(h): j for j, h in enumerate(one.pool)}, [str(h) for h in other.pool])
    columns.append((BASE_COLUMN, BASE_COLUMN))
    cells = [
        [(one.cell(i, j), other.cell(k, m)) for j, m in columns]
        for i, k in rows
        if all(done(one, i, j) and done(other, k, m) for j, m in columns)
    ]
    if not cells:
        raise SystemExit("the two stores have no complete question in common")
    texts = np.array([[a.text == b.text for a, b in row] for row in cells])
    first = np.array([[a.correct for a, _ in row] for row in cells], dtype=float)
    second = np.array([[b.correct for _, b in row] for row in cells], dtype=float)
    moved = (first - second).mean(axis=0)
    spread = np.sqrt(first.mean(axis=0) * (1 - first.mean(axis=0)) / len(cells))
    print(f"{len(cells)} questions x {len(columns)} (base included)")
    print(f"texts equal: {texts.mean():.3f}   verdicts equal: {(first == second).mean():.3f}")
    print(f"accuracy: {first.mean():.4f} and {second.mean():.4f}")
    print(f"of the base: {first[:, -1].mean():.4f} and {second[:, -1].mean():.4f}")
    print(f"a head's moves by {np.abs(moved).mean():.4f} on average, {np.abs(moved).max():.4f} at most")
    print(f"its standard error over these questions is {spread.mean():.4f} on average")


def common(places: dict[str, int], names: list[str]) -> list[tuple[int, int]]:
    """Places of what both have, in the first and in the second."""
    return [(places[name], i) for i, name in enumerate(names) if name in places]


def done(outcomes: Outcomes, question: int, column: int) -> bool:
    """Whether a cell, or the base's, is there."""
    known = outcomes.base[question] if column == BASE_COLUMN else outcomes.z[question, column]
    return bool(known >= 0)


if __name__ == "__main__":
    main()
