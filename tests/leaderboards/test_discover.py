"""Which files are found, and as what."""

from __future__ import annotations

from pathlib import Path

from synthetic import FakeRun, write_run

from sprint_eval.leaderboards.discover import find_files


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    write_run(tmp_path / "elsewhere", FakeRun(questions=2))
    board = tmp_path / "board"
    board.mkdir()
    (board / "one").symlink_to(tmp_path / "elsewhere")
    (board / "two").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "round").symlink_to(board)
    found = find_files([board])
    assert len(found.results) == len(found.samples) == 1


def test_a_file_that_is_named_twice_counts_once(tmp_path: Path) -> None:
    path = write_run(tmp_path, FakeRun(questions=2))
    assert len(find_files([tmp_path, path, tmp_path]).results) == 1


def test_what_is_no_result_is_listed_apart(tmp_path: Path) -> None:
    write_run(tmp_path, FakeRun(questions=2))
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "notes.jsonl").write_text("", encoding="utf-8")
    (tmp_path / "readme.txt").write_text("", encoding="utf-8")
    found = find_files([tmp_path])
    assert [path.name for path in found.others] == ["config.json", "notes.jsonl"]


def test_a_file_called_like_our_mark_hides_no_results(tmp_path: Path) -> None:
    write_run(tmp_path / "data", FakeRun(questions=2))
    (tmp_path / "leaderboard.json").write_text("{}", encoding="utf-8")
    found = find_files([tmp_path])
    assert len(found.results) == len(found.samples) == 1
    assert [path.name for path in found.others] == ["leaderboard.json"]
