"""The comparing process: one fresh child a pair, under hard limits of processor time and memory.

Runs as a process of its own (see :mod:`sprint_eval.grading.pool`). It imports math-verify once and
then forks a child for every pair, so that each pair meets the same pristine state: its verdict
depends neither on the pairs before it nor on how many workers there are, and a child that hangs,
crashes or eats memory takes nothing with it. Single-threaded, so forking is safe.

Protocol: a JSON object a line on standard input (``gold``, ``answer``), a word a line on standard
output (``equal``, ``different``, ``timeout``, ``memory``, ``error``). Parsed expressions are never
printed, converted to text or sent anywhere: that alone can take for ever.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
import time
from typing import Any

_WORDS = {b"1": "equal", b"0": "different", b"m": "memory"}
# Processor time is what the limit counts; the clock only ends a child that sleeps.
_CLOCK_FACTOR = 12.0


def main() -> None:
    """Serve pairs until standard input closes; arguments: seconds of processor time, bytes of memory."""
    seconds, memory = float(sys.argv[1]), int(sys.argv[2])
    requests = os.fdopen(os.dup(0), "rb", buffering=0)
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    silence = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(silence, descriptor)
    _warm_up()
    while line := requests.readline():
        request = json.loads(line)
        word = _in_child(request["gold"], request["answer"], seconds, memory, requests.fileno())
        replies.write(word + "\n")


def _warm_up() -> None:
    """Import and exercise the parser once, so that the children inherit its tables."""
    for gold, answer in (("\\frac{1}{2}", "0.5"), ("x^2+1", "1+x^2"), ("(1,2]", "(1,2]"), ("\\sqrt{8}", "3")):
        compare(gold, answer)


def compare(gold: str, answer: str) -> bool:
    """Whether math-verify finds two expressions equal; no limits here, the caller sets them."""
    from math_verify import parse, verify
    from sympy.core.random import seed

    seed(0)
    left = parse(_as_math(gold), parsing_timeout=None)
    right = parse(_as_math(answer), parsing_timeout=None)
    return bool(verify(left, right, timeout_seconds=None))


def _as_math(expression: str) -> str:
    return "$" + expression.replace("$", " ").replace("\n", " ").strip() + "$"


def _in_child(gold: str, answer: str, seconds: float, memory: int, watched: int) -> str:
    """Compare in a fork; ``watched`` is the descriptor whose hang-up means that the caller is gone."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        _child(gold, answer, seconds, memory, send)
    os.close(send)
    poller = select.poll()
    poller.register(receive, select.POLLIN | select.POLLHUP)
    poller.register(watched, 0)  # reports a hang-up only
    deadline = time.monotonic() + seconds * _CLOCK_FACTOR
    timed_out = False
    while True:
        ready = poller.poll(max(0.0, deadline - time.monotonic()) * 1000)
        if any(descriptor == watched for descriptor, _ in ready):
            os.kill(child, signal.SIGKILL)
            os._exit(0)
        if ready:
            break
        timed_out = True
        os.kill(child, signal.SIGKILL)
        break
    said = b"" if timed_out else os.read(receive, 1)
    os.close(receive)
    _, status = os.waitpid(child, 0)
    return _WORDS.get(said) or _how_it_ended(status, timed_out)


def _how_it_ended(status: int, timed_out: bool) -> str:
    ended_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    if timed_out or ended_by in (signal.SIGPROF, signal.SIGXCPU):
        return "timeout"
    # The kernel's out-of-memory killer and an allocator that gives up.
    return "memory" if ended_by in (signal.SIGKILL, signal.SIGABRT) else "error"


def _child(gold: str, answer: str, seconds: float, memory: int, send: int) -> Any:
    """Never returns."""
    said = b"e"
    try:
        _die_with_parent()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        # A new process has used no processor time yet; SIGPROF's default action ends it even inside C code.
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 2, int(seconds) + 3))
        said = b"1" if compare(gold, answer) else b"0"
    except MemoryError:
        said = b"m"
    except BaseException:
        said = b"e"
    finally:
        os.write(send, said)
        os._exit(0)


def _die_with_parent() -> None:
    """Ask Linux to end this process with its parent; elsewhere its processor limit must do."""
    if sys.platform.startswith("linux"):
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
