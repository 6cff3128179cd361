"""Answers kept between runs, each under everything that decides it."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from sprint_eval.backends import Backend
from sprint_eval.engine.counters import Counters
from sprint_eval.engine.request import Generation, Request
from sprint_eval.errors import StoreError
from sprint_eval.outcomes.cells import decode_line, encode_line

FORMAT = 1
# Answers decoded before they are written: what a kill can cost.
_AT_ONCE = 1024
_SUFFIX = ".jsonl"
_KEY = slice(11, 43)  # where a line's key stands: '<crc32, 8 digits> ["<key, 32 digits>",…'


class GenerationStore:
    """A folder of answers; every process appends to a file of its own and reads all.

    A line is a checksum and ``[key, text, tokens, finish_reason, logprob]``. A torn or damaged line
    is passed over: its answer is decoded again. Answers that others add after opening are not seen.

    Raises:
        StoreError: the folder cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._places: dict[bytes, tuple[Path, int, int]] = {}
        self._own: int | None = None
        self._own_path = folder / f"{os.getpid()}-{secrets.token_hex(6)}{_SUFFIX}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for path in sorted(folder.glob(f"*{_SUFFIX}")):
                self._index(path)
        except OSError as error:
            raise StoreError(f"the store {folder} cannot be read: {error.strerror}") from error

    def __len__(self) -> int:
        return len(self._places)

    def get(self, key: str) -> Generation | None:
        """The answer kept under this key, if there is a whole one."""
        place = self._places.get(key.encode())
        if place is None:
            return None
        path, start, length = place
        with path.open("rb") as handle:
            handle.seek(start)
            values = decode_line(handle.read(length))
        if not isinstance(values, list) or len(values) != 5 or values[0] != key:
            return None
        _, text, tokens, finish, logprob = values
        return Generation(tuple(tokens), text, finish, logprob)

    def put(self, answers: Iterable[tuple[str, Generation]]) -> None:
        """Keep answers; they are with the operating system when this returns."""
        try:
            if self._own is None:
                self._own = os.open(self._own_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            start = os.fstat(self._own).st_size
            lines, places = [], {}
            for key, answer in answers:
                values = [key, answer.text, list(answer.tokens), answer.finish_reason, answer.logprob]
                lines.append(encode_line(values))
                places[key.encode()] = (self._own_path, start, len(lines[-1]) - 1)
                start += len(lines[-1])
            rest = memoryview(b"".join(lines))
            while rest:
                rest = rest[os.write(self._own, rest) :]
        except OSError as error:
            raise StoreError(
                f"cannot write to the store {self.folder}: {error.strerror}; make room and run it again"
            ) from error
        self._places.update(places)

    def close(self) -> None:
        """Close the file; reading goes on to work."""
        if self._own is not None:
            os.close(self._own)
            self._own = None

    def _index(self, path: Path) -> None:
        start = 0
        with path.open("rb") as handle:
            for line in handle:
                whole = line.endswith(b"\n") and _checks(line[:-1])
                if whole:
                    self._places.setdefault(line[_KEY], (path, start, len(line) - 1))
                start += len(line)


class StoredBackend:
    """Decodes what the store does not have, and keeps it.

    Args:
        backend: who decodes.
        store: where answers are kept.
        identity: what decides an answer besides the request: the model's fingerprint, its dtype, the
            engine, versions of libraries.
    """

    def __init__(self, backend: Backend, store: GenerationStore, identity: Mapping[str, Any]) -> None:
        self._backend = backend
        self._store = store
        self._identity = json.dumps({"format": FORMAT, **identity}, sort_keys=True, default=str)
        self._found = Counters()
        self.counters = Counters()

    def generate(
        self, requests: Sequence[Request], progress: Callable[[int], None] | None = None
    ) -> list[Generation]:
        """Answers in the order of the requests, about a thousand decoded and kept at a time.

        Prompts that begin alike are decoded together, whatever their order: the engine shares their work.
        """
        keys = [self._key(request) for request in requests]
        answers = [self._store.get(key) for key in keys]
        missing = [index for index, answer in enumerate(answers) if answer is None]
        self._count([(requests[i], a) for i, a in enumerate(answers) if a is not None])
        if progress is not None:
            progress(len(requests) - len(missing))
        missing.sort(key=lambda index: requests[index].prompt)
        for part in _parts(missing, [request.group for request in requests]):
            decoded = self._backend.generate([requests[index] for index in part], progress)
            self._store.put((keys[index], answer) for index, answer in zip(part, decoded, strict=True))
            for index, answer in zip(part, decoded, strict=True):
                answers[index] = answer
        self._count_all()
        return [answer for answer in answers if answer is not None]

    def _count_all(self) -> None:
        """The backend's counters, with the tokens of answers that came from the store, and how many did."""
        own = self._backend.counters
        self.counters = replace(
            own,
            requests=own.requests + self._found.requests,
            prompt_tokens=own.prompt_tokens + self._found.prompt_tokens,
            generated_tokens=own.generated_tokens + self._found.generated_tokens,
            from_store=self._found.from_store,
        )

    def _key(self, request: Request) -> str:
        """32 hexadecimal digits of everything that decides the answer; ``group`` does not."""
        decides = [request.prompt, str(request.heads), request.max_new_tokens, request.stop]
        text = json.dumps([self._identity, *decides, asdict(request.sampling)], sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def _count(self, found: Sequence[tuple[Request, Generation]]) -> None:
        self._found.requests += len(found)
        self._found.from_store += len(found)
        self._found.prompt_tokens += sum(len(request.prompt) for request, _ in found)
        self._found.generated_tokens += sum(len(answer.tokens) for _, answer in found)


def _parts(indices: Sequence[int], groups: Sequence[Any]) -> Iterable[list[int]]:
    """Runs of whole groups: siblings go to the engine together, which shares their work."""
    part: list[int] = []
    for index in indices:
        if len(part) >= _AT_ONCE and groups[index] != groups[part[-1]]:
            yield part
            part = []
        part.append(index)
    if part:
        yield part


def _checks(line: bytes) -> bool:
    try:
        return line[8:11] == b' ["' and int(line[:8], 16) == zlib.crc32(line[9:])
    except ValueError:
        return False
