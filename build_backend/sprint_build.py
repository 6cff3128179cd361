"""setuptools' build backend, plus the start-up files that a wheel of sprint-eval needs at its root.

lm-eval 0.4.13 knows only the models of its own table, so the installed package extends ``lm_eval`` when
that is imported (``sprint_eval/_hook.py``). What arms the hook at the start of Python is a line in a
``.pth`` file, which Python 3.15 and later replace by a ``.start`` file (PEP 829) and ignore beside one.
setuptools has no setting for files at the root of site-packages, least of all in editable installs, so
they are added to the finished wheel: the same for both, by the public hooks of PEP 517 and PEP 660 alone.

An editable install gets its own import finder too. setuptools' imports pathlib and what comes with it:
10 ms at every start of Python, where this one takes under 1 ms.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import (  # noqa: F401
    build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

HOOK = "sprint_eval._hook"
FINDER = "_sprint_eval_editable"
# The packages of setup.py; each stands in a folder of the root that is called like the last part of its name.
EDITABLE = ("sprint_eval", "sprint_eval.leaderboards", "sprint_eval.model_wrappers", "sprint_eval.tasks")
FINDER_SOURCE = '''"""Imports sprint_eval from its source tree (editable install)."""

import sys
from importlib.machinery import PathFinder

ROOT = {root!r}
PACKAGES = {packages!r}


class Finder:
    """Finds the packages that lie side by side in the source tree."""

    @staticmethod
    def find_spec(fullname, path=None, target=None):
        if fullname in PACKAGES:
            return PathFinder.find_spec(fullname, [ROOT], target)
        return None


def install():
    """Put the finder behind all others, once."""
    if Finder not in sys.meta_path:
        sys.meta_path.append(Finder)
'''


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    """PEP 517: nothing beyond pyproject.toml.

    setuptools' own hook would leave an egg-info folder in the source tree, whose entry points then hide those
    of the installed package from whoever runs Python there.
    """
    return []


get_requires_for_build_editable = get_requires_for_build_sdist = get_requires_for_build_wheel


def build_wheel(wheel_directory: str, config_settings: Any = None, metadata_directory: Any = None) -> str:
    """PEP 517: build a wheel and return its file name."""
    name = build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)
    rewrite(Path(wheel_directory, name), startup_files(HOOK))
    return name


def build_editable(wheel_directory: str, config_settings: Any = None, metadata_directory: Any = None) -> str:
    """PEP 660: build an editable wheel and return its file name."""
    name = build_meta.build_editable(wheel_directory, config_settings, metadata_directory)
    root = Path(__file__).resolve().parent.parent
    finder = FINDER_SOURCE.format(root=str(root), packages=EDITABLE)
    files = {f"{FINDER}.py": finder, **startup_files(FINDER, HOOK)}
    rewrite(Path(wheel_directory, name), files, drop="__editable__")
    return name


def startup_files(*modules: str) -> dict[str, str]:
    """File name → text of what has Python call ``install()`` of each module when it starts.

    A ``.pth`` line is one physical line. A source tree that has gone must not put a traceback on every
    start of Python, hence the ``try``.
    """
    calls = "".join(rf"\n import {module}\n {module}.install()" for module in modules)
    return {
        "sprint_eval.pth": f'import sys; exec("try:{calls}\\nexcept ImportError:\\n pass")\n',
        "sprint_eval.start": "".join(f"{module}:install\n" for module in modules),
    }


def rewrite(wheel: Path, add: dict[str, str], drop: str | None = None) -> None:
    """Add files to the root of ``wheel``, drop root files whose name starts with ``drop``, renew its RECORD.

    RECORD is what makes ``pip uninstall`` take every file away again.
    """
    with zipfile.ZipFile(wheel) as old:
        entries = [(entry, old.read(entry)) for entry in old.infolist()]
    kept = [(entry, data) for entry, data in entries if not (drop and entry.filename.startswith(drop))]
    record = next(entry.filename for entry, _ in kept if entry.filename.endswith(".dist-info/RECORD"))
    kept = [(entry, data) for entry, data in kept if entry.filename != record]
    kept += [(zipfile.ZipInfo(name), text.encode("utf-8")) for name, text in add.items()]
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as new:
        for entry, data in kept:
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = entry.external_attr or 0o644 << 16
            new.writestr(entry, data)
        new.writestr(record, record_text(record, {entry.filename: data for entry, data in kept}))


def record_text(record: str, files: dict[str, bytes]) -> str:
    """RECORD's lines: name, hash and size of each file, and its own name without them."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode("ascii")
        writer.writerow([name, f"sha256={digest}", len(data)])
    writer.writerow([record, "", ""])
    return text.getvalue()
