"""Where the questions come from: the hub's data sets, or files with the same fields."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sprint_eval.errors import DataError, one_line
from sprint_eval.tasks import convert
from sprint_eval.tasks.documents import VALIDATION_SHARE, Doc, Parts, divide
from sprint_eval.tasks.options import TaskOptions

Rows = Iterable[Mapping[str, Any]]
HubLoader = Callable[..., Any]  # datasets.load_dataset, replaced in tests


@dataclass(frozen=True)
class Source:
    """One data set.

    Attributes:
        name: how the tasks' YAML names it (``dataset_kwargs: source``).
        train_files: its training files in a data folder.
        test_files: its test files there.
        to_doc: a row, of the hub's version or of a file, as a document; ``None`` leaves the row out.
        hub_rows: training and test rows from the hub, given ``datasets.load_dataset``.
    """

    name: str
    train_files: tuple[str, ...]
    test_files: tuple[str, ...]
    to_doc: Callable[[Mapping[str, Any]], Doc | None]
    hub_rows: Callable[[HubLoader], tuple[Rows, Rows]]


def load_parts(source: Source, options: TaskOptions) -> Parts:
    """Training, validation and test documents of a data set.

    Raises:
        DataError: a missing folder or file, a malformed row, no question in the evaluated split,
            or a data set that the hub does not give.
    """
    if not options.local:
        train, test = _from_hub(source)
        return _checked(divide(train, test, "hub", source.name), source, options)
    train = list(_from_files(source, _files(source, options, "train")))
    test = list(_from_files(source, _files(source, options, "test")))
    return _checked(divide(train, test, "local", source.name), source, options)


def _checked(parts: Parts, source: Source, options: TaskOptions) -> Parts:
    if not parts.part(options.split):
        needed = "test_file" if options.split == "test" else "train_file"
        raise DataError(f"{source.name}: no question in its {options.split} part; give data_dir or {needed}")
    return parts


def _files(source: Source, options: TaskOptions, part: str) -> list[Path]:
    own = options.train_file if part == "train" else options.test_file
    if own is not None:
        if not own.is_file():
            raise DataError(f"{source.name}: {part}_file not found: {own}")
        return [own]
    if options.data_dir is None:
        return []
    names = source.train_files if part == "train" else source.test_files
    if not options.data_dir.is_dir():
        raise DataError(f"{source.name}: data folder not found: {options.data_dir}")
    files = [options.data_dir / name for name in names]
    missing = [path.name for path in files if not path.is_file()]
    if missing:
        raise DataError(
            f"{source.name}: {options.data_dir} has no {', '.join(missing)}; give {part}_file instead"
        )
    return files


def _from_files(source: Source, files: Sequence[Path]) -> Iterator[Doc]:
    for path in files:
        found = False
        for number, row in _read_lines(path):
            try:
                doc = source.to_doc(row)
            except convert.RowError as error:
                raise DataError(f"{path}, line {number}: {error}") from None
            if doc is not None:
                found = True
                yield doc
        if not found:
            raise DataError(f"{path} holds no question")


def _read_lines(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except ValueError:
                    raise DataError(f"{path}, line {number}: not a JSON object a line") from None
                if not isinstance(row, dict):
                    raise DataError(
                        f"{path}, line {number}: expected a JSON object, found {type(row).__name__}"
                    )
                yield number, row
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _from_hub(source: Source) -> tuple[list[Doc], list[Doc]]:
    from datasets import load_dataset

    try:
        train, test = source.hub_rows(load_dataset)
    except Exception as error:  # the hub's client raises errors of many libraries
        raise DataError(
            f"{source.name}: the hub's data set could not be loaded ({one_line(error)[:200]}); "
            "give a local folder with --metadata data_dir=FOLDER"
        ) from error
    try:
        return _docs(source, train), _docs(source, test)
    except convert.RowError as error:
        raise DataError(
            f"{source.name}: the hub's version has other fields than expected: {error}"
        ) from error


def _docs(source: Source, rows: Rows) -> list[Doc]:
    return [doc for doc in map(source.to_doc, rows) if doc is not None]


def _hub_gsm8k(load: HubLoader) -> tuple[Rows, Rows]:
    data = load("openai/gsm8k", "main")
    return data["train"], data["test"]


_HENDRYCKS_CONFIGS = (
    *("algebra", "counting_and_probability", "geometry", "intermediate_algebra"),
    *("number_theory", "prealgebra", "precalculus"),
)


def _hub_math(load: HubLoader) -> tuple[Rows, Rows]:
    """MATH-500, and the 12,000 other questions of MATH, train and test parts both, for training."""
    test = list(load("HuggingFaceH4/MATH-500", split="test"))
    held_out = {row["problem"].strip() for row in test}
    train = []
    for config in _HENDRYCKS_CONFIGS:
        data = load("EleutherAI/hendrycks_math", config)
        train += [
            row for part in ("train", "test") for row in data[part] if row["problem"].strip() not in held_out
        ]
    return train, test


def _hub_math23k(load: HubLoader) -> tuple[Rows, Rows]:
    data = load("Gxg/Math23K")
    return data["train"], data["test"]


def _hub_asdiv(load: HubLoader) -> tuple[Rows, Rows]:
    """The arithmetic problems of ASDiv, which has no split of its own: a fifth by key is the test.

    Not by the digit of the key that tells validation from training: all of that would be in the test.
    """
    rows = [row for row in load("EleutherAI/asdiv", split="validation") if convert.is_arithmetic(row)]
    in_test = [int(convert.asdiv(row)["question_key"], 16) // VALIDATION_SHARE % 5 == 0 for row in rows]
    train = [row for row, test in zip(rows, in_test, strict=True) if not test]
    return train, [row for row, test in zip(rows, in_test, strict=True) if test]


SOURCES = {
    source.name: source
    for source in (
        Source("gsm8k", ("gsm8k_train.jsonl",), ("gsm8k_test_half.jsonl",), convert.gsm8k, _hub_gsm8k),
        Source("math500", ("math_train_4000.jsonl",), ("math500_half.jsonl",), convert.math, _hub_math),
        Source("math23k", ("math23k_train.jsonl",), ("math23k_dev.jsonl",), convert.math23k, _hub_math23k),
        Source(
            "asdiv",
            ("asdiv_a_fold0.jsonl", "asdiv_a_fold1.jsonl", "asdiv_a_fold2.jsonl"),
            ("asdiv_a_fold3.jsonl",),
            convert.asdiv,
            _hub_asdiv,
        ),
    )
}
