"""What an answer is, beyond right or wrong: empty, repeating itself, malformed, or just wrong."""

from __future__ import annotations

from collections.abc import Iterable

from sprint_eval.outcomes import Cell

KINDS = ("right", "wrong", "malformed", "repeating", "empty")
_MIN_LOOP = 8  # characters: "11111" may be an answer
_MAX_PERIOD = 200


def kind_of(cell: Cell) -> str:
    """One of :data:`KINDS`, the first that fits.

    ``right``: graded so, whatever it looks like. ``empty``: nothing but white space. ``repeating``:
    half of the text or more is a loop of three turns or more at its end. ``malformed``: no answer
    could be extracted or compared. ``wrong``: an answer, but not the right one.
    """
    if cell.correct:
        return "right"
    if not cell.text.strip():
        return "empty"
    if is_repeating(cell.text):
        return "repeating"
    if cell.extracted is None or cell.status != "ok":
        return "malformed"
    return "wrong"


def is_repeating(text: str) -> bool:
    """Whether the text ends in a loop of at least three turns that makes up half of it or more."""
    text = text.strip()
    size = len(text)
    if size < _MIN_LOOP:
        return False
    for period in range(1, min(_MAX_PERIOD, size // 3) + 1):
        needed = max(3 * period, (size + 1) // 2, _MIN_LOOP)
        # A loop of this period over the last `needed` characters: each equals the one a period before.
        if text[-needed + period :] == text[-needed : size - period]:
            return True
    return False


def count_kinds(cells: Iterable[Cell]) -> dict[str, int]:
    """How many cells are of each kind."""
    counts = dict.fromkeys(KINDS, 0)
    for cell in cells:
        counts[kind_of(cell)] += 1
    return counts
