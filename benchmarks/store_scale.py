"""How fast a store of a million cells is shown and studied.

    python benchmarks/store_scale.py [--cells 1000000] [--folder DIR] [--keep]

Writes a store of made-up answers (270 heads and the base), then times, each in a process of its own:
``outcomes show`` without an index (the first look after a sweep), ``outcomes show`` with it, and
``study``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from sprint_eval.heads import HeadLayout, HeadPool
from sprint_eval.outcomes import BASE_COLUMN, Cell, Manifest, OutcomeStore, Process, StoredQuestion

LAYERS, HEADS = 30, 9
SUBJECTS = 8
WORDS = ("the", "sum", "of", "both", "numbers", "is", "so", "we", "add", "them", "and", "find", "that")


def write_store(folder: Path, cells: int, seed: int = 0) -> int:
    """A store of about ``cells`` cells in 4 shards; their number."""
    pool = HeadPool.single_heads(HeadLayout.uniform(LAYERS, HEADS))
    rows = -(-cells // (len(pool) + 1))
    questions = [
        StoredQuestion(
            f"{i:064x}",
            f"What is {i} + {i % 97}?",
            f"subject {i % SUBJECTS}",
            f"{i:016x}",
            f"{i:016x}",
            {"answer": str(i + i % 97)},
        )
        for i in range(rows)
    ]
    manifest = Manifest("toy", "0" * 16, "float32", "toy", "1", "train", {}, tuple(pool.names()), "1")
    store = OutcomeStore(folder, manifest, questions)
    rng = np.random.default_rng(seed)
    hard = rng.beta(1, 1.5, size=rows)
    skill = np.append(rng.normal(0, 0.02, len(pool)), 0.0)
    skill[rng.choice(len(pool), 4, replace=False)] = -0.3  # some catastrophic heads
    for part in range(4):
        process = Process(part, 4)
        with store.writer(process) as writer:
            for i in range(part, rows, 4):
                right = rng.random(len(pool) + 1) < hard[i] + skill
                starts = rng.integers(0, len(WORDS), len(pool) + 1)
                writer.append(
                    _cell(i, j, bool(right[j]), int(starts[j])) for j in (BASE_COLUMN, *range(len(pool)))
                )
    return rows * (len(pool) + 1)


def _cell(i: int, j: int, right: bool, start: int) -> Cell:
    words = [WORDS[(start + k * (1 + start % 3)) % len(WORDS)] for k in range(30)]
    answer = str(i + i % 97 if right else i)
    text = f"{' '.join(words)}. The answer is {answer}."
    return Cell(i, j, text, right, answer, "numeric", "ok", 40, "stop")


def timed(*arguments: str) -> float:
    """Seconds of a ``sprint-eval`` command in a process of its own."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "sprint_eval.cli", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--keep", action="store_true", help="leave the store in place")
    args = parser.parse_args()
    folder = args.folder or Path(tempfile.mkdtemp(prefix="store-scale-"))
    started = time.perf_counter()
    cells = write_store(folder / "z", args.cells)
    seconds = time.perf_counter() - started
    size = sum(path.stat().st_size for path in (folder / "z" / "shards").iterdir())
    print(f"{cells} cells, {size / 1e6:.0f} MB, written in {seconds:.1f} s on {os.cpu_count()} cores")
    print(f"outcomes show, no index yet  {timed('outcomes', 'show', str(folder / 'z')):6.2f} s")
    print(f"outcomes show                {timed('outcomes', 'show', str(folder / 'z')):6.2f} s")
    print(f"outcomes check               {timed('outcomes', 'check', str(folder / 'z')):6.2f} s")
    print(
        f"study                        {timed('study', str(folder / 'z'), '--out', str(folder / 's')):6.2f} s"
    )
    if not args.keep:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
