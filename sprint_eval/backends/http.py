"""JSON over HTTP with patience: retries, back-off, time-outs, and one clear line at the end."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sprint_eval.errors import ArgumentError, GenerationError, one_line

_RETRIED = frozenset({408, 409, 425, 429})  # and every 5xx
_LONGEST_WAIT = 30.0
_LONGEST_DETAIL = 300


class RefusedError(GenerationError):
    """The server understood and said no: trying again would not help.

    Attributes:
        status: HTTP status.
        detail: what the server said.
    """

    def __init__(self, message: str, status: int, detail: str) -> None:
        super().__init__(message)
        self.status = status
        self.detail = detail


@dataclass
class Patience:
    """How long to wait for a server.

    Attributes:
        timeout: seconds for one answer; a slower one counts as lost.
        retries: how often one request is tried again after a server's error or a slow answer.
        down: seconds for which a server may be unreachable, e.g. while it restarts.
        first_wait: seconds before the first retry; each further wait is twice as long.
    """

    timeout: float = 600.0
    retries: int = 5
    down: float = 300.0
    first_wait: float = 0.5

    def wait(self, attempt: int, told: float | None) -> float:
        """Seconds before retry number ``attempt`` (from 0); ``told`` is the server's Retry-After."""
        if told is not None:
            return min(told, _LONGEST_WAIT)
        return min(self.first_wait * 2.0 ** min(attempt, 16), _LONGEST_WAIT)


@dataclass
class JsonClient:
    """Talks to one server; safe to share between threads.

    Attributes:
        base_url: what comes before ``/completions``, e.g. ``http://127.0.0.1:8000/v1``.
        patience: when to give up.
        api_key: sent as a bearer token where given.
        stop: once set, waiting requests give up: the whole run has failed.
    """

    base_url: str
    patience: Patience = field(default_factory=Patience)
    api_key: str | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.base_url = self.base_url.rstrip("/")
        if not self.base_url.startswith(("http://", "https://")):
            raise ArgumentError(
                f"base_url = {self.base_url!r}: expected something like http://127.0.0.1:8000/v1"
            )

    def get(self, path: str) -> Any:
        """The JSON answer to a GET; see :meth:`post`."""
        return self._patiently(path, None)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON answer to a POST of ``body``.

        Raises:
            RefusedError: a 4xx answer that trying again would not change.
            GenerationError: the server stayed unreachable, or kept failing, beyond our patience.
        """
        return self._patiently(path, json.dumps(body).encode())

    def _patiently(self, path: str, body: bytes | None) -> Any:
        errors, waits = 0, 0
        down_since: float | None = None
        while True:
            try:
                return self._once(path, body)
            except _FailedError as failure:
                if failure.unreachable:
                    down_since = down_since if down_since is not None else time.monotonic()
                    waited = time.monotonic() - down_since
                    if waited >= self.patience.down:
                        raise GenerationError(
                            f"{self.base_url} could not be reached for {waited:.0f} s ({failure}); start the "
                            "server and run the same command again"
                        ) from None
                else:
                    down_since, errors = None, errors + 1
                    if errors > self.patience.retries:
                        raise GenerationError(
                            f"{self.base_url}{path} failed {errors} times, last with: {failure}; look at "
                            "the server's log and run the same command again"
                        ) from None
                # stop.wait() is a sleep that ends when another thread has failed for good.
                if self.stop.wait(self.patience.wait(waits, failure.retry_after)):
                    raise GenerationError("given up: another request failed for good") from None
                waits += 1

    def _once(self, path: str, body: bytes | None) -> Any:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        request = urllib.request.Request(self.base_url + path, data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=self.patience.timeout) as response:
                return json.loads(response.read())
        except urllib.error.HTTPError as error:
            raise self._status_error(path, error) from None
        except TimeoutError:
            raise _FailedError(f"no answer within {self.patience.timeout:g} s") from None
        except urllib.error.URLError as error:
            if isinstance(error.reason, TimeoutError):
                raise _FailedError(f"no answer within {self.patience.timeout:g} s") from None
            if isinstance(error.reason, socket.gaierror):
                raise ArgumentError(f"base_url {self.base_url}: unknown host ({error.reason})") from None
            raise _FailedError(one_line(error.reason), unreachable=True) from None
        except (ConnectionError, http.client.HTTPException) as error:
            # Cut off in the middle of an answer: killed, or restarting.
            raise _FailedError(f"connection lost ({type(error).__name__})", unreachable=True) from None
        except ValueError as error:
            raise _FailedError(f"an answer that is not JSON ({error})") from None

    def _status_error(self, path: str, error: urllib.error.HTTPError) -> Exception:
        detail = _detail(error)
        if error.code in _RETRIED or error.code >= 500:
            return _FailedError(f"HTTP {error.code}: {detail}", retry_after=_seconds(error))
        return RefusedError(
            f"{self.base_url}{path} refused the request (HTTP {error.code}): {detail}", error.code, detail
        )


class _FailedError(Exception):
    """One failed try."""

    def __init__(self, message: str, *, unreachable: bool = False, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.unreachable = unreachable
        self.retry_after = retry_after


def _detail(error: urllib.error.HTTPError) -> str:
    """What the server says of its error, on one line."""
    try:
        text = error.read(65536).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        text = ""
    try:
        value = json.loads(text)
        inner = value.get("error", value) if isinstance(value, dict) else value
        text = inner.get("message", text) if isinstance(inner, dict) else str(inner)
    except (ValueError, AttributeError):
        pass
    return one_line(text)[:_LONGEST_DETAIL] or str(error.reason)


def _seconds(error: urllib.error.HTTPError) -> float | None:
    value = (error.headers.get("Retry-After") or "") if error.headers else ""
    return float(value) if value.strip().isdigit() else None
