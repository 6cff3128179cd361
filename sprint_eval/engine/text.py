"""From token ids to an answer's text, and when an answer ends: as lm-eval's ``hf`` has it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sprint_eval.engine.settings import DecodingSettings

# Tokens looked at beyond a stop string's own: the model may spell it with other, shorter tokens.
_LOOKBACK = 2
_REMEMBERED = 2**16  # endings of answers; siblings have most of theirs in common


class StopChecker:
    """Tells whether an answer in the making has ended."""

    def __init__(self, tokenizer: Any, stop: Sequence[str], settings: DecodingSettings) -> None:
        self._tokenizer = tokenizer
        self._ends = frozenset(settings.end_tokens)
        self._windows = [
            (text, len(tokenizer.encode(text, add_special_tokens=False)) + _LOOKBACK) for text in stop
        ]
        self._widest = max((window for _, window in self._windows), default=0)
        self._stopped = lru_cache(_REMEMBERED)(self._completes_stop)

    def ended(self, tokens: Sequence[int]) -> bool:
        """Whether the last of the generated ``tokens`` is an end token or completes a stop string."""
        if not tokens:
            return False
        if tokens[-1] in self._ends:
            return True
        return bool(self._windows) and self._stopped(tuple(tokens[-self._widest :]))

    def _completes_stop(self, tail: tuple[int, ...]) -> bool:
        return any(text in self._tokenizer.decode(list(tail[-window:])) for text, window in self._windows)

    def first_end(self, tokens: Sequence[int], start: int = 0) -> int | None:
        """Number of tokens up to and with the first end at or after position ``start``, if any."""
        for length in range(start + 1, len(tokens) + 1):
            if self.ended(tokens[:length]):
                return length
        return None


def answer_text(
    tokenizer: Any, tokens: Sequence[int], stop: Sequence[str], settings: DecodingSettings
) -> str:
    """The answer's text: without special tokens and thinking, cut before the first stop string."""
    think_end = settings.think_end_token
    kept = list(tokens)
    if isinstance(think_end, int) and think_end in kept:
        kept = kept[len(kept) - kept[::-1].index(think_end) :]
    text: str = tokenizer.decode(kept, skip_special_tokens=True)
    if isinstance(think_end, int):
        text = text.lstrip()
    elif think_end:
        text = text.split(think_end)[-1].lstrip()
    for term in stop:
        text = text.split(term)[0]
    return text
