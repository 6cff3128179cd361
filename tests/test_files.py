"""JSON that is not there, not JSON or not an object is told of in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from sprint_eval.errors import DataError
from sprint_eval.files import read_json


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[1]", "holds a list, expected a JSON object"),
        (b"{", "cannot be read as JSON"),
        (b'{"a": "\xff"}', "cannot be read as JSON"),
        (b"[" * 100_000, "cannot be read as JSON"),
    ],
)
def test_json_that_cannot_be_read(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "facts.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_json(path, "facts")


def test_json_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="facts not found"):
        read_json(tmp_path / "facts.json", "facts")
