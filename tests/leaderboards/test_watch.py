"""Building again as runs finish."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from synthetic import FakeRun, write_run

from sprint_eval.leaderboards.board import Board
from sprint_eval.leaderboards.build import build, watch
from sprint_eval.leaderboards.reader import Cache, read_runs


def test_watching_builds_again_as_runs_finish(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    heard: list[str] = []
    runs = iter(range(3))

    def told(outcome: Board | Exception) -> None:
        heard.append(str(outcome) if isinstance(outcome, Exception) else str(len(outcome.standings[0].rows)))
        index = next(runs, None)
        if index is not None:
            write_run(results, FakeRun(f"model{index}", questions=4, date=1.7e9 + index))

    watch(
        [results],
        lambda cache: build([results], tmp_path / "o", plots=False, cache=cache),
        told,
        0.01,
        rounds=8,
    )
    assert heard[0].startswith("no results of lm-eval")
    assert heard[1:3] == ["1", "2"]


def test_what_has_not_changed_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sprint_eval.leaderboards.reader as reader

    read: list[Path] = []
    real = reader.read_samples

    def counting(path: Path, repeats: int) -> Any:
        read.append(path)
        return real(path, repeats)

    monkeypatch.setattr(reader, "read_samples", counting)
    cache = Cache()
    write_run(tmp_path, FakeRun(questions=4))
    assert len(read_runs([tmp_path], cache).runs) == 1
    write_run(tmp_path, FakeRun("vllm", questions=4, date=1.7e9))
    reading = read_runs([tmp_path], cache)
    assert len(reading.runs) == 2
    assert len(read) == 2
    next(tmp_path.glob("samples_*")).unlink()
    read_runs([tmp_path], cache)
    assert len(cache) == 1, "what is gone is forgotten"


def test_a_reference_that_has_not_finished_is_waited_for(tmp_path: Path) -> None:
    write_run(tmp_path / "r", FakeRun("vllm", questions=4))
    heard: list[str] = []

    def told(outcome: Board | Exception) -> None:
        heard.append(str(outcome) if isinstance(outcome, Exception) else "built")
        if len(heard) == 1:
            write_run(tmp_path / "r", FakeRun(questions=4, date=1.7e9))

    def make(cache: Cache) -> Board:
        return build([tmp_path / "r"], tmp_path / "o", reference="hf greedy", plots=False, cache=cache)

    watch([tmp_path / "r"], make, told, 0.01, rounds=6)
    assert heard[0].startswith("no method is called 'hf greedy'")
    assert heard[1] == "built"
