"""A server that speaks the OpenAI API over a tiny model, and misbehaves on demand."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import torch

from sprint_eval.backends.http import JsonClient, Patience
from sprint_eval.engine.plain import PlainEngine
from sprint_eval.engine.request import Request
from sprint_eval.engine.settings import DecodingSettings
from sprint_eval.heads import HeadSet
from sprint_eval.masking import HeadMasker

# What a fault does to the n-th completion asked for (from 0): a status to answer with, seconds to
# sleep before answering, "garbage", "empty", the bytes of an answer, or None to serve it.
Fault = Callable[[int], "int | float | str | bytes | None"]


class FakeServer:
    """Serves masked decodings of a model; ``tiny`` and every name in ``adapters`` is a model."""

    # One for all servers: masks are hooks on the one model that they share.
    _decoding = threading.Lock()

    def __init__(self, model: Any, tokenizer: Any, adapters: list[str]) -> None:
        self.adapters = list(adapters)
        self.fault: Fault = lambda n: None
        self.token_ids = True
        self.parents = True
        self.echo_model: str | None = None
        self.inert = False
        self.bodies: list[dict[str, Any]] = []
        self.most_at_once = 0
        self._at_once = 0
        self._settings = DecodingSettings.from_model(model, tokenizer)
        self._model = model
        self._engine = PlainEngine(model, tokenizer, settings=self._settings)
        self._tokenizer = tokenizer
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        """Listen, on the port of before where there was one."""
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                fake.answer(self, 200, fake.models())

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                fake.complete(self, body)

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *args: Any) -> None:
                pass  # a client that gave up is no news

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def kill(self) -> None:
        """Stop listening; answers under way are lost."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def settle(self) -> None:
        """Stop, and wait until nothing is decoded any more: the next test uses the same model."""
        self.kill()
        deadline = time.monotonic() + 60
        while self._at_once and time.monotonic() < deadline:
            time.sleep(0.01)

    def models(self) -> dict[str, Any]:
        parent = {"parent": "tiny"} if self.parents else {}
        listed = [{"id": "tiny", "object": "model"}]
        return {"data": listed + [{"id": name, "object": "model", **parent} for name in self.adapters]}

    def answer(self, handler: BaseHTTPRequestHandler, status: int, value: Any) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def complete(self, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        with self._lock:
            number = len(self.bodies)
            self.bodies.append(body)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            status, value = self._reply(body, self.fault(number))
        finally:
            with self._lock:
                self._at_once -= 1
        if self._server is None:
            handler.connection.close()  # killed while this request was under way
            return
        self.answer(handler, status, value)

    def _reply(self, body: dict[str, Any], fault: Any) -> tuple[int, Any]:
        if isinstance(fault, float):
            time.sleep(fault)
        elif isinstance(fault, int):
            return fault, {"error": {"message": f"made to answer {fault}"}}
        elif isinstance(fault, bytes):
            return 200, fault
        elif fault == "garbage":
            return 200, b"<html>bad gateway</html>"
        elif fault == "empty":
            return 200, {"choices": []}
        name = body["model"]
        if name != "tiny" and name not in self.adapters:
            return 404, {"error": {"message": f"The model `{name}` does not exist."}}
        return 200, self._completion(body, name)

    def _completion(self, body: dict[str, Any], name: str) -> dict[str, Any]:
        heads = HeadSet() if name == "tiny" else HeadSet.parse(name)
        request = Request(tuple(body["prompt"]), heads, body["max_tokens"], tuple(body["stop"]))
        with self._decoding:
            generation = self._engine.generate([request])[0]
        choice: dict[str, Any] = {"text": generation.text, "finish_reason": generation.finish_reason}
        if body.get("logprobs") is not None:
            shown = HeadSet() if self.inert else heads
            choice["logprobs"] = {"top_logprobs": [self._logprobs(request.prompt, shown)]}
        if self.token_ids and body.get("return_token_ids"):
            choice["token_ids"] = list(generation.tokens)
        usage = {"completion_tokens": len(generation.tokens)}
        return {"model": self.echo_model or name, "choices": [choice], "usage": usage}

    def _logprobs(self, prompt: tuple[int, ...], heads: HeadSet) -> dict[str, float]:
        """Log-probabilities of the likeliest next tokens."""
        with self._decoding, torch.no_grad(), HeadMasker(self._model).every_row(heads):
            logits = self._model(input_ids=torch.tensor([prompt])).logits[0, -1]
        top = logits.log_softmax(-1).topk(5)
        return {
            str(token): value for token, value in zip(top.indices.tolist(), top.values.tolist(), strict=True)
        }


@pytest.fixture(scope="session")
def tiny_pair(tiny_checkpoint: str) -> tuple[Any, Any]:
    """The tiny checkpoint's model and tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny_checkpoint, dtype="float32").eval()
    return model, AutoTokenizer.from_pretrained(tiny_checkpoint)


@pytest.fixture
def server(tiny_pair: tuple[Any, Any]) -> Iterator[FakeServer]:
    fake = FakeServer(*tiny_pair, ["L0H0", "L1H2", "L0H1+L2H3"])
    yield fake
    fake.settle()


@pytest.fixture
def client(server: FakeServer) -> JsonClient:
    """An impatient client."""
    return JsonClient(server.url, Patience(timeout=20.0, retries=3, down=20.0, first_wait=0.01))
