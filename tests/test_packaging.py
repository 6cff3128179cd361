"""The wheel and the editable install: what they hold, that they work, and that uninstalling is clean."""

from __future__ import annotations

import base64
import csv
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import sprint_eval

tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no TOML reader")
ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {name: f"sprint_eval/{name}" for name in ("leaderboards", "model_wrappers", "tasks")}
FOLDERS["sprint_eval"] = "sprint_eval"
DIST_INFO = f"sprint_eval-{sprint_eval.__version__}.dist-info"


def source_copy(folder: Path) -> Path:
    """What a build needs of the source tree, so that builds leave no trace in the tree itself."""
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", ".mypy_cache")
    for name in (*FOLDERS, "build_backend"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def pip(*arguments: str) -> str:
    """pip without network or settings of the machine."""
    command = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return source_copy(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this source tree."""
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "-w", str(folder), str(source))
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture
def bare_venv(tmp_path: Path) -> Path:
    """An environment with the requirements of this one, but without sprint-eval and its start-up files."""
    command = [sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")]
    subprocess.run(command, check=True)
    # A path line adds the folder without running the start-up files in it.
    (site_packages(tmp_path / "venv") / "requirements.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return tmp_path / "venv"


def site_packages(venv: Path) -> Path:
    return venv / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"


def python(venv: Path, code: str) -> str:
    """Output of ``code`` run in ``venv``."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [venv / "bin" / "python", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=venv, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


def installed_files(venv: Path) -> set[str]:
    """Every file of the environment, caches of bytecode left out."""
    return {
        str(path.relative_to(venv))
        for path in venv.rglob("*")
        if not path.is_dir() and "__pycache__" not in path.parts
    }


def test_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    for folder, package in FOLDERS.items():
        for path in (ROOT / folder).rglob("*"):
            relative = path.relative_to(ROOT / folder)
            if path.is_file() and not any(part.startswith((".", "__pycache__")) for part in relative.parts):
                assert f"{package}/{relative.as_posix()}" in held, f"{path} is missing"


def test_wheel_puts_nothing_generic_into_site_packages(wheel: Path) -> None:
    held = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in held} == {
        "sprint_eval",
        "sprint_eval.pth",
        "sprint_eval.start",
        DIST_INFO,
    }
    assert not [name for name in held if "/tests/" in name or name.endswith((".pyc", "~"))]


def test_record_lists_every_file_with_its_hash(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        rows = list(csv.reader(archive.read(f"{DIST_INFO}/RECORD").decode().splitlines()))
        assert sorted(row[0] for row in rows) == sorted(archive.namelist())
        for name, digest, size in rows:
            if name.endswith("/RECORD"):
                assert (digest, size) == ("", "")
                continue
            data = archive.read(name)
            expected = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            assert (digest, size) == (f"sha256={expected}", str(len(data)))


def test_start_up_files_say_the_same(wheel: Path) -> None:
    """Python before 3.15 runs the .pth line, later ones call what the .start file names."""
    with zipfile.ZipFile(wheel) as archive:
        line = archive.read("sprint_eval.pth").decode()
        start = archive.read("sprint_eval.start").decode()
    assert line.startswith("import ")
    assert line.count("\n") == 1
    for entry in start.split():
        module, function = entry.split(":")
        assert f"{module}.{function}()" in line


@pytest.mark.slow
def test_wheel_installs_works_and_uninstalls_without_trace(wheel: Path, bare_venv: Path) -> None:
    before = installed_files(bare_venv)
    pip("--python", str(bare_venv), "install", "--quiet", "--no-deps", "--no-index", str(wheel))
    code = (
        "import sprint_eval, lm_eval.models\n"
        "from lm_eval.api.registry import model_registry\n"
        "print(sprint_eval.__file__, 'sprint-router' in model_registry)"
    )
    assert python(bare_venv, code) == f"{site_packages(bare_venv) / 'sprint_eval' / '__init__.py'} True"
    shown = subprocess.run(
        [bare_venv / "bin/sprint-eval", "--version"], capture_output=True, text=True, check=True
    )
    assert shown.stdout == f"sprint-eval {sprint_eval.__version__}\n"
    pip("--python", str(bare_venv), "uninstall", "--quiet", "--yes", "sprint-eval")
    assert installed_files(bare_venv) == before
    assert python(bare_venv, "import lm_eval.models; print('runs')") == "runs"


@pytest.mark.slow
def test_editable_install_works_and_uninstalls_without_trace(tmp_path: Path, bare_venv: Path) -> None:
    source = source_copy(tmp_path / "source")
    before = installed_files(bare_venv)
    options = ("--quiet", "--no-deps", "--no-index", "--no-build-isolation")
    pip("--python", str(bare_venv), "install", *options, "--editable", str(source))
    code = (
        "import sprint_eval.cli, sprint_eval.leaderboards, sprint_eval.model_wrappers, sprint_eval.tasks\n"
        "import lm_eval.models\n"
        "from lm_eval.api.registry import model_registry\n"
        "print(sprint_eval.__file__, sprint_eval.tasks.__file__, 'sprint-router' in model_registry)"
    )
    expected = f"{source / 'sprint_eval' / '__init__.py'} {source / 'tasks' / '__init__.py'} True"
    assert python(bare_venv, code) == expected
    assert not list(source.glob("*.egg-info"))
    # A source tree that has gone must not disturb other uses of the environment.
    moved = source.rename(source.with_name("moved"))
    try:
        assert python(bare_venv, "print('runs')") == "runs"
    finally:
        moved.rename(source)
    pip("--python", str(bare_venv), "uninstall", "--quiet", "--yes", "sprint-eval")
    assert installed_files(bare_venv) == before


def test_constraints_fit_the_ranges() -> None:
    """Every requirement has a tested pin, and the pin lies in its range."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [line.split("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines()]
    pins = {canonicalize_name(pin.name): pin for pin in map(Requirement, filter(None, lines))}
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    for requirement in (Requirement(text) for group in groups for text in group):
        if canonicalize_name(requirement.name) == "sprint-eval":
            continue
        pin = pins[canonicalize_name(requirement.name)]
        (version,) = [spec.version for spec in pin.specifier]
        assert requirement.specifier.contains(version), f"{pin} is outside {requirement}"


def test_version_stands_in_one_way_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == sprint_eval.__version__
    assert f"\nversion: {sprint_eval.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
