"""Package list of sprint-eval: four top-level folders installed under the one name ``sprint_eval``.

Everything else stands in pyproject.toml. Packages are found here because setuptools' own
discovery looks under a single root.
"""

from pathlib import Path

from setuptools import find_packages, setup

FOLDERS = {
    "sprint_eval": "sprint_eval",
    "sprint_eval.leaderboards": "leaderboards",
    "sprint_eval.model_wrappers": "model_wrappers",
    "sprint_eval.tasks": "tasks",
}


def packages() -> list[str]:
    """Every importable package, by its installed name."""
    root = Path(__file__).resolve().parent
    return [
        name
        for package, folder in FOLDERS.items()
        for name in [package, *(f"{package}.{inner}" for inner in find_packages(str(root / folder)))]
    ]


def data() -> dict[str, list[str]]:
    """Every file of a package that is not Python: YAMLs, templates, scripts of the page."""
    found: dict[str, list[str]] = {}
    for package, folder in FOLDERS.items():
        root = Path(__file__).resolve().parent / folder
        inner = [path.relative_to(root) for path in root.rglob("*") if path.is_file()]
        found[package] = [
            path.as_posix()
            for path in inner
            if path.suffix not in (".py", ".pyc") and not any(part.startswith(".") for part in path.parts)
        ]
    return found


setup(packages=packages(), package_dir=FOLDERS, package_data=data(), include_package_data=False)
