"""Damaged result files: never a traceback, never a wrong row."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic import TASK, FakeRun, outcomes, write_run

from sprint_eval.errors import DataError
from sprint_eval.leaderboards.board import make_board
from sprint_eval.leaderboards.build import build

GOOD = FakeRun(questions=5, n=2, seed=1)
VICTIM = FakeRun("vllm", questions=5, n=2, seed=2, date=GOOD.date + 5)

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**400), 10**400),
    st.floats(),
    st.text(max_size=12),
    st.just("\ud800"),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
)


def paths_of(value: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value."""
    found = [prefix] if prefix else []
    if isinstance(value, dict):
        for key, item in value.items():
            found += paths_of(item, (*prefix, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found += paths_of(item, (*prefix, index))
    return found


def changed(value: Any, path: tuple[Any, ...], junk: Any, drop: bool) -> Any:
    """A copy with one place replaced, or removed."""
    copy = json.loads(json.dumps(value))
    place = copy
    for step in path[:-1]:
        place = place[step]
    if drop:
        del place[path[-1]]
    else:
        place[path[-1]] = junk
    return copy


def check(folder: Path) -> None:
    """The whole run is there with its own figures, or the victim is out; the good run always stands."""
    board = make_board([folder])
    shown = [(standing, index) for standing in board.standings for index in range(len(standing.rows))]
    good = [pair for pair in shown if pair[0].rows[pair[1]].run.header.path.parent.name == "good"]
    assert len(good) == 1
    for standing, index in shown:
        run = GOOD if (standing, index) in good else VICTIM
        family = standing.families.get("pass")
        if family is None or standing.table.keys is None:
            continue
        expected = np.maximum.accumulate(outcomes(run), axis=1).mean(axis=0)
        for k in range(family.mean.shape[1]):
            if k < run.n and not math.isnan(family.mean[index, k]):
                assert family.mean[index, k] == pytest.approx(expected[k])


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    write_run(folder / "good", GOOD)
    write_run(folder / "victim", VICTIM)
    return folder


RESULTS = st.data()


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=RESULTS)
def test_any_field_of_a_results_file(good: Path, data: st.DataObject) -> None:
    path = next((good / "victim").glob("results_*"))
    text = path.read_text(encoding="utf-8")
    record = json.loads(text)
    place = data.draw(st.sampled_from(paths_of(record)))
    try:
        path.write_text(json.dumps(changed(record, place, data.draw(JUNK), data.draw(st.booleans()))))
        check(good)
    finally:
        path.write_text(text, encoding="utf-8")


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=RESULTS)
def test_any_field_of_a_sample(good: Path, data: st.DataObject) -> None:
    path = next((good / "victim").glob("samples_*"))
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    at = data.draw(st.integers(0, len(lines) - 1))
    row = json.loads(lines[at])
    place = data.draw(st.sampled_from(paths_of(row)))
    try:
        lines[at] = json.dumps(changed(row, place, data.draw(JUNK), data.draw(st.booleans())))
        path.write_text("\n".join(lines), encoding="utf-8")
        check(good)
    finally:
        path.write_text(text, encoding="utf-8")


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=RESULTS)
def test_any_bytes(good: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted((good / "victim").iterdir())))
    content = path.read_bytes()
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, len(content)))
    try:
        path.write_bytes(content[:start] + data.draw(st.binary(max_size=20)) + content[end:])
        check(good)
    finally:
        path.write_bytes(content)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=RESULTS)
def test_whole_build_of_strange_texts(good: Path, data: st.DataObject) -> None:
    """Texts of any kind get through to every output."""
    strange = st.text(max_size=30) | st.just("\ud800</script>") | st.just("\u2028*|`$_{}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = FakeRun(data.draw(strange.filter(bool)), data.draw(strange), questions=3, n=2)
        texts = {(question, k): data.draw(strange) for question in range(3) for k in range(2)}
        correct_path = write_surrogates(folder / "results", run, texts)
        board = build([folder / "results"], folder / "out", plots=False)
        assert correct_path.exists()
        assert len(board.standings[0].rows) == 1


def write_surrogates(folder: Path, run: FakeRun, texts: dict[tuple[int, int], str]) -> Path:
    """Like ``write_run``, but ASCII-only JSON, which can carry any text."""
    import synthetic

    folder.mkdir(parents=True)
    correct = outcomes(run)
    stamp = synthetic.stamp(run.date)
    path = folder / f"results_{stamp}.json"
    path.write_text(json.dumps(synthetic.results(run, correct)), encoding="utf-8")
    lines = "\n".join(json.dumps(row) for row in synthetic.rows(run, correct, texts))
    (folder / f"samples_{TASK}_{stamp}.jsonl").write_text(lines, encoding="utf-8")
    return path


def test_deep_nesting_is_a_named_problem(tmp_path: Path) -> None:
    (tmp_path / "results_2026-01-01T00-00-00.json").write_text("[" * 200_000, encoding="utf-8")
    with pytest.raises(DataError, match="not JSON"):
        make_board([tmp_path])
