"""Where each cell stands in a file of cells, as arrays, with a cache beside the store.

A file is parsed once: the arrays are kept in ``index/``, and later only what was appended since is
parsed. The cache holds no more than the file says; it can be deleted at any time.
"""

from __future__ import annotations

import gc
import io
import json
import os
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from sprint_eval.errors import StoreError
from sprint_eval.files import write_atomic
from sprint_eval.outcomes.cells import COLUMNS, decode_line

INDEX_FOLDER = "index"
FINISH = ("stop", "length")
_BLOCK_BYTES = 1 << 23
_CACHE_VERSION = 1
_FIELDS: dict[str, type] = {
    "question": np.int32,
    "column": np.int32,
    "correct": np.int8,
    "tokens": np.int32,
    "finish": np.int8,
    "how": np.int16,
    "status": np.int16,
    "offset": np.int64,
    "length": np.int32,
}


@dataclass
class FileIndex:
    """The cells of one file.

    Attributes:
        path: the file.
        header: its first line, or ``None`` where not even that was written.
        arrays: one entry a cell, in file order; ``how`` and ``status`` count into ``labels``,
            ``offset`` and ``length`` are bytes of the cell's line without its line break.
        labels: the words that ``how`` and ``status`` stand for.
        covered: bytes of whole lines; what follows is a torn tail.
        torn: bytes of the torn tail that a kill left.
        damaged: offsets of lines whose checksum does not fit although whole lines follow.
    """

    path: Path
    header: dict[str, Any] | None = None
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    covered: int = 0
    torn: int = 0
    damaged: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.arrays["question"])


def read_index(store: Path, path: Path, use_cache: bool = True) -> FileIndex:
    """Index a file of cells, parsing only what the cache does not have.

    Raises:
        StoreError: the file cannot be read, or holds lines that are whole but not cells.
    """
    cache = store / INDEX_FOLDER / f"{path.stem}.npz"
    index = (_load_cache(cache, path) if use_cache else None) or FileIndex(path, arrays=_empty())
    known = index.covered
    try:
        with path.open("rb") as handle:
            handle.seek(index.covered)
            _scan(handle, index)
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    if use_cache and index.covered > known and not index.damaged:
        _save_cache(cache, index)
    return index


def _empty() -> dict[str, np.ndarray]:
    return {name: np.empty(0, dtype) for name, dtype in _FIELDS.items()}


def _scan(handle: BinaryIO, index: FileIndex) -> None:
    """Read whole lines from where ``index`` ends; what is bad at the end is torn, elsewhere damaged."""
    parts = [index.arrays]
    codes = {label: code for code, label in enumerate(index.labels)}
    suspects: list[int] = []  # bad lines with no good line after them so far
    for start, lines, tail in _blocks(handle, index.covered):
        bodies = [line[9:] for line in lines]
        offsets = _offsets(start, lines)
        good = _whole(lines, bodies)
        keep, bad = np.flatnonzero(good), offsets[~good].tolist()
        if len(keep):
            last = offsets[keep[-1]]
            index.damaged += suspects + [offset for offset in bad if offset < last]
            suspects = [offset for offset in bad if offset > last]
        else:
            suspects += bad
        if len(keep) and index.header is None:
            index.header = _header(index.path, lines[keep[0]])
            keep = keep[1:]
        if len(keep):
            cells = bodies if len(keep) == len(bodies) else [bodies[k] for k in keep]
            sizes = np.fromiter(map(len, cells), np.int64, len(cells)) + 9
            parts.append(_parse(index.path, cells, codes) | {"offset": offsets[keep], "length": sizes})
        index.covered = start + sum(map(len, lines)) + len(lines)
        index.torn = tail
    if suspects:
        index.torn += index.covered - suspects[0]
        index.covered = suspects[0]
    index.labels = list(codes)
    index.arrays = {
        name: np.concatenate([part[name].astype(dtype, copy=False) for part in parts])
        for name, dtype in _FIELDS.items()
    }


def _whole(lines: list[bytes], bodies: list[bytes]) -> np.ndarray:
    """Which lines' checksums fit, bool ``[lines]``."""
    sums = np.fromiter(map(zlib.crc32, bodies), np.uint32, len(bodies))
    try:
        # fromhex() passes over the space that ends each checksum.
        written = np.frombuffer(bytes.fromhex(b"".join([line[:9] for line in lines]).decode()), ">u4")
    except ValueError:
        written = np.empty(0, ">u4")
    if len(written) == len(lines) and min(map(len, lines), default=9) >= 9:
        return np.asarray(written == sums)
    # Some line has no checksum at all, so that they cannot be read in one go.
    return np.array(
        [line[:9] == b"%08x " % crc for line, crc in zip(lines, sums.tolist(), strict=True)], bool
    )


