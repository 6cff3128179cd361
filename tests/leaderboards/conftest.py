"""Fixtures of the leaderboard tests."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

# The generator of result folders is shared with the benchmark, so it is a plain module beside the tests.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def browser() -> Iterator[Chrome]:
    """One headless Chromium for all tests; without one they are skipped, and fail in CI."""
    from browser import open_browser

    if shutil.which("chromium") is None or shutil.which("chromedriver") is None:
        message = "no Chromium with its driver: apt-get install chromium chromium-driver"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with open_browser() as driver:
        yield driver


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a page of five methods and 60 questions."""
    from synthetic import five_methods

    from sprint_eval.leaderboards.build import build

    folder = tmp_path_factory.mktemp("site")
    five_methods(folder / "results", questions=60)
    build([folder / "results"], folder / "out", reference="hf greedy", plots=False, instances=False)
    return (folder / "out" / "index.html").as_uri()
