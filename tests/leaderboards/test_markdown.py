"""The block between the markers, and nothing but it."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic import FakeRun, write_run

from sprint_eval.cli import main
from sprint_eval.leaderboards.board import Board, make_board
from sprint_eval.leaderboards.markdown import BEGIN, END, markdown, write_markdown


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    folder = tmp_path_factory.mktemp("markdown")
    write_run(folder, FakeRun("a|b*<i>", questions=5))
    write_run(folder, FakeRun(questions=5, date=1.7e9))
    return make_board([folder])


@pytest.mark.parametrize("before", ["", "# Mine\n\n"])
@pytest.mark.parametrize("after", ["", "\n", "\n\n## After\n", "same line"])
def test_what_stands_around_the_markers_is_left_alone(
    board: Board, tmp_path: Path, before: str, after: str
) -> None:
    path = tmp_path / "README.md"
    path.write_text(f"{before}{BEGIN}old{END}{after}", encoding="utf-8")
    for _ in range(2):
        write_markdown(path, board)
    assert path.read_text(encoding="utf-8") == f"{before}{BEGIN}\n\n{markdown(board)}\n{END}{after}"


def test_a_file_keeps_its_line_ends(board: Board, tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_bytes(f"# Mine\r\n\r\n{BEGIN}\r\n{END}\r\nEnd.\r\n".encode())
    write_markdown(path, board)
    text = path.read_bytes()
    assert text.endswith(b"\r\nEnd.\r\n")
    assert text.count(b"\n") == text.count(b"\r\n")


def test_without_markers_the_block_comes_last(board: Board, tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text("# Mine\n", encoding="utf-8")
    write_markdown(path, board)
    assert path.read_text(encoding="utf-8") == f"# Mine\n\n{BEGIN}\n\n{markdown(board)}\n{END}\n"


def test_names_do_not_break_the_table(board: Board) -> None:
    lines = [line for line in markdown(board).splitlines() if line.startswith("| ")]
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
    assert "a\\|b\\*&lt;i&gt;" in markdown(board)


def test_damaged_markers_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "results", FakeRun(questions=5))
    readme = tmp_path / "README.md"
    readme.write_text("<!-- sprint-eval leaderboard: begin -->\n", encoding="utf-8")
    with pytest.raises(SystemExit) as caught:
        main(
            [
                "leaderboard",
                str(tmp_path / "results"),
                "--out",
                str(tmp_path / "o"),
                "--markdown",
                str(readme),
            ]
        )
    assert caught.value.code == 2
    assert "mend it by hand" in capsys.readouterr().err
    assert readme.read_text(encoding="utf-8") == "<!-- sprint-eval leaderboard: begin -->\n"
