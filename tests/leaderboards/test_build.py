"""One call from result folders to files, and what bad input gets."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from synthetic import FakeRun, five_methods, outcomes, write_run

from sprint_eval.cli import main
from sprint_eval.errors import ArgumentError
from sprint_eval.leaderboards.board import make_board
from sprint_eval.leaderboards.build import build


def test_five_methods_make_one_sorted_table(tmp_path: Path) -> None:
    five_methods(tmp_path / "results")
    board = build([tmp_path / "results"], tmp_path / "site")
    assert len(board.standings) == 1
    standing = board.standings[0]
    names = [row.name for row in standing.rows]
    assert sorted(names) == ["hf T=0.6", "hf greedy", "pruned-head L15H2", "random-heads", "sprint-router"]
    means = standing.families["pass"].mean[:, 3]
    assert list(means) == sorted(means, reverse=True)
    records = list(csv.DictReader((tmp_path / "site" / "leaderboard.csv").open(encoding="utf-8")))
    assert [record["method"] for record in records] == names
    assert [float(record["pass@4"]) for record in records] == pytest.approx(list(means))
    assert "sprint-router" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")


def test_scores_are_those_of_the_outcomes(tmp_path: Path) -> None:
    run = FakeRun(questions=30, seed=11)
    write_run(tmp_path, run)
    standing = make_board([tmp_path]).standings[0]
    correct = outcomes(run)
    for k in range(1, run.n + 1):
        assert standing.families["pass"].mean[0, k - 1] == pytest.approx(correct[:, :k].any(axis=1).mean())


def test_damaged_files_are_named_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = five_methods(tmp_path / "results")
    text = paths[0].read_text(encoding="utf-8")
    paths[0].write_text(text[: len(text) // 2], encoding="utf-8")
    samples = sorted((tmp_path / "results").rglob("samples_*"))[2]
    samples.write_text(samples.read_text(encoding="utf-8")[:-40], encoding="utf-8")
    assert main(["leaderboard", str(tmp_path / "results"), "--out", str(tmp_path / "site")]) == 0
    captured = capsys.readouterr()
    assert str(paths[0]) in captured.err
    assert str(samples) in captured.err
    assert "1 of 40 rows damaged" in captured.err
    assert "3 rows in 1 table" in captured.out


def test_nothing_readable_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "results_2026-01-01T00-00-00.json").write_text("{", encoding="utf-8")
    with pytest.raises(SystemExit) as caught:
        main(["leaderboard", str(tmp_path / "results"), "--out", str(tmp_path / "site")])
    assert caught.value.code == 2
    assert "no usable results" in capsys.readouterr().err
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nowhere"], "results folder not found"),
        (["results", "--reference", "hf gredy"], "did you mean 'hf greedy'"),
    ],
)
def test_bad_arguments(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    expected: str,
) -> None:
    five_methods(tmp_path / "results", questions=5)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(["leaderboard", *arguments, "--out", "site"])
    assert caught.value.code == 2
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "site").exists()


def test_samples_that_contradict_the_results_are_left_out(tmp_path: Path) -> None:
    paths = five_methods(tmp_path / "results")
    record = json.loads(paths[0].read_text(encoding="utf-8"))
    record["results"]["gsm8k_pass_at_n"]["pass@1,none"] += 0.1
    paths[0].write_text(json.dumps(record), encoding="utf-8")
    board = make_board([tmp_path / "results"])
    assert len(board.standings[0].rows) == 4
    assert any("the samples' mean is" in problem.reason for problem in board.reading.problems)


def test_folders_of_somebody_else_are_not_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "results", FakeRun(questions=3))
    mine = tmp_path / "data" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("precious", encoding="utf-8")
    with pytest.raises(SystemExit) as caught:
        main(["leaderboard", str(tmp_path / "results"), "--out", str(tmp_path)])
    assert caught.value.code == 2
    assert "has a 'data' that no leaderboard made" in capsys.readouterr().err
    assert mine.read_text(encoding="utf-8") == "precious"


@pytest.mark.parametrize("mark", ["{}", "not JSON", "[]", '{"schema": 1}', '{"schema": 2, "tables": []}'])
@pytest.mark.parametrize("beside", ["", "data", "plots"])
def test_a_name_alone_does_not_make_a_folder_ours(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mark: str, beside: str
) -> None:
    write_run(tmp_path / "results", FakeRun(questions=3))
    (tmp_path / "leaderboard.json").write_text(mark, encoding="utf-8")
    (tmp_path / beside).mkdir(exist_ok=True)
    mine = tmp_path / beside / "mine.txt"
    mine.write_text("precious", encoding="utf-8")
    with pytest.raises(SystemExit) as caught:
        main(["leaderboard", str(tmp_path / "results"), "--out", str(tmp_path)])
    assert caught.value.code == 2
    assert "that no leaderboard made" in capsys.readouterr().err
    assert mine.read_text(encoding="utf-8") == "precious"
    assert (tmp_path / "leaderboard.json").read_text(encoding="utf-8") == mark


def test_plots_of_ones_own_beside_a_board_without_plots_are_kept(tmp_path: Path) -> None:
    results, out = tmp_path / "results", tmp_path / "site"
    write_run(results, FakeRun(questions=3))
    for _ in range(2):  # the second replaces what the first made, and nothing else
        build([results], out, plots=False)
        (out / "plots").mkdir(exist_ok=True)
        (out / "plots" / "mine.svg").write_text("precious", encoding="utf-8")
    with pytest.raises(ArgumentError, match="has a 'plots' that no leaderboard made"):
        build([results], out, plots=True)
    assert (out / "plots" / "mine.svg").read_text(encoding="utf-8") == "precious"


def test_plots_stay_ours_after_a_build_that_draws_none(tmp_path: Path) -> None:
    results, out = tmp_path / "results", tmp_path / "site"
    write_run(results, FakeRun(questions=3))
    for plots in (True, False, True):
        build([results], out, plots=plots)
    assert (out / "plots").is_dir()


def test_a_board_that_lists_no_folders_is_ours_as_before(tmp_path: Path) -> None:
    results, out = tmp_path / "results", tmp_path / "site"
    write_run(results, FakeRun(questions=3))
    build([results], out)
    record = json.loads((out / "leaderboard.json").read_text(encoding="utf-8"))
    del record["folders"]
    (out / "leaderboard.json").write_text(json.dumps(record), encoding="utf-8")
    build([results], out)


def test_what_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "results", FakeRun(questions=3))
    (tmp_path / "site" / "leaderboard.csv" / "folder").mkdir(parents=True)
    with pytest.raises(SystemExit) as caught:
        main(["leaderboard", str(tmp_path / "results"), "--out", str(tmp_path / "site"), "--no-plots"])
    assert caught.value.code == 2
    assert "leaderboard.csv" in capsys.readouterr().err


def test_names_longer_than_a_file_system_takes(tmp_path: Path) -> None:
    name = "模" * 300
    write_run(tmp_path / "results", FakeRun(name, f"pretrained=org/{name}", questions=3))
    write_run(tmp_path / "results", FakeRun("x" * 400, f"pretrained={'y' * 400}", questions=3, date=1.7e9))
    build([tmp_path / "results"], tmp_path / "site", plots=False)
    assert len(list((tmp_path / "site" / "records").rglob("*.json"))) == 2
