"""What a printed table must not leave out."""

from __future__ import annotations

from pathlib import Path

from synthetic import FakeRun, board_of

from sprint_eval.leaderboards.latex import latex

STAR = "\\textsuperscript{*}"


def test_doubted_rows_have_a_star_and_the_reason_below(tmp_path: Path) -> None:
    router = FakeRun("sprint-router", "pretrained=m_1,router=r", {"router_trained_on_test": True})
    heads = FakeRun("random-heads", "pretrained=m_1,outcomes=z", {"heads_chosen_on_test": True}, seed=2)
    text = latex(board_of(tmp_path, router, heads, FakeRun(seed=3)))
    table, below = text.split("\\end{tabular}}")
    assert f" & sprint-router{STAR} & " in table
    assert f" & random-heads{STAR} & " in table
    assert " & hf greedy & " in table
    assert below.startswith(f"\n\\par\\smallskip{{\\footnotesize {STAR} ")
    assert "sprint-router: router trained on test questions." in below
    assert "random-heads: heads chosen on test questions." in below


def test_no_doubt_no_star(tmp_path: Path) -> None:
    text = latex(board_of(tmp_path, FakeRun(), FakeRun("vllm", seed=2)))
    assert STAR not in text
    assert "footnotesize" not in text
