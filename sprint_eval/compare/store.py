"""Values kept between runs, each under everything that decides it."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Generic, TypeVar

from sprint_eval.errors import StoreError
from sprint_eval.outcomes.cells import decode_line, encode_line

Value = TypeVar("Value")
_SUFFIX = ".jsonl"
_KEY = slice(11, 43)  # where a line's key stands: '<crc32, 8 digits> ["<key, 32 digits>",…'


class KeyedStore(Generic[Value]):
    """A folder of values; every process appends to a file of its own and reads all.

    A line is a checksum and ``[key, …]`` with what the value is packed into. A torn or damaged line
    is passed over: its value is made again. Values that others add after opening are not seen.

    Args:
        folder: made where it does not exist.
        pack: a value's JSON fields.
        unpack: the value of such fields; it may raise ``ValueError`` or ``TypeError`` on foreign ones.

    Raises:
        StoreError: the folder cannot be read or written.
    """

    def __init__(
        self, folder: Path, pack: Callable[[Value], list[Any]], unpack: Callable[[list[Any]], Value]
    ) -> None:
        self.folder = folder
        self._pack = pack
        self._unpack = unpack
        self._places: dict[bytes, tuple[Path, int, int]] = {}
        self._own: int | None = None
        self._own_path = folder / f"{os.getpid()}-{secrets.token_hex(6)}{_SUFFIX}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for path in sorted(folder.glob(f"*{_SUFFIX}")):
                self._index(path)
        except OSError as error:
            raise StoreError(f"the store {folder} cannot be read: {error.strerror}") from error

    def __len__(self) -> int:
        return len(self._places)

    def get(self, key: str) -> Value | None:
        """The value kept under this key, if there is a whole one."""
        place = self._places.get(key.encode())
        if place is None:
            return None
        path, start, length = place
        with path.open("rb") as handle:
            handle.seek(start)
            fields = decode_line(handle.read(length))
        if not isinstance(fields, list) or not fields or fields[0] != key:
            return None
        try:
            return self._unpack(fields[1:])
        except (TypeError, ValueError):
            return None

    def put(self, values: Iterable[tuple[str, Value]]) -> None:
        """Keep values; they are with the operating system when this returns."""
        try:
            if self._own is None:
                self._own = os.open(self._own_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            start = os.fstat(self._own).st_size
            lines, places = [], {}
            for key, value in values:
                lines.append(encode_line([key, *self._pack(value)]))
                places[key.encode()] = (self._own_path, start, len(lines[-1]) - 1)
                start += len(lines[-1])
            rest = memoryview(b"".join(lines))
            while rest:
                rest = rest[os.write(self._own, rest) :]
        except OSError as error:
            raise StoreError(
                f"cannot write to the store {self.folder}: {error.strerror}; make room and run it again"
            ) from error
        self._places.update(places)

    def close(self) -> None:
        """Close the file; reading goes on to work."""
        if self._own is not None:
            os.close(self._own)
            self._own = None

    def _index(self, path: Path) -> None:
        start = 0
        with path.open("rb") as handle:
            for line in handle:
                whole = line.endswith(b"\n") and _checks(line[:-1])
                if whole:
                    self._places.setdefault(line[_KEY], (path, start, len(line) - 1))
                start += len(line)


def key_of(*decides: Any) -> str:
    """32 hexadecimal digits of everything that decides a value."""
    return hashlib.sha256(text_of(decides).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def text_of(value: Any) -> str:
    """JSON, the same for equal values."""
    return json.dumps(value, sort_keys=True, default=str)


def _checks(line: bytes) -> bool:
    try:
        return line[8:11] == b' ["' and int(line[:8], 16) == zlib.crc32(line[9:])
    except ValueError:
        return False
