"""Files and hub versions become the same documents; what cannot be read is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sprint_eval.errors import DataError
from sprint_eval.tasks import convert
from sprint_eval.tasks.options import TaskOptions
from sprint_eval.tasks.sources import SOURCES, load_parts


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_a_data_folder_gives_canonical_fields_and_disjoint_parts(name: str, data_dir: Path) -> None:
    parts = load_parts(SOURCES[name], TaskOptions(data_dir=data_dir))
    assert len(parts.test) == 30
    assert len(parts.train) + len(parts.validation) == 60
    assert parts.source == "local"
    docs = parts.train + parts.validation + parts.test
    assert len({doc["question_key"] for doc in docs}) == 90
    for doc in docs:
        assert all(
            isinstance(doc[key], str) and doc[key]
            for key in ("question", "answer", "subject", "question_key")
        )
        assert len(doc["question_key"]) == 16
    assert len({doc["subject"] for doc in parts.test}) >= 3


@pytest.mark.parametrize(
    ("equation", "subject"),
    [
        ("n0 + n1", "Addition"),
        ("( n0 + n1 ) + n2", "Addition"),
        ("n0 - n1", "Subtraction"),
        ("n0 * n1 * n2", "Multiplication"),
        ("x=12/3", "Division"),
        ("n0 ** n1", "Power"),
        ("n0 ^ x2", "Power"),
        ("( n0 + n1 ) / n2", "Mixed"),
        ("n0", "No operation"),
        ("x = temp_a", "No operation"),
    ],
)
def test_operation(equation: str, subject: str) -> None:
    assert convert.operation(equation) == subject


def test_gsm8k_gold_subject_and_solution() -> None:
    doc = convert.gsm8k({"question": "Q 1?", "answer": "a <<1+1=2>>2\nb\n#### 1,234"})
    assert doc is not None
    assert (doc["answer"], doc["subject"]) == ("1,234", "2 steps")
    assert doc["solution"] == "a <<1+1=2>>2\nb"
    assert convert.gsm8k({"question": "Q", "answer": "one\n#### 1"})["subject"] == "1 step"  # type: ignore[index]
    long = convert.gsm8k({"question": "Q", "answer": "x\n" * 9 + "#### 1"})
    assert long is not None
    assert long["subject"] == "7+ steps"


def test_rows_of_the_hub_become_the_same_documents() -> None:
    old = {"problem": "Find $2+1$.", "solution": "It is $\\boxed{3}$.", "type": "Algebra", "level": "Level 4"}
    new = {**old, "answer": "3", "subject": "Algebra", "level": 4}
    assert convert.math(old) == convert.math(new)
    published = {"question": "有 3 个", "equation": "n0 + n1", "numbers": ["3", "2"], "answer": "5.0"}
    hub = {"original_text": "有 3 个", "target_template": ["temp_a", "+", "temp_b"], "answer": "5.0"}
    assert convert.math23k(hub)["subject"] == convert.math23k(published)["subject"] == "Addition"  # type: ignore[index]
    row = {"body": "Ann has 7 hats.", "question": "How many?", "answer": "9 (hats)", "formula": "7+2=9"}
    doc = convert.asdiv(row)
    assert (doc["question"], doc["answer"], doc["subject"]) == ("Ann has 7 hats. How many?", "9", "Addition")
    assert doc["equation"] == "7+2"


@pytest.mark.parametrize(
    ("answer", "formula", "arithmetic"),
    [
        ("9 (apples)", "7+2=9", True),
        ("2.5", "(7-2)/2=2.5", True),
        ("red (color)", "7+2=9", False),
        ("5:3 (ratio)", "5:3", False),
        ("9 (apples)", "x+2=11, x=9", False),
        ("4 (kinds); 5", "4+1=5", False),
    ],
)
def test_the_arithmetic_part_of_asdiv(answer: str, formula: str, arithmetic: bool) -> None:
    assert convert.is_arithmetic({"answer": answer, "formula": formula}) is arithmetic


def hub(rows, monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """A stand-in for the hub that has the same columns; returns the calls it got."""
    import datasets

    calls: list[tuple] = []

    def load(path: str, config: str | None = None, split: str | None = None):
        calls.append((path, config, split))
        if path == "openai/gsm8k":
            return {"train": rows("gsm8k", range(40)), "test": rows("gsm8k", range(40, 60))}
        if path == "HuggingFaceH4/MATH-500":
            return rows("math500", range(40, 60))
        if path == "EleutherAI/hendrycks_math":
            first = {"algebra": 0, "geometry": 20}.get(config or "")
            mine = [] if first is None else rows("math500", range(first, first + 20))
            held = rows("math500", range(40, 60)) if config == "algebra" else []
            old = [
                {key: row[key] for key in ("problem", "solution")} | {"type": row["subject"]}
                for row in mine + held
            ]
            return {"train": old, "test": []}
        if path == "Gxg/Math23K":
            made = [
                {
                    "original_text": row["question"],
                    "target_template": row["equation"].split(),
                    "answer": row["answer"],
                }
                for row in rows("math23k", range(60))
            ]
            return {"train": made[:40], "test": made[40:]}
        assert path == "EleutherAI/asdiv"
        return [
            {"body": row["question"], "question": "How many?", "answer": "5 (hats)", "formula": "3+2=5"}
            for row in rows("asdiv", range(60))
        ]

    monkeypatch.setattr(datasets, "load_dataset", load)
    return calls


@pytest.mark.parametrize("gold", [None, True, [1], {"value": 1}])
@pytest.mark.parametrize("name", ["asdiv", "math23k", "math500"])
def test_gold_that_is_no_answer_is_refused(name: str, gold: object, data_dir: Path) -> None:
    """Its text form would be: every answer to it would count as wrong."""
    row = json.loads((data_dir / SOURCES[name].test_files[0]).read_text(encoding="utf-8").splitlines()[0])
    if name == "math500" and gold is None:
        assert SOURCES[name].to_doc({**row, "answer": None})["answer"], "the solution's box says it"
        return
    with pytest.raises(convert.RowError, match="answer"):
        SOURCES[name].to_doc({**row, "answer": gold})


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_the_hub_gives_parts_too(name: str, rows, monkeypatch: pytest.MonkeyPatch) -> None:
    hub(rows, monkeypatch)
    parts = load_parts(SOURCES[name], TaskOptions())
    assert parts.source == "hub"
    assert len(parts.train) + len(parts.validation) + len(parts.test) == 60
    assert 5 <= len(parts.test) <= 20
    assert parts.validation
    assert parts.twins == 0


def test_math_500_is_held_out_of_the_older_version(rows, monkeypatch: pytest.MonkeyPatch) -> None:
    hub(rows, monkeypatch)
    parts = load_parts(SOURCES["math500"], TaskOptions())
    assert not {doc["question"] for doc in parts.test} & {doc["question"] for doc in parts.train}
    assert all(doc["answer"] for doc in parts.train)


def test_a_hub_that_cannot_be_reached_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def refuse(*args: object, **kwargs: object) -> None:
        raise ConnectionError("offline\nmode is enabled")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(DataError, match=r"gsm8k: the hub's data set .*offline mode.* data_dir=FOLDER"):
        load_parts(SOURCES["gsm8k"], TaskOptions())


def test_a_hub_version_with_other_columns_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets, "load_dataset", lambda *args, **kwargs: {"train": [{"q": "x"}], "test": []})
    with pytest.raises(
        DataError, match=r"other fields than expected: no text in field 'answer' \(found: q\)"
    ):
        load_parts(SOURCES["gsm8k"], TaskOptions())


def test_own_files_and_what_is_missing(data_dir: Path, tmp_path: Path) -> None:
    source = SOURCES["gsm8k"]
    own = tmp_path / "own.jsonl"
    own.write_text(
        json.dumps({"question": "Own question with 5?", "answer": "#### 5"}) + "\n\n", encoding="utf-8"
    )
    assert len(load_parts(source, TaskOptions(test_file=own)).test) == 1
    assert not load_parts(source, TaskOptions(test_file=own)).train
    mixed = load_parts(source, TaskOptions(data_dir=data_dir, test_file=own))
    assert (len(mixed.test), len(mixed.train) + len(mixed.validation)) == (1, 60)
    cases = [
        (TaskOptions(data_dir=tmp_path / "no"), "data folder not found"),
        (TaskOptions(data_dir=tmp_path), "has no gsm8k_train.jsonl"),
        (TaskOptions(test_file=tmp_path / "no.jsonl"), "test_file not found"),
        (
            TaskOptions(test_file=own, split="train"),
            "no question in its train part; give data_dir or train_file",
        ),
        (TaskOptions(train_file=own), "no question in its test part; give data_dir or test_file"),
    ]
    for options, message in cases:
        with pytest.raises(DataError, match=message):
            load_parts(source, options)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{not json\n", "line 1: not a JSON object a line"),
        (b"[1]\n", "line 1: expected a JSON object, found list"),
        (
            b'{"question": "q", "answer": "#### 1"}\n{"q": 1}\n',
            r"line 2: no text in field 'answer' \(found: q\)",
        ),
        (b"", "holds no question"),
        (b'{"question": "", "answer": "#### 1"}\n', "holds no question"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_a_malformed_file_is_named_with_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"bad.jsonl.*{message}"):
        load_parts(SOURCES["gsm8k"], TaskOptions(test_file=path))