def _blocks(handle: BinaryIO, start: int) -> Iterator[tuple[int, list[bytes], int]]:
    """Blocks of whole lines with their offset, and the bytes left after the last line break."""
    rest = b""
    while True:
        data = handle.read(_BLOCK_BYTES)
        if not data:
            if rest:
                yield start, [], len(rest)
            return
        lines = (rest + data).split(b"\n")
        rest = lines.pop()
        yield start, lines, len(rest)
        start += sum(map(len, lines)) + len(lines)


def _offsets(start: int, lines: list[bytes]) -> np.ndarray:
    sizes = np.fromiter(map(len, lines), np.int64, len(lines)) + 1
    return start + np.cumsum(sizes) - sizes


def _header(path: Path, line: bytes) -> dict[str, Any]:
    header = decode_line(line)
    if not isinstance(header, dict):
        raise StoreError(f"{path} has no header of a shard; run 'sprint-eval outcomes prune'")
    if header.get("columns") != list(COLUMNS):
        raise StoreError(f"{path} was written by another version of sprint-eval: its columns differ")
    return header


def _parse(path: Path, bodies: list[bytes], codes: dict[str, int]) -> dict[str, np.ndarray]:
    collecting = gc.isenabled()
    # Millions of small lists that all live to the end: the collector would walk them again and again.
    gc.disable()
    try:
        # One call of the JSON parser for the whole block: several times faster than one a line.
        rows = json.loads(b"[" + b",".join(bodies) + b"]")
        if set(map(type, rows)) != {list} or set(map(len, rows)) != {len(COLUMNS)}:
            raise ValueError("a line is no list of the columns")
        question, column, correct, tokens, finish, how, status, _, _ = zip(*rows, strict=True)
        for word in {*how, *status}:
            codes.setdefault(word, len(codes))
        ends = {word: code for code, word in enumerate(FINISH)}
        return {
            "question": np.array(question, np.int32),
            "column": np.array(column, np.int32),
            "correct": np.array(correct, np.int8),
            "tokens": np.array(tokens, np.int32),
            "finish": np.array([ends[word] for word in finish], np.int8),
            "how": np.array([codes[word] for word in how], np.int16),
            "status": np.array([codes[word] for word in status], np.int16),
        }
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise StoreError(f"{path} holds lines that are not cells of this version: {error}") from error
    finally:
        if collecting:
            gc.enable()


def _save_cache(cache: Path, index: FileIndex) -> None:
    facts = {
        "version": _CACHE_VERSION,
        "header": index.header,
        "labels": index.labels,
        "covered": index.covered,
        "edges": _edges(index.path, index.covered),
    }
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {**index.arrays, "facts": np.array(json.dumps(facts))}
    np.savez(buffer, **arrays)
    try:
        write_atomic(cache, buffer.getvalue())
    except OSError:
        # A cache that cannot be written (read-only store, full disk) only costs time.
        return


def _load_cache(cache: Path, path: Path) -> FileIndex | None:
    try:
        with np.load(cache, allow_pickle=False) as data:
            facts = json.loads(str(data["facts"]))
            arrays = {name: data[name] for name in _FIELDS}
        if facts["version"] != _CACHE_VERSION or facts["edges"] != _edges(path, facts["covered"]):
            return None
    except (OSError, EOFError, ValueError, KeyError, TypeError, RuntimeError, zipfile.BadZipFile, zlib.error):
        # An empty or damaged archive raises any of these.
        return None
    return FileIndex(path, facts["header"], arrays, facts["labels"], facts["covered"])


def _edges(path: Path, covered: int, width: int = 1 << 16) -> list[int]:
    """Checksums of the first and the last bytes of what the index covers."""
    with path.open("rb") as handle:
        if os.fstat(handle.fileno()).st_size < covered:
            raise OSError("the file is shorter than its index")
        first = handle.read(min(width, covered))
        handle.seek(max(0, covered - width))
        last = handle.read(min(width, covered))
    return [covered, zlib.crc32(first), zlib.crc32(last)]
