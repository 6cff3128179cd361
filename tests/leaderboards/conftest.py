"""Fixtures of the leaderboard tests."""

from __future__ import annotations

import sys
from pathlib import Path

# The generator of result folders is shared with the benchmark, so it is a plain module beside the tests.
sys.path.insert(0, str(Path(__file__).parent))
