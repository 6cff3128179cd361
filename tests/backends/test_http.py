"""JSON over HTTP: addresses, bounds, redirects, and what is waited for."""

from __future__ import annotations

import errno
import math
import socket
import threading
from collections.abc import Iterator
from http.client import HTTPResponse
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from sprint_eval.backends.http import JsonClient, Patience
from sprint_eval.errors import ArgumentError, GenerationError

QUICK = Patience(timeout=10.0, retries=1, down=0.1, first_wait=0.01)


class FixedServer:
    """Answers everything alike, and keeps each request's method and key."""

    def __init__(self, status: int = 200, body: bytes = b"{}", headers: dict[str, str] | None = None) -> None:
        self.seen: list[tuple[str, str | None]] = []
        fixed = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                fixed.seen.append((self.command, self.headers.get("Authorization")))
                self.send_response(status)
                for name, value in ((headers or {}) | {"Content-Length": str(len(body))}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET  # noqa: N815

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def other() -> Iterator[FixedServer]:
    server = FixedServer(body=b'{"data": []}')
    yield server
    server.close()


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8000",
        "ftp://x",
        "http://[::1/v1",
        "http://127.0.0.1:99999/v1",
        "http://127.0.0.1:port/v1",
        "http:///v1",
        "http://a b/v1",
        "http://host/v\u00fc",
        "http://user:password@host/v1",
        "http://host/v1?key=x",
        f"http://{'a' * 70}.x/v1",
    ],
)
def test_wrong_addresses(url: str) -> None:
    with pytest.raises(ArgumentError, match=r"base_url = .*: expected something like http"):
        JsonClient(url)


@pytest.mark.parametrize("url", ["http://[::1]:8000/v1/", "https://example.org", "HTTP://host:1/a/b"])
def test_right_addresses(url: str) -> None:
    assert JsonClient(url).base_url == url.rstrip("/")


def test_a_key_that_no_header_takes_is_not_shown() -> None:
    with pytest.raises(ArgumentError, match="OPENAI_API_KEY holds a line break") as error:
        JsonClient("http://host/v1", QUICK, "secret\n")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("timeout", math.inf, "timeout = inf: expected seconds above 0, 1000000 at most"),
        ("timeout", 1e10, "timeout = 10000000000.0: expected"),
        ("timeout", 0, "timeout = 0: expected seconds above 0"),
        ("retries", 10**9, "retries = 1000000000: expected 0 to 1000"),
        ("down", math.nan, "patience = nan: expected seconds, 0 or more"),
    ],
)
def test_patience_has_bounds(name: str, value: float, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Patience(**{name: value})  # type: ignore[arg-type]


def test_the_longest_timeout_works(other: FixedServer) -> None:
    assert JsonClient(other.url, Patience(timeout=1e6)).get("/models") == {"data": []}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(status: int, other: FixedServer) -> None:
    first = FixedServer(status, headers={"Location": f"{other.url}/elsewhere"})
    client = JsonClient(first.url, QUICK, "secret")
    try:
        for ask in (lambda: client.get("/models"), lambda: client.post("/completions", {})):
            with pytest.raises(
                GenerationError, match=rf"HTTP {status}\) to {other.url}/elsewhere, which is not"
            ):
                ask()
    finally:
        first.close()
    assert first.seen == [("GET", "Bearer secret"), ("POST", "Bearer secret")]
    assert other.seen == []


@pytest.mark.parametrize("status", [200, 400])
def test_json_that_is_too_deep(status: int) -> None:
    server = FixedServer(status, b"[" * 200_000)
    try:
        with pytest.raises(GenerationError, match=r"failed 2 times.* too deep|refused the request"):
            JsonClient(server.url, QUICK).post("/completions", {})
    finally:
        server.close()


def test_a_retry_after_that_is_no_number() -> None:
    server = FixedServer(503, headers={"Retry-After": "\u00b2"})
    try:
        with pytest.raises(GenerationError, match="failed 2 times, last with: HTTP 503"):
            JsonClient(server.url, QUICK).get("/models")
    finally:
        server.close()


def test_a_name_service_that_is_away_for_a_moment_is_waited_for(
    other: FixedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    resolve = socket.getaddrinfo

    def flaky(*args: Any, **options: Any) -> Any:
        asked.append(args)
        if len(asked) == 1:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return resolve(*args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", flaky)
    assert JsonClient(other.url, Patience(down=20.0, first_wait=0.01)).get("/models") == {"data": []}
    assert len(asked) == 2


def test_a_network_that_is_lost_in_an_answer_is_waited_for(
    other: FixedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = [OSError(errno.EHOSTUNREACH, "No route to host")]
    read = HTTPResponse.read

    def flaky(self: HTTPResponse, amount: int | None = None) -> bytes:
        if lost:
            raise lost.pop()
        return read(self, amount)

    monkeypatch.setattr(HTTPResponse, "read", flaky)
    assert JsonClient(other.url, Patience(down=20.0, first_wait=0.01)).get("/models") == {"data": []}
    assert len(other.seen) == 2


def test_unknown_hosts_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: Any, **options: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(ArgumentError, match="unknown host"):
        JsonClient("http://nowhere.invalid/v1", QUICK).get("/models")
