"""A line a minute where there is no terminal, with what a long sweep's owner wants to know."""

from __future__ import annotations

import io

from sprint_eval.engine.counters import Counters
from sprint_eval.outcomes import Process
from sprint_eval.sweep.progress import Progress, duration


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_line_a_minute():
    clock, stream, counters = Clock(), io.StringIO(), Counters()
    progress = Progress(1000, 100, lambda: counters, Process(1, 4), stream, clock)
    for _ in range(30):
        clock.now += 10
        counters.generated_tokens += 500
        counters.drafted_tokens += 400
        counters.accepted_tokens += 300
        progress.decoded(10)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 5
    assert (
        "sweep 2/4: 160/1000 questions x heads (16.0%), 50 tokens/s, 60% from drafts, 14 min left" in lines[0]
    )
    progress.close()
    assert "400/1000" in stream.getvalue().splitlines()[-1]


def test_nothing_is_divided_by_nothing():
    progress = Progress(0, 0, Counters, stream=io.StringIO(), clock=Clock())
    assert progress.summary().startswith("0/0 questions x heads (0.0%)")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_on_a_terminal():
    stream = Terminal()
    progress = Progress(100, 40, Counters, stream=stream)
    progress.decoded(60)
    progress.close()
    assert "100/100" in stream.getvalue()
    assert "\n" not in stream.getvalue().strip()


def test_durations():
    words = [duration(s) for s in (0, 45, 120, 3600, 3 * 3600 + 300, 3 * 86400)]
    assert words == ["0 s", "45 s", "2 min", "1 h 00 min", "3 h 05 min", "3 d 0 h"]
