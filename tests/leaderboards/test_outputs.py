"""Every file that a build writes, read back by what others read it with."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from synthetic import TASK, FakeRun, five_methods, foreign, outcomes, write_run

from sprint_eval.leaderboards.board import make_board
from sprint_eval.leaderboards.build import build
from sprint_eval.leaderboards.latex import document
from sprint_eval.leaderboards.tabular import write_csv


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outputs")
    five_methods(folder / "results", questions=30)
    record = min((folder / "results").rglob("results_*"))
    changed = json.loads(record.read_text(encoding="utf-8"))
    changed["configs"][TASK]["dataset_path"] = "openai/gsm8k"
    record.write_text(json.dumps(changed), encoding="utf-8")
    build([folder / "results"], folder / "out", reference="hf greedy")
    return folder / "out"


def test_parquet_and_csv_hold_the_same(out: Path) -> None:
    import pyarrow.parquet as pq

    for name in ("leaderboard", "pairs"):
        rows = pq.read_table(out / f"{name}.parquet").to_pylist()
        if name == "pairs":
            rows = [row for row in rows if row["score"] == "pass@4"]
        with (out / f"{name}.csv").open(encoding="utf-8", newline="") as handle:
            cells = list(csv.DictReader(handle))
        assert len(rows) == len(cells) > 0
        for row, cell in zip(rows, cells, strict=True):
            assert list(row) == list(cell)
            for key, value in row.items():
                if isinstance(value, float):
                    assert float(cell[key]) == pytest.approx(value)
                else:
                    assert cell[key] == ("" if value is None else str(value))


def test_outcomes_are_those_of_the_samples(out: Path) -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(out / "outcomes.parquet").to_pylist()
    assert len(table) == 5 * 30
    router = [row for row in table if row["method_id"].startswith("sprint-router")]
    correct = outcomes(FakeRun(skill=0.45, seed=5, questions=30))
    assert sum(row["right"] for row in router) == correct.sum()
    assert sum(row["first_right"] == 1 for row in router) == correct[:, 0].sum()


def test_json_is_whole(out: Path) -> None:
    board = json.loads((out / "leaderboard.json").read_text(encoding="utf-8"))
    assert board["schema"] == 1
    assert len(board["tables"][0]["rows"]) == 5
    assert len(board["pairs"]) == 10


def test_plots_are_drawn_and_equal_builds_make_equal_files(out: Path, tmp_path: Path) -> None:
    plots = sorted(path.name for path in (out / "plots").iterdir())
    kinds = {re.sub(r"^t\w{8}-", "", name) for name in plots}
    assert kinds == {f"{name}.{form}" for name in ("intervals", "curves", "cost") for form in ("png", "svg")}
    build([out.parent / "results"], tmp_path / "again", reference="hf greedy")
    first = {path.relative_to(out): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
    again = {
        path.relative_to(tmp_path / "again"): path.read_bytes()
        for path in sorted((tmp_path / "again").rglob("*"))
        if path.is_file()
    }
    assert first.keys() == again.keys()
    assert [str(name) for name in first if first[name] != again[name]] == []


def test_latex_compiles(tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex: apt-get install texlive-latex-base texlive-latex-recommended")
    hostile = 'x_1 & 50% #{}~^\\ $z$ "q" <b> |中文é–…'
    write_run(tmp_path / "results", FakeRun(hostile, questions=5))
    write_run(tmp_path / "results", FakeRun(questions=5, date=1.7e9))
    for index in range(70):  # more tables than LaTeX holds back before it gives up
        write_run(tmp_path / "results", FakeRun(questions=3, task=f"task_{index}"))
    (tmp_path / "board.tex").write_text(document(make_board([tmp_path / "results"])), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "board.tex"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120
    )
    assert done.returncode == 0, done.stdout[-800:]
    assert (tmp_path / "board.pdf").stat().st_size > 1000


def schema(name: str) -> Any:
    """The published JSON schema, from the package that publishes it."""
    import jsonschema

    try:
        folder = resources.files("every_eval_ever") / "schemas"
    except ModuleNotFoundError:
        message = "no every-eval-ever: pip install --no-deps --ignore-requires-python every-eval-ever==0.3.0"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return jsonschema.Draft7Validator(json.loads((folder / name).read_text(encoding="utf-8")))


def test_records_pass_the_published_schema(out: Path) -> None:
    aggregate, instance = schema("eval.schema.json"), schema("instance_level_eval.schema.json")
    runs = sorted((out / "records").rglob("*.json"))
    assert len(runs) == 5, "methods on one checkpoint do not collide"
    identities = set()
    for path in runs:
        record = json.loads(path.read_text(encoding="utf-8"))
        aggregate.validate(record)
        identities.add(record["evaluation_id"])
        detailed = record["detailed_evaluation_results"]
        lines = (out / "records" / detailed["file_path"]).read_text(encoding="utf-8").splitlines()
        assert len(lines) == detailed["total_rows"] == 30
        results = {result["evaluation_result_id"] for result in record["evaluation_results"]}
        for line in lines:
            row = json.loads(line)
            instance.validate(row)
            assert len(row["output"]["raw"]) == 4, "all candidates are kept"
            assert row["evaluation_result_id"] in results
    assert len(identities) == 5


def test_records_hold_the_notes(tmp_path: Path) -> None:
    write_run(tmp_path / "results", FakeRun("sprint-router", info={"router_trained_on_test": True}))
    build([tmp_path / "results"], tmp_path / "out", plots=False, instances=False)
    (path,) = (tmp_path / "out" / "records").rglob("*.json")
    record = json.loads(path.read_text(encoding="utf-8"))
    schema("eval.schema.json").validate(record)
    notes = record["model_info"]["additional_details"]["notes"]
    assert notes.split("; ")[0] == "router trained on test questions"


def test_records_hold_the_token_limit_by_any_name_and_no_credential(tmp_path: Path) -> None:
    generation = {"max_gen_toks": None, "max_completion_tokens": 64, "api_key": "sesame", "top_p": 0.9}
    write_run(tmp_path / "results", FakeRun("sprint-router", generation=generation))
    build([tmp_path / "results"], tmp_path / "out", plots=False, instances=False)
    (path,) = (tmp_path / "out" / "records").rglob("*.json")
    assert "sesame" not in path.read_text(encoding="utf-8")
    record = json.loads(path.read_text(encoding="utf-8"))
    schema("eval.schema.json").validate(record)
    for result in record["evaluation_results"]:
        assert result["generation_config"]["generation_args"] == {"top_p": 0.9, "max_tokens": 64}


def lines_of(folder: Path) -> dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Every record with its question lines, by the name of its model."""
    found = {}
    for path in folder.rglob("*.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        text = (folder / record["detailed_evaluation_results"]["file_path"]).read_text(encoding="utf-8")
        found[record["model_info"]["name"]] = (record, [json.loads(line) for line in text.splitlines()])
    return found


def test_lines_of_records_score_what_they_point_to(tmp_path: Path) -> None:
    """A table of N = 4 with a run of more candidates, one of fewer, and one answer that serves any k."""
    once = FakeRun("once", "pretrained=m", {"deterministic": True}, n=1, seed=4)
    runs = [
        FakeRun("a", seed=1),
        FakeRun("b", seed=2),
        FakeRun("more", n=8, seed=3),
        FakeRun("few", n=2),
        once,
    ]
    for index, run in enumerate(runs):
        write_run(tmp_path / "results", replace(run, skill=0.15, date=run.date + index))
    build([tmp_path / "results"], tmp_path / "out", plots=False)
    found = lines_of(tmp_path / "out" / "records")
    assert len(found) == 5
    for record, lines in found.values():
        stated = {
            r["evaluation_result_id"]: r["score_details"]["score"] for r in record["evaluation_results"]
        }
        (pointed,) = {line["evaluation_result_id"] for line in lines}
        mean = sum(line["evaluation"]["score"] for line in lines) / len(lines)
        assert stated[pointed] == pytest.approx(mean)
    (label,) = {line["evaluation_result_id"] for line in found["tiny-model with few"][1]}
    assert label.endswith("#pass@2")


@pytest.mark.parametrize(
    ("values", "lower", "right"),
    [
        ([0.02, 1.0, 0.0], False, [False, True, False]),
        ([0.0, 1.0, 1.0], False, [False, True, True]),
        ([0.0, 1.0, 1.0], True, [True, False, False]),
    ],
)
def test_a_part_of_a_score_is_no_right_answer(
    tmp_path: Path, values: list[float], lower: bool, right: list[bool]
) -> None:
    foreign(tmp_path / "results", "one", values, ("none",), "rouge", lower)
    build([tmp_path / "results"], tmp_path / "out", plots=False)
    ((_, lines),) = lines_of(tmp_path / "out" / "records").values()
    told = {line["input"]["raw"]: line["evaluation"]["is_correct"] for line in lines}
    assert [told[f"{index}?"] for index in range(3)] == right


def test_records_without_lines_a_question(out: Path, tmp_path: Path) -> None:
    build([out.parent / "results"], tmp_path, instances=False, plots=False)
    assert list((tmp_path / "records").rglob("*.jsonl")) == []


def test_formulas_in_csv_are_defused(tmp_path: Path) -> None:
    write_csv(tmp_path / "x.csv", [{"a": "=cmd()", "b": -1.5}])
    assert (tmp_path / "x.csv").read_text(encoding="utf-8") == "a,b\n'=cmd(),-1.5\n"


def test_own_outputs_are_not_read_as_results(out: Path, tmp_path: Path) -> None:
    shutil.copytree(out.parent / "results", tmp_path / "results")
    first = build([tmp_path / "results"], tmp_path / "results", plots=False)
    again = build([tmp_path / "results"], tmp_path / "results", plots=False)
    assert len(again.standings[0].rows) == len(first.standings[0].rows) == 5
    assert again.reading.problems == again.reading.others == []


def test_site_parts_are_scripts_that_nothing_can_end(out: Path) -> None:
    for path in [*(out / "data").iterdir(), out / "index.html"]:
        assert path.stat().st_size < 5_000_000
    for path in (out / "data").iterdir():
        text = path.read_text(encoding="utf-8")
        assert re.match(r'SE\.part\("[a-z0-9@-]+",', text)
        assert "<" not in text
    page = (out / "index.html").read_text(encoding="utf-8")
    nonces = set(re.findall(r'nonce="([^"]+)"', page))
    assert len(nonces) == 1
    assert f"script-src 'nonce-{nonces.pop()}'" in page.replace("&#x27;", "'")
    assert "http://" not in page.replace("http://www.w3.org/", "")
    assert "https://" not in page
