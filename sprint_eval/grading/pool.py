"""Comparing processes, started when first needed, and gone with the process that started them."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import threading
import weakref
from collections.abc import Sequence
from typing import IO

CPU_SECONDS = 5.0
MEMORY_BYTES = 1 << 30
_CLOCK_BACKSTOP = 90.0  # seconds without a word from a worker that has its own limits: it is lost

# The worker sees the modules that its parent sees, whatever the working directory holds.
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); "
    "from sprint_eval.grading.worker import main; main()"
)
_ENVIRONMENT = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


class _Worker:
    """One comparing process and its pipes."""

    def __init__(self, cpu_seconds: float, memory_bytes: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _BOOT, json.dumps(sys.path), str(cpu_seconds), str(memory_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,  # a line held back in a buffer would be one that select() never reports
            env={**os.environ, **_ENVIRONMENT},
        )
        self.job: int | None = None
        _alive.add(self)

    @property
    def replies(self) -> IO[bytes]:
        assert self.process.stdout is not None
        return self.process.stdout

    def send(self, job: int, gold: str, answer: str) -> None:
        self.job = job
        line = json.dumps({"gold": gold, "answer": answer}).encode("ascii") + b"\n"
        assert self.process.stdin is not None
        # Where its end of the pipe is closed the worker is lost, and reading finds that out.
        with contextlib.suppress(OSError):
            self.process.stdin.write(line)

    def receive(self) -> str:
        """The next word; empty where the process is gone."""
        return self.replies.readline().decode("ascii", "replace").strip()

    def close(self) -> None:
        self.drop_pipes()
        self.process.kill()
        self.process.wait()
        _alive.discard(self)

    def drop_pipes(self) -> None:
        """Close this process's ends, which ends the worker unless another process holds them too."""
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


_alive: weakref.WeakSet[_Worker] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    # A fork of this process must neither talk to its parent's workers nor keep them alive.
    for worker in list(_alive):
        worker.drop_pipes()
        worker.process.returncode = 0  # not our child: nothing to wait for
    _alive.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


class ComparePool:
    """Compares pairs of expressions in up to ``size`` worker processes; safe to call from any thread.

    Args:
        size: most worker processes; each is started when there is a pair for it.
        cpu_seconds: processor time a pair may take.
        memory_bytes: address space a pair may take.
    """

    def __init__(self, size: int, cpu_seconds: float = CPU_SECONDS, memory_bytes: int = MEMORY_BYTES) -> None:
        self.size = size
        self.cpu_seconds = cpu_seconds
        self.memory_bytes = memory_bytes
        self._workers: list[_Worker] = []
        self._owner = os.getpid()
        self._lock = threading.Lock()

    def compare(self, pairs: Sequence[tuple[str, str]]) -> list[str]:
        """For each ``(gold, answer)``: ``equal``, ``different``, ``timeout``, ``memory`` or ``error``."""
        if os.getpid() != self._owner:  # forked: the workers belong to the parent, and so does the lock
            self._workers, self._owner, self._lock = [], os.getpid(), threading.Lock()
        with self._lock:
            return self._compare(pairs)

    def close(self) -> None:
        """End the workers; the next comparison starts new ones."""
        if os.getpid() == self._owner:
            for worker in self._workers:
                worker.close()
        self._workers = []

    def _compare(self, pairs: Sequence[tuple[str, str]]) -> list[str]:
        words: dict[int, str] = {}
        waiting = list(range(len(pairs)))[::-1]
        lost: dict[int, int] = {}
        with selectors.DefaultSelector() as selector:
            for worker in self._take_workers(len(pairs)):
                selector.register(worker.replies, selectors.EVENT_READ, worker)
                self._give(worker, waiting, pairs)
            while len(words) < len(pairs):
                events = selector.select(_CLOCK_BACKSTOP + 12 * self.cpu_seconds)
                # Silence for so long means that the workers are lost, which their words then are too.
                heard = {key.data: key.data.receive() for key, _ in events} or dict.fromkeys(self._busy(), "")
                for worker, word in heard.items():
                    job = worker.job
                    if job is not None and word:
                        words[job] = word
                    elif job is not None:  # its worker is lost: it gets another one, once
                        lost[job] = lost.get(job, 0) + 1
                        if lost[job] > 1:
                            words[job] = "error"
                        else:
                            waiting.append(job)
                    if not word:
                        selector.unregister(worker.replies)
                        worker = self._replace(worker)
                        selector.register(worker.replies, selectors.EVENT_READ, worker)
                    self._give(worker, waiting, pairs)
        return [words[job] for job in range(len(pairs))]

    def _busy(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.job is not None]

    def _take_workers(self, pairs: int) -> list[_Worker]:
        self._workers = [worker for worker in self._workers if worker.process.poll() is None]
        while len(self._workers) < min(self.size, pairs):
            self._workers.append(_Worker(self.cpu_seconds, self.memory_bytes))
        return self._workers

    def _replace(self, worker: _Worker) -> _Worker:
        worker.close()
        fresh = _Worker(self.cpu_seconds, self.memory_bytes)
        self._workers[self._workers.index(worker)] = fresh
        return fresh

    @staticmethod
    def _give(worker: _Worker, waiting: list[int], pairs: Sequence[tuple[str, str]]) -> None:
        worker.job = None
        if waiting:
            job = waiting.pop()
            worker.send(job, *pairs[job])
