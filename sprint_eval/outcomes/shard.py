"""Shards: files that one process alone appends to, one line a cell."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import socket
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sprint_eval.errors import StoreError
from sprint_eval.outcomes.cells import COLUMNS, Cell, encode_line
from sprint_eval.outcomes.manifest import QUESTIONS_FILE, Manifest
from sprint_eval.processes import Process

SHARD_FOLDER = "shards"
SHARD_SUFFIX = ".jsonl"


def shard_header(manifest: Manifest, process: Process) -> dict[str, Any]:
    """The first line of a shard: which run it belongs to, who wrote it and who graded it."""
    identity = manifest.identity()
    return {
        "run": manifest.run_hash(),
        "grader_version": manifest.grader_version,
        "process": [process.index, process.count],
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "columns": list(COLUMNS),
        # So that a shard of another run can be told by the field in which the runs differ.
        "identity": identity,
    }


class ShardWriter:
    """Appends cells to a new shard of its own, whole batches at a time.

    The file is locked while it is open, so that others can see that its writer lives.
    """

    def __init__(self, store: Path, manifest: Manifest, process: Process, name: str | None = None) -> None:
        folder = store / SHARD_FOLDER
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        unique = f"{stamp}-{process.index}-of-{process.count}-{secrets.token_hex(4)}"
        self.path = folder / ((name or unique) + SHARD_SUFFIX)
        self.cells = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except OSError as error:
            raise StoreError(f"cannot write to the outcome store {store}: {error.strerror}") from error
        self._size = 0
        lock(self._descriptor)
        try:
            self._append(encode_line(shard_header(manifest, process)))
        except StoreError:
            self.close()
            self.path.unlink(missing_ok=True)
            raise

    def append(self, cells: Iterable[Cell]) -> None:
        """Write cells and hand them to the operating system: after a kill they are still there.

        Raises:
            StoreError: the disk is full or the folder went away; what was written before is whole.
        """
        lines = [cell.encode() for cell in cells]
        self._append(b"".join(lines))
        self.cells += len(lines)

    def close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _append(self, data: bytes) -> None:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            os.fsync(self._descriptor)
        except OSError as error:
            self._cut_back()
            raise StoreError(
                f"cannot write to {self.path}: {error.strerror}; the {self.cells} cells written before are "
                "safe; make room and run the same command again"
            ) from error
        self._size += len(data)

    def _cut_back(self) -> None:
        """Drop a half-written batch; the reader would pass over it in any case."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, self._size)


def lock(descriptor: int) -> None:
    """Mark a file that this process made as in use; a file system without locks is served without."""
    with contextlib.suppress(OSError):
        # Nobody else writes to it, but is_locked() of another process may hold it for a moment: wait.
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def is_locked(path: Path) -> bool:
    """Whether a living process writes to ``path``."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


@contextlib.contextmanager
def maintenance(store: Path) -> Iterator[None]:
    """Keep other maintenance (prune, regrade) away from a store, where its file system has locks.

    The lock is on the questions, which are never written again. A store that is not there or may not be
    written is not locked: what is done with it says so.

    Raises:
        StoreError: other maintenance is at work.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            handle = stack.enter_context((store / QUESTIONS_FILE).open("r+b"))
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoreError(
                    f"another 'outcomes prune' or 'regrade' is at work on {store}; wait for its end"
                ) from None
        yield


def shard_paths(store: Path) -> list[Path]:
    """The store's shards, in an order that does not depend on the file system."""
    return sorted((store / SHARD_FOLDER).glob(f"*{SHARD_SUFFIX}"))


def process_of(path: Path) -> tuple[int, int] | None:
    """The process index and number of processes in a shard's name."""
    parts = path.stem.split("-")
    if len(parts) == 5 and parts[2] == "of" and parts[1].isdigit() and parts[3].isdigit():
        return int(parts[1]), int(parts[3])
    return None
