"""What a sweep says while it runs: a bar on a terminal, else a plain line a minute."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

from sprint_eval.engine.counters import Counters
from sprint_eval.processes import Process

LINE_SECONDS = 60.0
_ENOUGH = 50  # cells from which the time left can be told


class Progress:
    """Counts cells (questions times head sets) of this process and shows them.

    Args:
        total: cells of this process's part; ``done`` of them stood in the store before.
        counters: the engine's counters as they are now.
        process: this process, named where there are several.
        stream: where to show it.
        clock: seconds; replaced in tests.
    """

    def __init__(
        self,
        total: int,
        done: int,
        counters: Callable[[], Counters],
        process: Process = Process(),  # noqa: B008 - frozen
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total, self._before, self._decoded = total, done, 0
        self._counters, self._process, self._clock = counters, process, clock
        self._stream = stream if stream is not None else sys.stderr
        self._started = self._last_line = clock()
        self._bar: Any = self._open_bar() if self._stream.isatty() else None

    def decoded(self, cells: int) -> None:
        """``cells`` more have been decoded."""
        self._decoded += cells
        if self._bar is not None:
            self._bar.update(cells)
            self._bar.set_postfix_str(self._rates(), refresh=False)
        elif self._clock() - self._last_line >= LINE_SECONDS:
            self._line()

    def close(self) -> None:
        """Show the last state."""
        if self._bar is not None:
            self._bar.close()
        else:
            self._line()

    def summary(self) -> str:
        """Cells done, tokens a second, share from drafts and time left, as one line."""
        done = self._before + self._decoded
        elapsed = self._clock() - self._started
        parts = [f"{done}/{self._total} questions x heads ({done / max(self._total, 1):.1%})", self._rates()]
        left = self._total - done
        if left and self._decoded >= _ENOUGH:
            parts.append(f"{duration(left * elapsed / self._decoded)} left")
        else:
            parts.append(f"{duration(elapsed)} so far")
        return ", ".join(part for part in parts if part)

    def _rates(self) -> str:
        counters, elapsed = self._counters(), max(self._clock() - self._started, 1e-9)
        text = f"{counters.generated_tokens / elapsed:.0f} tokens/s"
        if counters.drafted_tokens:
            # Tokens of unfinished answers are accepted before they are counted as generated.
            share = counters.accepted_tokens / max(counters.generated_tokens, counters.accepted_tokens)
            text += f", {share:.0%} from drafts"
        return text

    def _line(self) -> None:
        self._last_line = self._clock()
        who = f" {self._process.index + 1}/{self._process.count}" if self._process.count > 1 else ""
        print(f"{time.strftime('%H:%M:%S')} sweep{who}: {self.summary()}", file=self._stream, flush=True)

    def _open_bar(self) -> Any:
        from tqdm import tqdm

        return tqdm(
            total=self._total,
            initial=self._before,
            desc="sweep",
            unit="cell",
            file=self._stream,
            disable=self._process.index != 0,
            dynamic_ncols=True,
        )


def duration(seconds: float) -> str:
    """``"45 s"``, ``"12 min"``, ``"3 h 05 min"`` or ``"2 d 4 h"``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"
