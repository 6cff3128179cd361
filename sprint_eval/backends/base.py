"""The interface of a backend, and the backends that decode a loaded ``transformers`` model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from sprint_eval.engine.counters import Counters
from sprint_eval.engine.request import Generation, Request
from sprint_eval.engine.settings import DecodingSettings
from sprint_eval.errors import ArgumentError, did_you_mean

LOCAL_ENGINES = {
    "sprint": "the built-in engine: exact, shares the work of a question's variants",
    "plain": "batched transformers generation, nothing shared",
}
SERVED_ENGINES = {
    "vllm": "vLLM, each request with its head set's LoRA adapter",
    "openai": "a server that speaks the OpenAI API and names adapters as models",
}


class Backend(Protocol):
    """Decodes requests; ``counters`` says what it cost so far."""

    counters: Counters

    def generate(
        self, requests: Sequence[Request], progress: Callable[[int], None] | None = None
    ) -> list[Generation]:
        """Answers in the order of the requests; ``progress(n)`` is told of n more answers."""
        ...


def check_engine_name(name: str) -> None:
    """Refuse an unknown ``engine=`` before a model is loaded (:class:`ArgumentError`)."""
    engines = LOCAL_ENGINES | SERVED_ENGINES
    if name not in engines:
        known = ", ".join(engines)
        raise ArgumentError(f"engine '{name}' is unknown{did_you_mean(name, engines)}; known are: {known}")


def local_backend(
    name: str, model: Any, tokenizer: Any, settings: DecodingSettings, batch_size: int | None = None
) -> Backend:
    """A backend over a model in this process.

    Args:
        batch_size: rows of a batch; ``None`` lets the backend choose.

    Raises:
        ArgumentError: an engine that does not decode here, or a batch size below 1.
    """
    check_engine_name(name)
    if batch_size is not None and batch_size < 1:
        raise ArgumentError(f"batch size {batch_size}: expected 1 or more")
    if name in SERVED_ENGINES:
        raise ArgumentError(f"engine '{name}' does not decode a model in this process")
    if name == "plain":
        from sprint_eval.engine.plain import PlainEngine

        return PlainEngine(model, tokenizer, settings=settings, batch_size=batch_size or 32)
    from sprint_eval.engine import Engine

    return Engine(model, tokenizer, settings=settings, batch_size=batch_size)
