"""JSON over HTTP with patience: retries, back-off, time-outs, and one clear line at the end."""

from __future__ import annotations

import http.client
import json
import reprlib
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sprint_eval.errors import ArgumentError, GenerationError, one_line

_RETRIED = frozenset({408, 409, 425, 429})  # and every 5xx
_LONGEST_WAIT = 30.0
_LONGEST_TIMEOUT = 1e6  # seconds; poll() counts milliseconds in 31 bits
_MOST_RETRIES = 1000
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
        timeout: seconds for one answer, above 0 and up to 1e6; a slower one counts as lost.
        retries: how often one request is tried again after a server's error or a slow answer, 0 to 1000.
        down: seconds for which a server may be unreachable, e.g. while it restarts; may be infinite.
        first_wait: seconds before the first retry; each further wait is twice as long.

    Raises:
        ArgumentError: a value out of these bounds.
    """

    timeout: float = 600.0
    retries: int = 5
    down: float = 300.0
    first_wait: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.timeout <= _LONGEST_TIMEOUT:
            raise ArgumentError(
                f"timeout = {self.timeout}: expected seconds above 0, {_LONGEST_TIMEOUT:.0f} at most"
            )
        if not 0 <= self.retries <= _MOST_RETRIES:
            raise ArgumentError(f"retries = {self.retries}: expected 0 to {_MOST_RETRIES}")
        if not self.down >= 0:
            raise ArgumentError(f"patience = {self.down}: expected seconds, 0 or more")

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

    Raises:
        ArgumentError: the address is not one of a server, or the key cannot stand in a header.
    """

    base_url: str
    patience: Patience = field(default_factory=Patience)
    api_key: str | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.base_url = self.base_url.rstrip("/")
        if not _is_address(self.base_url):
            raise ArgumentError(
                f"base_url = {self.base_url!r}: expected something like http://127.0.0.1:8000/v1"
            )
        if self.api_key and not (self.api_key.isascii() and self.api_key.isprintable()):
            # Not shown: it is a secret.
            raise ArgumentError("OPENAI_API_KEY holds a line break or another character that no key has")
        self._opener = urllib.request.build_opener(_NoRedirects)

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
            with self._opener.open(request, timeout=self.patience.timeout) as response:
                return json.loads(response.read())
        except urllib.error.HTTPError as error:
            raise self._status_error(path, error) from None
        except TimeoutError:
            raise _FailedError(f"no answer within {self.patience.timeout:g} s") from None
        except urllib.error.URLError as error:
            if isinstance(error.reason, TimeoutError):
                raise _FailedError(f"no answer within {self.patience.timeout:g} s") from None
            if isinstance(error.reason, socket.gaierror) and error.reason.errno != socket.EAI_AGAIN:
                raise ArgumentError(f"base_url {self.base_url}: unknown host ({error.reason})") from None
            raise _FailedError(one_line(error.reason), unreachable=True) from None
        except (OSError, http.client.HTTPException) as error:
            # Cut off in the middle of an answer: killed, or restarting.
            raise _FailedError(f"connection lost ({type(error).__name__})", unreachable=True) from None
        except (ValueError, RecursionError) as error:
            raise _FailedError(f"an answer that is not JSON, or too deep ({error})") from None

    def _status_error(self, path: str, error: urllib.error.HTTPError) -> Exception:
        detail = _detail(error)
        if 300 <= error.code < 400:
            target = one_line(error.headers.get("Location") or "nowhere")[:_LONGEST_DETAIL]
            return RefusedError(
                f"{self.base_url}{path} redirects (HTTP {error.code}) to {target}, which is not followed: "
                "the key and the request would go there; if that is the server, name it in base_url",
                error.code,
                detail,
            )
        if error.code in _RETRIED or error.code >= 500:
            return _FailedError(f"HTTP {error.code}: {detail}", retry_after=_seconds(error))
        return RefusedError(
            f"{self.base_url}{path} refused the request (HTTP {error.code}): {detail}", error.code, detail
        )


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Leaves redirects unfollowed: urllib sends the key to any host and turns a POST into a GET."""

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> None:
        """None: the answer becomes an HTTPError."""

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


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
    except (ValueError, AttributeError, RecursionError):
        pass
    return one_line(text)[:_LONGEST_DETAIL] or str(error.reason)


def _seconds(error: urllib.error.HTTPError) -> float | None:
    value = (error.headers.get("Retry-After") or "") if error.headers else ""
    return float(value) if value.strip().isdecimal() else None


def _is_address(url: str) -> bool:
    """Whether requests can go to this address and the paths below it."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, _ = (parts.hostname or "").encode("idna"), parts.port  # of which each can raise
    except ValueError:
        return False
    # Paths are put behind it. A name and password before the host would end up in the results.
    whole = not parts.query and not parts.fragment and "@" not in parts.netloc
    printable = url.isprintable() and " " not in url and parts.path.isascii()
    return bool(parts.scheme in ("http", "https") and host and whole and printable)


def shown(value: object) -> str:
    """A value that a server sent, for a line: its beginning, however long or deep it is."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 100
    return short.repr(value)[:_LONGEST_DETAIL]
