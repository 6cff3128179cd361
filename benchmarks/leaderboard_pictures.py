"""Pictures of a leaderboard's site for the documentation: ranking, pairs, and one question.

python benchmarks/leaderboard_pictures.py SITE docs/images [--table TASK] [--question 3]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "leaderboards"))

from browser import open_browser  # noqa: E402

WIDTH = 1440


def main() -> None:
    """Open the page, go to each view, and save what is seen."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("site", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--table", default="", help="the task whose table is shown; the first by default")
    parser.add_argument("--question", type=int, default=3)
    args = parser.parse_args()
    args.images.mkdir(parents=True, exist_ok=True)
    with open_browser(WIDTH, 1000) as browser:
        browser.get((args.site / "index.html").resolve().as_uri())
        table = browser.execute_script(
            "return (SE.board.tables.find((table) => table.task === arguments[0]) || SE.board.tables[0]).id",
            args.table,
        )
        views = {
            "ranking": "view=ranking",
            "curves": "view=curves",
            "cost": "view=cost&cost=total_seconds",
            "pairs": "view=pairs",
            "question": f"view=questions&question={args.question}",
        }
        for name, address in views.items():
            browser.execute_script("location.hash = arguments[0]", f"t={table}&{address}")
            time.sleep(1)
            height = browser.execute_script(
                "return document.querySelector('footer').getBoundingClientRect().top"
            )
            browser.execute_cdp_cmd(
                "Emulation.setDeviceMetricsOverride",
                {"width": WIDTH, "height": min(int(height), 1500), "deviceScaleFactor": 1.5, "mobile": False},
            )
            time.sleep(0.3)
            path = args.images / f"leaderboard-{name}.png"
            browser.save_screenshot(str(path))
            # As few bytes as keep every colour: a palette of 256 would move those of the methods.
            Image.open(path).convert("RGB").save(path, optimize=True)
            browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


if __name__ == "__main__":
    main()
