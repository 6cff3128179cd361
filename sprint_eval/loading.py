"""Model folders that cannot be loaded: whatever the loaders raise, as one error of ours."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from sprint_eval.errors import DataError


@contextlib.contextmanager
def loading(what: str) -> Iterator[None]:
    """Turn what ``transformers`` raises of a missing, broken or half-copied folder into a :class:`DataError`.

    Args:
        what: what is loaded, for the message: ``"model 'runs/a/student'"``.
    """
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, ImportError, RuntimeError, SafetensorError, StrictDataclassError) as error:
        raise DataError(f"{what} cannot be loaded: {error}") from error
