"""setuptools' build backend, plus two start-up files at the root of every wheel.

lm-eval 0.4.13 knows only the models of its own table, so the installed package registers itself when
``lm_eval`` is imported (``sprint_eval/_hook.py``). What arms that hook at the start of Python is a
``.pth`` line, which Python 3.15 and later replace by a ``.start`` file (PEP 829) and ignore beside one.
setuptools has no setting that puts files at the root of site-packages, least of all for editable
installs; adding them to the finished wheel works for both and needs only the public PEP 517 hooks.
"""

from __future__ import annotations

import base64
import hashlib
import os
import zipfile
from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import (  # noqa: F401
    build_sdist,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

# A .pth line is a single line; a checkout that has gone must not put a traceback on every Python start.
_PTH = (
    r'import sys; exec("try:\n import sprint_eval._hook\nexcept ImportError:\n pass\n'
    r'else:\n sprint_eval._hook.install()")'
)
STARTUP_FILES = {
    "sprint_eval.pth": f"{_PTH}\n",
    "sprint_eval.start": "sprint_eval._hook:install\n",
}


def build_wheel(wheel_directory: str, config_settings: Any = None, metadata_directory: Any = None) -> str:
    """PEP 517: build a wheel and return its file name."""
    name = build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)
    add_startup_files(Path(wheel_directory, name))
    return name


def build_editable(wheel_directory: str, config_settings: Any = None, metadata_directory: Any = None) -> str:
    """PEP 660: build an editable wheel and return its file name."""
    name = build_meta.build_editable(wheel_directory, config_settings, metadata_directory)
    add_startup_files(Path(wheel_directory, name))
    return name


def add_startup_files(wheel: Path) -> None:
    """Rewrite ``wheel`` with :data:`STARTUP_FILES` at its root, listed in its RECORD.

    RECORD is what makes ``pip uninstall`` take the files away again.
    """
    rewritten = wheel.with_name(f"{wheel.name}.tmp")
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(rewritten, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            data = old.read(entry)
            if entry.filename.endswith(".dist-info/RECORD"):
                data = "".join(map(record_line, STARTUP_FILES)).encode() + data
            new.writestr(entry, data)
        for file_name, text in STARTUP_FILES.items():
            new.writestr(zipfile.ZipInfo(file_name, date_time=(1980, 1, 1, 0, 0, 0)), text)
    os.replace(rewritten, wheel)


def record_line(file_name: str) -> str:
    """The RECORD line of one start-up file: name, hash, size."""
    data = STARTUP_FILES[file_name].encode()
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{file_name},sha256={digest},{len(data)}\n"
