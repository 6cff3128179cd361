"""``make bench``: the engine beside its peers. Arguments are those of ``benchmarks/engine.py``."""

from __future__ import annotations

import runpy
from pathlib import Path

if __name__ == "__main__":
    runpy.run_path(str(Path(__file__).with_name("engine.py")), run_name="__main__")
