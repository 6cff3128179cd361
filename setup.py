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
DATA = ["css", "csv", "html", "j2", "js", "json", "jsonl", "md", "svg", "txt", "yaml"]


def packages() -> list[str]:
    """Every importable package, by its installed name."""
    root = Path(__file__).resolve().parent
    return [
        name
        for package, folder in FOLDERS.items()
        for name in [package, *(f"{package}.{inner}" for inner in find_packages(str(root / folder)))]
    ]


setup(
    packages=packages(),
    package_dir=FOLDERS,
    package_data={"": ["py.typed", *(f"**/*.{suffix}" for suffix in DATA)]},
    include_package_data=False,
)
