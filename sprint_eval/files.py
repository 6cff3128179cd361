"""Files that are whole or not there: atomic writes and JSON that is checked on reading."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from sprint_eval.errors import DataError, StoreError


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write ``data`` to ``path`` so that a reader sees the old file or the new one, never a part.

    Raises:
        OSError: the folder cannot be written; nothing is left behind.
    """
    payload = data.encode("utf-8") if isinstance(data, str) else data
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(payload)
            handle.flush()
            os.fsync(handle.fileno())
        # mkstemp makes files private; give them what an ordinary open() would.
        make_readable(Path(name))
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def make_readable(path: Path) -> None:
    """Give a file the permissions that an ordinary ``open()`` would have given it."""
    path.chmod(0o666 & ~_umask())


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented UTF-8 JSON, atomically; NaN and infinity are refused."""
    write_atomic(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, what: str) -> dict[str, Any]:
    """Read a JSON object; ``what`` names the file's role in the error.

    Raises:
        DataError: the file is missing, is not JSON, or holds something other than an object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{what} not found: {path}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{what} {path} cannot be read as JSON: {error}") from error
    if not isinstance(value, dict):
        raise DataError(f"{what} {path} holds a {type(value).__name__}, expected a JSON object")
    return value


def refuse_file(folder: str | Path) -> None:
    """For a folder that is to be written to, and made where it is not there.

    Raises:
        StoreError: a file stands there, or where a folder above it should be.
    """
    for place in (Path(folder), *Path(folder).parents):
        if place.exists() and not place.is_dir():
            raise StoreError(f"cannot write to {folder}: {place} is a file; name a folder by --out")


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
