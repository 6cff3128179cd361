"""A whole study: every file is there, numbers agree with a loop, and text cannot break a table."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest

from sprint_eval.analysis import StudyConfig, impact_from_csv, run_study
from sprint_eval.analysis.findings import Coverage, coverage, head_tests
from sprint_eval.analysis.impact import complete_part
from sprint_eval.analysis.plots import coverage_curves
from sprint_eval.analysis.study import slug
from sprint_eval.analysis.tables import Table
from sprint_eval.cli import main
from sprint_eval.errors import ArgumentError, DataError, StoreError
from sprint_eval.heads import HeadLayout, HeadPool
from sprint_eval.outcomes import BASE_COLUMN, Cell, Manifest, Outcomes, OutcomeStore, Process, StoredQuestion

LAYOUT = HeadLayout.uniform(3, 4)
BAD = 5  # the column of a catastrophic head
N = 60


@pytest.fixture(scope="module")
def stores(tmp_path_factory) -> list[Path]:
    """Two tasks of one model; head 5 is catastrophic on both, head 2 on the second alone."""
    root = tmp_path_factory.mktemp("stores")
    pool = HeadPool.parse("*:*", LAYOUT)
    folders = []
    for number, task in enumerate(("sums_pass_at_n", "words_pass_at_n")):
        manifest = Manifest("org/toy", "f" * 16, "float32", task, "1", "train", {}, tuple(pool.names()), "1")
        rows = [
            StoredQuestion(f"{task}{i}", f"q{i}", ("easy_1", "hard & odd")[i % 2], f"k{i}", f"p{i}", {})
            for i in range(N)
        ]
        store = OutcomeStore(root / task, manifest, rows)
        rng = np.random.default_rng(number)
        bad = [BAD] if number == 0 else [BAD, 2]
        with store.writer(Process()) as writer:
            for i in range(N):
                for j in range(BASE_COLUMN, len(pool)):
                    lost = j in bad
                    right = not lost and rng.random() < 0.6
                    text = "no no no no no no no" if lost else f"The answer is {i}."
                    facts = ("numeric", "ok", 8, "length" if lost else "stop")
                    writer.append([Cell(i, j, text, bool(right), None if lost else str(i), *facts)])
        folders.append(store.folder)
    return folders


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture(scope="module")
def made(stores, tmp_path_factory):
    out = tmp_path_factory.mktemp("study")
    study = run_study([Outcomes.load(folder) for folder in stores], StudyConfig(out=str(out)))
    return study, out


def test_every_file_is_there(made):
    study, out = made
    for case in ("toy-sums", "toy-words"):
        for name in ("impact", "coverage", "tests", "catastrophic"):
            for suffix in ("csv", "md", "tex"):
                assert (out / case / f"{name}.{suffix}").stat().st_size > 50
        for name in ("heatmap-layer-0", "heatmap-layer-2", "layer-map", "coverage", "catastrophic"):
            assert (out / case / f"{name}.png").read_bytes().startswith(b"\x89PNG")
            assert b"<svg" in (out / case / f"{name}.svg").read_bytes()[:500]
    assert (out / "gains.png").exists()
    text = study.report.read_text()
    for line in text.splitlines():
        if line.startswith("!["):
            assert (out / line.split("(")[1].split(")")[0]).exists()
    assert f"N = {N}" in text
    assert r"\includegraphics" in (out / "figures.tex").read_text()


def test_the_impact_table_is_the_matrix(made, stores):
    _, out = made
    outcomes = Outcomes.load(stores[0])
    rows = read(out / "toy-sums" / "impact.csv")
    assert rows[0]["head"] == "No-Prune"
    assert float(rows[0]["All"]) == pytest.approx(outcomes.base.mean())
    assert len(rows) == 13
    for row in rows[1:]:
        column = 4 * int(row["layer"]) + int(row["head"])
        assert float(row["All"]) == pytest.approx(outcomes.z[:, column].mean())
        assert float(row["easy_1 (30)"]) == pytest.approx(outcomes.z[::2, column].mean())
    assert len(read(out / "toy-sums" / "impact-long.csv")) == 24


def test_catastrophic_heads_and_what_they_become(made):
    study, out = made
    rows = read(out / "toy-words" / "catastrophic.csv")
    assert rows[0]["pruned"] == "base"
    assert {row["pruned"] for row in rows[1:]} == {"L1H1", "L0H2"}
    for row in rows[1:]:
        assert row["repeating"] == str(N)
        assert float(row["cut at limit"]) == 1
        assert float(row["p (Holm)"]) < 1e-4
    assert rows[0]["repeating"] == "0"
    shared = read(next(out.glob("shared-*.csv")))
    assert [(row["heads"], row["catastrophic on"]) for row in shared] == [
        ("L1H1", "2 of 2"),
        ("L0H2", "1 of 2"),
    ]
    assert "1 are catastrophic on all" in study.report.read_text()


def test_tests_equal_scipy_and_statsmodels(stores):
    from scipy.stats import binomtest

    part = complete_part(Outcomes.load(stores[0]))
    tests = head_tests(part)
    for j, test in enumerate(tests):
        z, base = part.z[:, j], part.base
        fixed, broken = int(((z == 1) & (base == 0)).sum()), int(((z == 0) & (base == 1)).sum())
        assert (test.fixed, test.broken) == (fixed, broken)
        assert test.p == pytest.approx(binomtest(fixed, fixed + broken).pvalue)
        assert test.p <= test.p_holm <= 1
    assert min(range(12), key=lambda j: tests[j].p) == BAD


def test_coverage_equals_a_loop(stores):
    part = complete_part(Outcomes.load(stores[0]))
    found = coverage(part)
    names = part.outcomes.pool.names()
    for k in range(1, len(found.order) + 1):
        columns = [names.index(name) for name in found.order[:k]]
        solved = np.mean([any(part.z[i, j] for j in columns) for i in range(N)])
        assert found.cover[k - 1] == pytest.approx(solved)
    assert found.base <= 1
    assert found.best == pytest.approx(found.cover[0])
    assert found.everyone == pytest.approx(part.z.any(axis=1).mean())
    assert (np.diff(found.held_out) >= -1e-9).all()
    assert found.held_out[0] <= found.cover[0] + 1e-9


def test_the_command_line(stores, tmp_path, capsys):
    csv_file = tmp_path / "published.csv"
    lines = ["head,subject,layer,pass_at_1", "none,A,1,0.5"]
    lines += [f"{head},A,1,{0.4 + head / 20}" for head in range(4)]
    csv_file.write_text("\n".join(lines))
    out = tmp_path / "out"
    command = ["study", str(stores[0]), "--impact-csv", str(csv_file), "--out", str(out), "--layers", "1"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "toy, sums: base" in said
    assert "1 catastrophic heads, N = 60" in said
    assert (out / "published" / "heatmap-layer-1.png").exists()
    assert not (out / "toy-sums" / "heatmap-layer-0.png").exists()
    assert "in 1 of 1 subject-layer pairs the best" in (out / "study.md").read_text().lower()
    with pytest.raises(SystemExit) as end:
        main([*command, "--name", "just one"])
    assert end.value.code == 2
    assert "1 --name given for 2" in capsys.readouterr().err


def test_the_base_and_draws_prune_nothing(tmp_path):
    """A pool may hold them for a router to choose; a draw is usually far below greedy decoding."""
    pool = HeadPool.from_names(["base", "L0H0", "L1H1+L2H2", "base~T0.6K40P0.95D1"])
    rng = np.random.default_rng(0)
    base = rng.random(N) < 0.6
    z = np.stack([base, rng.random(N) < 0.6, rng.random(N) < 0.6, np.zeros(N, bool)], 1).astype(np.int8)
    facts = {"base": base.astype(np.int8), "subjects": ["easy"] * N}
    outcomes = Outcomes.from_arrays(z, [f"q{i}" for i in range(N)], pool, **facts)
    study = run_study([outcomes], StudyConfig(str(tmp_path / "s")))
    (case,) = study.cases
    assert [test.heads for test in case.tests] == ["L0H0", "L1H1+L2H2"]
    assert set(case.cover.order) == {"L0H0", "L1H1+L2H2"}
    assert case.cover.everyone == pytest.approx((z[:, 1:3] == 1).any(axis=1).mean())
    assert len(case.catastrophes) == 1


def test_few_questions_give_no_interval_and_no_pair_no_violin(tmp_path):
    z = np.array([[1, 0], [0, 1], [1, 1]], np.int8)
    facts = {"base": np.array([1, 0, 1], np.int8), "subjects": ["a", "b", "c"]}
    pool = HeadPool.from_names(["L0H0", "L0H1"])
    study = run_study([Outcomes.from_arrays(z, ["q", "r", "s"], pool, **facts)], StudyConfig(str(tmp_path)))
    text = study.report.read_text(encoding="utf-8")
    assert "No subject has two questions" in text
    assert not list(tmp_path.rglob("gains.png"))
    (sentence,) = re.findall(r"a head chosen on one half gains .* on the other\.", text)
    assert "[" not in sentence


def test_layers_that_were_not_measured_are_named(stores, tmp_path):
    config = StudyConfig(str(tmp_path / "s"), layers=(1, 7))
    with pytest.raises(ArgumentError, match="--layers 7: no head of these layers was measured"):
        run_study([Outcomes.load(stores[0])], config)
    assert not (tmp_path / "s").exists()


def test_refused(stores, tmp_path):
    config = StudyConfig(out=str(tmp_path / "s"))
    with pytest.raises(ArgumentError, match="nothing to study"):
        run_study([], config)
    with pytest.raises(ArgumentError, match="--threshold"):
        StudyConfig(out="s", threshold=10)
    outcomes = Outcomes.load(stores[0])
    with pytest.raises(ArgumentError, match="name them by --name"):
        run_study([outcomes, outcomes], config)
    outcomes.z[:, 0] = -1
    with pytest.raises(DataError, match="resume the sweep"):
        run_study([outcomes], config)
    assert not (tmp_path / "s").exists()


def test_the_same_study_gives_the_same_files(made, stores, tmp_path):
    _, out = made
    run_study([Outcomes.load(folder) for folder in stores], StudyConfig(out=str(tmp_path)))
    for name in ("study.md", "gains.svg", "gains.csv", "toy-sums/coverage.svg", "toy-sums/tests.csv"):
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes()


def test_tables_escape_what_they_are_given():
    table = Table(("a_b", "x|y"), [["100% & <b>", 0.25], ["", None]], "50 % of {x}", frozenset({(0, 1)}))
    assert r"100\% \& <b>" in table.latex("t")
    assert r"a\_b" in table.latex("t")
    assert r"\textbf{0.250}" in table.latex("t")
    assert "| 100% &amp; &lt;b&gt; | **0.250** |" in table.markdown()
    assert "x\\|y" in table.markdown()
    assert table.csv() == "a_b,x|y\n100% & <b>,0.25\n,\n"
    assert table.shown(-0.00004, 1) == "0.000"
    assert Table(("p",), [[0.00004]], "").markdown().endswith("| 4e-5 |\n")


def test_names_cannot_change_the_report(stores: list[Path], tmp_path: Path) -> None:
    name = "toy</h2><img src=x onerror=alert(1)>\n# Faked heading [l](javascript:1) $x$ `c` and a cost of $3"
    rng = np.random.default_rng(0)
    facts = {
        "base": rng.integers(0, 2, 40),
        "subjects": [("$\\frac$ x", "a|b *c*")[i % 2] for i in range(40)],
    }
    pool = HeadPool.parse("*:*", LAYOUT)
    z = rng.integers(0, 2, (40, len(pool)))
    outcomes = Outcomes.from_arrays(z, [f"q{i}" for i in range(40)], pool, **facts)
    study = run_study([outcomes, Outcomes.load(stores[0])], StudyConfig(str(tmp_path), names=(name, "toy")))
    pages = [study.report, *tmp_path.rglob("*.md")]
    assert len(pages) > 6
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert "<img" not in text
        assert "\n# Faked" not in text
        assert "[l](" not in text
    svg = (tmp_path / slug(name) / "heatmap-layer-0.svg").read_text(encoding="utf-8")
    assert "$\\frac$ x (20)" in svg


def test_a_folder_that_cannot_be_written(stores: list[Path], tmp_path: Path) -> None:
    outcomes = Outcomes.load(stores[0])
    file = tmp_path / "file"
    file.write_text("mine")
    for out in (file, file / "in"):
        with pytest.raises(StoreError, match=f"cannot write to {out}: {file} is a file; name a folder"):
            run_study([outcomes], StudyConfig(str(out)))
    assert file.read_text() == "mine"


def test_a_base_above_all_heads_is_in_the_coverage_curves() -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    cover, held_out = np.array([0.05, 0.1]), np.array([0.02, 0.04])
    found = Coverage(0.9, 0.05, 0.1, "L0H0", ("L0H0", "L0H1"), cover, held_out, 40)
    figure = coverage_curves(found)(plt)
    low, high = figure.axes[0].get_ylim()
    plt.close(figure)
    assert low <= 0.02 < 0.9 < high


def test_slugs():
    assert slug("Qwen/Qwen2.5 Math, rg_math") == "qwen-qwen2-5-math-rg-math"
    assert slug("../..") == "study"
    assert impact_from_csv.__module__ == "sprint_eval.analysis.impact"
