"""A proxy before the real server that spoils chosen answers, as an overloaded gateway would."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

# What befalls the n-th completion asked for (from 0): a status to answer with in the server's place,
# seconds for which its answer is held back, or None.
Fault = Callable[[int], "int | float | None"]

_SERVER_SECONDS = 300


class FaultyProxy:
    """Forwards to ``url``; ``happened`` counts the statuses given, and as ``held`` the answers held back."""

    def __init__(self, url: str) -> None:
        self.fault: Fault = lambda n: None
        self.happened: Counter[str] = Counter()
        self._target = urlsplit(url)
        self._numbers = itertools.count()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                proxy.answer(self, *proxy.forward("GET", self.path, None))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                proxy.answer(self, *proxy.spoiled(self.path, body))

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        """The address to give a client."""
        return f"http://127.0.0.1:{self._server.server_address[1]}{self._target.path}"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def spoiled(self, path: str, body: bytes) -> tuple[int, bytes]:
        """The server's answer, or what the fault makes of it."""
        fault = self.fault(next(self._numbers)) if path.endswith("/completions") else None
        if isinstance(fault, int):
            self.happened[str(fault)] += 1
            return fault, json.dumps({"error": {"message": f"made to answer {fault}"}}).encode()
        found = self.forward("POST", path, body)
        if fault is not None:
            self.happened["held"] += 1
            time.sleep(fault)
        return found

    def forward(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        """Ask the server; its status and its answer."""
        connection = http.client.HTTPConnection(
            self._target.hostname or "", self._target.port, timeout=_SERVER_SECONDS
        )
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def answer(self, handler: BaseHTTPRequestHandler, status: int, data: bytes) -> None:
        """Send an answer to a client that may have left."""
        with contextlib.suppress(ConnectionError):
            handler.send_response(status)
            handler.send_header("Content-Length", str(len(data)))
            handler.end_headers()
            handler.wfile.write(data)
