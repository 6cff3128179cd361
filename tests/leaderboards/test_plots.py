"""What a plot's labels say."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic import FakeRun, board_of

from sprint_eval.leaderboards.plots import write_plots


@pytest.mark.parametrize("several", [False, True])
def test_labels_name_the_base_model_where_there_are_several(tmp_path: Path, several: bool) -> None:
    pytest.importorskip("matplotlib")
    other = f"pretrained=org/{'other' if several else 'tiny'}-model,router=r"
    board = board_of(
        tmp_path / "results", FakeRun(questions=6), FakeRun("sprint-router", other, questions=6, seed=3)
    )
    plots = [path for path in write_plots(tmp_path / "plots", board) if path.suffix == ".svg"]
    assert plots
    for path in plots:
        text = path.read_text(encoding="utf-8")
        assert ("hf greedy · tiny-model" in text) == several
        assert ("sprint-router · other-model" in text) == several
        assert "sprint-router" in text
