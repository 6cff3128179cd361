"""A headless Chromium for tests and the benchmark."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selenium.webdriver import Chrome, ChromeOptions

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


def _start(options: ChromeOptions) -> Chrome:
    """Start, and once more where a busy machine was too slow the first time."""
    from selenium.common.exceptions import SessionNotCreatedException
    from selenium.webdriver import Chrome
    from selenium.webdriver.chrome.service import Service

    try:
        return Chrome(options=options, service=Service(str(shutil.which("chromedriver"))))
    except SessionNotCreatedException:
        return Chrome(options=options, service=Service(str(shutil.which("chromedriver"))))


@contextmanager
def open_browser(width: int = 1280, height: int = 900) -> Iterator[Chrome]:
    """A browser with a profile of its own, closed at the end."""
    from selenium import webdriver

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        for flag in (*FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
            options.add_argument(flag)
        options.binary_location = str(shutil.which("chromium"))
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = _start(options)
        try:
            yield driver
        finally:
            driver.quit()


def visit(browser: Chrome, url: str, wanted: str = "main *") -> None:
    """Load afresh: a change of the hash alone would keep the page."""
    browser.get("about:blank")
    browser.get(url)
    wait(browser, wanted)


def wait(browser: Chrome, css: str, seconds: float = 10.0) -> Any:
    """The first element that fits, once it is there."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = browser.find_elements("css selector", css)
        if found:
            return found[0]
        time.sleep(0.02)
    raise AssertionError(f"{css} did not come; console: {browser.get_log('browser')}")


def click(browser: Chrome, css: str) -> None:
    """Click an element, scrolled into view."""
    element = wait(browser, css)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", element)
    element.click()


def until(expected: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until something holds: the page draws itself again a moment after a click or a key."""
    end = time.monotonic() + seconds
    while not expected():
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(0.02)


def texts(browser: Chrome, css: str) -> list[str]:
    return browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent.trim())", css
    )


def quiet(browser: Chrome) -> None:
    """Nothing was reported on the console, neither errors nor breaches of the policy."""
    assert browser.get_log("browser") == []
