"""Killed by SIGKILL at 50 random moments and resumed in other numbers of processes: the same Z."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from sprint_eval.outcomes import BASE_COLUMN, Outcomes

KILLS = 50


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> dict:
    root = tmp_path_factory.mktemp("kills")
    worker = Path(__file__).with_name("kill_worker.py")
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(worker), str(root), str(KILLS)],
        env=env,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    errors = [path.read_text() for path in root.glob("*.error")]
    assert not errors
    return json.loads((root / "report.json").read_text()) | {"root": root}


def decoded(log: str) -> list[int]:
    """Questions that a process began to decode, in order."""
    path = Path(log)
    lines = path.read_text().splitlines() if path.exists() else []
    return [question for line in lines for question in json.loads(line)]


@pytest.mark.slow
def test_the_same_matrix_as_unbroken(report):
    assert report["killed"] >= KILLS
    assert report["finished"] == 0
    broken, unbroken = Outcomes.load(report["root"] / "broken"), Outcomes.load(report["root"] / "unbroken")
    assert unbroken.complete
    assert 0.1 < unbroken.z.mean() < 0.9  # not all the same
    assert np.array_equal(broken.z, unbroken.z)
    assert np.array_equal(broken.base, unbroken.base)
    assert np.array_equal(broken.tokens, unbroken.tokens)
    for i in range(len(unbroken.questions)):
        for j in (BASE_COLUMN, *range(len(unbroken.pool))):
            assert broken.cell(i, j) == unbroken.cell(i, j)
    assert broken.health.duplicates == 0
    # Many of the killed had written something; how many, the machine's load decides.
    assert broken.health.shards > KILLS // 5


@pytest.mark.slow
def test_nothing_is_decoded_twice_but_the_work_in_flight(report):
    counts: Counter[int] = Counter()
    in_flight: Counter[int] = Counter()
    for run in report["runs"]:
        for log in run:
            questions = decoded(log)
            counts.update(questions)
            in_flight.update(questions[-1:])
    last = decoded(report["last"])
    counts.update(last)
    assert last  # the kills did not leave a finished store
    assert set(counts) == set(range(400))
    repeats = {question: count - 1 for question, count in counts.items() if count > 1}
    assert repeats  # some kills did hit work in flight
    assert all(count <= in_flight[question] for question, count in repeats.items())
