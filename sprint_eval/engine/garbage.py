"""Python's search for reference cycles, kept out of what makes very many objects at a time."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """Inside the block nothing looks for cycles; what has no references is freed all the same.

    A plan is tens of thousands of small objects. Each few hundred of them would set off a search, some
    through all objects there are, which takes a good part of the time of planning. A model's forward
    stays outside: cycles there may hold tensors.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
