"""How long a large leaderboard takes: 100 made-up runs of 1,319 questions with 8 candidates each.

    python benchmarks/leaderboard.py --work /tmp/board [--runs 100] [--questions 1319] [--candidates 8]
        [--json benchmarks/results/leaderboard.json]

Prints one JSON object, and keeps it in a file where asked: seconds, processor time and peak memory of
the build (all its processes together), the machine's load before it, the size of the largest file,
and, where Chromium is installed, how long the page takes until it answers.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "leaderboards"))

import synthetic  # noqa: E402

PROMPT = "Solve the problem. " + "Worked example: a box holds 12 pens, so 3 boxes hold 36 pens. " * 24
WORDS = (
    "first",
    "then",
    "we",
    "add",
    "take away",
    "the total",
    "each pen",
    "so that",
    "multiply by",
    "gives",
)


def main() -> None:
    """Make the runs where they are missing, build, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--questions", type=int, default=1319)
    parser.add_argument("--candidates", type=int, default=8)
    parser.add_argument("--arguments", default="", help="more arguments for the command, in one text")
    parser.add_argument("--json", type=Path, help="also write the figures into this file")
    args = parser.parse_args()
    results = args.work / f"results-{args.runs}-{args.questions}-{args.candidates}"
    if not results.exists():
        make_runs(results, args.runs, args.questions, args.candidates)
    out = args.work / "site"
    shutil.rmtree(out, ignore_errors=True)
    figures: dict[str, Any] = {
        "machine": f"{processor()}, {os.cpu_count()} cores",
        "runs": args.runs,
        "questions": args.questions,
        "candidates": args.candidates,
        "samples MB": round(sum(path.stat().st_size for path in results.rglob("*.jsonl")) / 1e6),
        **build(results, out, args.arguments.split()),
        **sizes(out),
        **page(out),
    }
    print(json.dumps(figures, indent=2))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def processor() -> str:
    """The processor's name as Linux knows it, else its kind."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def make_runs(results: Path, runs: int, questions: int, candidates: int) -> None:
    """Runs of rising skill, each candidate with a text of its own of about 300 characters."""
    rng = np.random.default_rng(0)
    synthetic.PROMPT = PROMPT
    draft = results.with_suffix(".part")
    shutil.rmtree(draft, ignore_errors=True)
    for index in range(runs):
        run = synthetic.FakeRun(
            "pruned-head",
            f"pretrained=org/model,pool=pool{index}",
            {"method": "pruned-head", "pool": [f"L{index % 28}H{head}" for head in range(candidates)]},
            skill=0.2 + 0.5 * index / runs,
            n=candidates,
            questions=questions,
            seed=index,
            date=1.76e9 + index,
            heads=[f"L{index % 28}H{head}" for head in range(candidates)],
        )
        texts = {
            (question, k): " ".join(rng.choice(WORDS, size=60)) + f" The answer is {question}."
            for question in range(questions)
            for k in range(candidates)
        }
        synthetic.write_run(draft / f"org__model-{index}", run, texts)
        print(f"made run {index + 1} of {runs}", file=sys.stderr)
    draft.rename(results)


def build(results: Path, out: Path, more: list[str]) -> dict[str, float]:
    """Run the command; memory is the largest sum over its processes that a look each 0.1 s finds."""
    command = [sys.executable, "-m", "sprint_eval.cli", "leaderboard", str(results), "--out", str(out), *more]
    load = round(os.getloadavg()[0], 1)
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak = [0]
    watcher = threading.Thread(target=_watch, args=(process, peak))
    watcher.start()
    if process.wait() != 0:
        raise SystemExit("the build failed")
    seconds = time.perf_counter() - start
    watcher.join()
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "build s": round(seconds, 1),
        "processor s": round(spent.ru_utime + spent.ru_stime, 1),
        "load before": load,
        "peak memory MB": round(peak[0] / 1e6),
    }


def _watch(process: subprocess.Popen[bytes], peak: list[int]) -> None:
    while process.poll() is None:
        peak[0] = max(peak[0], sum(_resident(pid) for pid in _family(process.pid)))
        time.sleep(0.1)


def _family(pid: int) -> list[int]:
    family = [pid]
    for parent in family:
        try:
            text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
        except OSError:
            continue
        family.extend(int(child) for child in text.split())
    return family


def _resident(pid: int) -> int:
    """Proportional set size: pages that processes share count once."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def sizes(out: Path) -> dict[str, float]:
    """The page and its parts."""
    parts = [out / "index.html", *(out / "data").iterdir()]
    largest = max(parts, key=lambda path: path.stat().st_size)
    return {
        "page MB": round((out / "index.html").stat().st_size / 1e6, 2),
        "largest part": largest.name,
        "largest part MB": round(largest.stat().st_size / 1e6, 2),
        "parts": len(parts) - 1,
        "site MB": round(sum(path.stat().st_size for path in parts) / 1e6, 1),
    }


def page(out: Path) -> dict[str, Any]:
    """Milliseconds from opening the page to its being ready, and to a question's answers."""
    if shutil.which("chromium") is None or shutil.which("chromedriver") is None:
        return {"page": "not measured: no Chromium"}
    from browser import open_browser

    with open_browser() as browser:
        browser.get((out / "index.html").as_uri())
        ready = browser.execute_script("return performance.getEntriesByName('ready')[0].startTime")
        waits = {}
        for name, address, wanted in (
            ("pairs", "#view=pairs", "table.matrix"),
            ("questions", "#view=questions", "ol.questions"),
            ("answers", "#view=questions&question=700", ".candidate"),
        ):
            start = time.perf_counter()
            browser.execute_script("location.hash = arguments[0]", address)
            while not browser.execute_script("return document.querySelector(arguments[0]) !== null", wanted):
                time.sleep(0.01)
            waits[f"{name} ms"] = round(1000 * (time.perf_counter() - start))
    return {"page ready ms": round(ready), **waits}


if __name__ == "__main__":
    main()
