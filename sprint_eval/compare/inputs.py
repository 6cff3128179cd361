"""Whether the files that a run's arguments only name are still those of when it was done."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path


def files_fact(values: Iterable[str]) -> tuple[str, ...]:
    """Text that changes when a file or folder among ``values`` does; empty where none is one.

    A file is told by its name, size and time of change, a folder by those of the files in it: reading
    a model's weights for each look would take longer than many a run. Copying a folder therefore
    counts as a change, which costs nothing but the runs themselves: answers come from the store.
    """
    digest = hashlib.sha256()
    found = False
    for path in sorted({Path(value) for value in values if value}):
        if not path.exists():
            continue
        found = True
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        for file in files:
            if file.is_file():
                facts = file.stat()
                digest.update(f"{file}\0{facts.st_size}\0{facts.st_mtime_ns}\0".encode())
    return (f"files {digest.hexdigest()[:16]}",) if found else ()
