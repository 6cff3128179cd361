"""Decoding on a server that speaks the OpenAI API and names adapters as models.

``vllm serve M --enable-lora --lora-modules L15H0=adapters/L15H0 …`` is one; see docs/serving.md.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from sprint_eval.backends.completion import Completion
from sprint_eval.backends.http import JsonClient, RefusedError, shown
from sprint_eval.backends.served import (
    PROBE_LOGPROBS,
    check_effect,
    check_think_end,
    cut_generation,
    cut_text,
    probe_sets,
    serving_order,
)
from sprint_eval.engine.counters import Counters
from sprint_eval.engine.request import FinishReason, Generation, Request
from sprint_eval.engine.settings import DecodingSettings
from sprint_eval.errors import ArgumentError, GenerationError
from sprint_eval.export.adapters import adapter_name
from sprint_eval.heads import BASE, HeadSet

_LOGGER = logging.getLogger(__name__)
_MOST_AT_ONCE = 1024  # each is a thread


@dataclass(frozen=True)
class ServerModels:
    """The models that a server lists.

    Attributes:
        base: name of the base model.
        adapters: names of the others.
        naming: how an adapter is asked for, from ``{base}`` and ``{name}``.
    """

    base: str
    adapters: frozenset[str]
    naming: str = "{name}"

    @classmethod
    def ask(cls, client: JsonClient, base: str | None = None, naming: str = "{name}") -> ServerModels:
        """Read ``/models``.

        Args:
            base: the base model's name where the user gave it.

        Raises:
            ArgumentError: the base model's name is not among them, or cannot be told.
        """
        answer = client.get("/models")
        try:
            listed = {str(entry["id"]): entry.get("parent") for entry in answer["data"]}
        except (KeyError, TypeError, AttributeError):
            raise GenerationError(f"{client.base_url}/models does not list models: {shown(answer)}") from None
        names = ", ".join(sorted(listed)) or "nothing"
        if base is None:
            # vLLM names an adapter's base as its parent.
            parents = {parent for parent in listed.values() if isinstance(parent, str)} & set(listed)
            orphans = [name for name, parent in listed.items() if not parent]
            candidates = sorted(parents) if len(parents) == 1 else orphans
            if len(candidates) != 1:
                raise ArgumentError(
                    f"{client.base_url} serves {names}: say which is the base model, served_model=NAME"
                )
            base = candidates[0]
        elif base not in listed:
            raise ArgumentError(f"served_model = {base!r}: {client.base_url} serves {names}")
        return cls(base, frozenset(listed) - {base}, naming)

    def listed_name(self, heads: HeadSet) -> str:
        """The model that prunes these heads; for none the adapter that changes nothing, if it is served."""
        return adapter_name(heads) if heads or BASE in self.adapters else self.base

    def name_of(self, heads: HeadSet) -> str:
        """That model's name in a request."""
        name = self.listed_name(heads)
        if name == self.base:
            return name
        return self.naming.replace("{base}", self.base).replace("{name}", name)

    def check(self, head_sets: Sequence[HeadSet], where: str) -> None:
        """Refuse head sets that the server has no adapter for (:class:`ArgumentError`)."""
        lacking = sorted(set(map(self.listed_name, head_sets)) - self.adapters - {self.base})
        if lacking:
            more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
            raise ArgumentError(
                f"{where} serves no adapter named {', '.join(lacking[:5])}{more}; export it "
                "(sprint-eval export heads) and start the server with "
                f"--lora-modules {lacking[0]}=DIR/{lacking[0]} …"
            )


class OpenAIBackend:
    """Decodes requests on a server, a bounded number at a time.

    Args:
        client: how to reach it.
        served_model: the base model's name on the server; asked for where not given.
        naming: how an adapter is asked for; ``{base}:{name}`` is SGLang's form.
        concurrency: requests in flight at once, 1 to 1024.
        token_ids: ask for token ids (``return_token_ids``, as vLLM has it), with which answers are
            cut exactly where the built-in engine cuts them; without, the server's text is taken and
            tokens are counted by the server.

    Raises:
        ArgumentError: a value that cannot be used, or thinking that ends at a token id without ``token_ids``.
    """

    def __init__(
        self,
        client: JsonClient,
        tokenizer: Any,
        settings: DecodingSettings,
        *,
        served_model: str | None = None,
        naming: str = "{name}",
        concurrency: int = 16,
        token_ids: bool = True,
    ) -> None:
        if not 1 <= concurrency <= _MOST_AT_ONCE:
            raise ArgumentError(f"concurrency = {concurrency}: expected 1 to {_MOST_AT_ONCE}")
        if not token_ids:
            check_think_end(settings)
        if "{name}" not in naming:
            raise ArgumentError(
                f"naming = {naming!r}: expected a form with {{name}} in it, like {{base}}:{{name}}"
            )
        self._client = client
        self._tokenizer = tokenizer
        self._settings = settings
        self._served_model = served_model
        self._naming = naming
        self._concurrency = concurrency
        self._token_ids = token_ids
        self._vocabulary = len(tokenizer) if token_ids else None
        self._models: ServerModels | None = None
        self._probed = False
        self.counters = Counters()

    def generate(
        self, requests: Sequence[Request], progress: Callable[[int], None] | None = None
    ) -> list[Generation]:
        """Decode ``requests``; answers come in their order.

        Raises:
            ArgumentError: the server lacks an adapter; told before anything is decoded.
            GenerationError: the server failed beyond our patience.
        """
        if not requests:
            return []
        started = time.perf_counter()
        self._client.stop.clear()  # set at the end of the call before; while it is, nothing is waited for
        self._models = ServerModels.ask(self._client, self._served_model, self._naming)
        self._models.check([request.heads for request in requests], self._client.base_url)
        try:
            self._probe(requests)
            answers = self._all(requests, progress)
        finally:
            self.counters.decode_seconds += time.perf_counter() - started
        return [answers[index] for index in range(len(requests))]

    def _all(
        self, requests: Sequence[Request], progress: Callable[[int], None] | None
    ) -> dict[int, Generation]:
        answers: dict[int, Generation] = {}
        pool = ThreadPoolExecutor(self._concurrency, thread_name_prefix="openai")
        try:
            pending: dict[Future[tuple[Generation, int]], int] = {
                pool.submit(self._one, requests[index]): index for index in serving_order(requests)
            }
            while pending:
                done, _ = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    index = pending.pop(future)
                    answers[index], count = future.result()
                    self._count(requests[index], count)
                    if progress is not None:
                        progress(1)
        finally:
            # On an error the others stop waiting for their retries; on success nobody is left.
            self._client.stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
        return answers

    def _probe(self, requests: Sequence[Request]) -> None:
        """Once, before the first answers: do the adapters change anything?"""
        sets = probe_sets(requests)
        if self._probed or not sets:
            return
        values: dict[HeadSet, list[float]] = {}
        for heads in (HeadSet(), *sets):
            value = self._first_logprobs(requests[0].prompt, heads)
            if not value:
                _LOGGER.warning("%s gives no logprobs: cannot tell that it prunes", self._client.base_url)
                return
            values[heads] = value
        base = values.pop(HeadSet())
        check_effect(self._client.base_url, base, values)
        self._probed = True

    def _first_logprobs(self, prompt: tuple[int, ...], heads: HeadSet) -> list[float]:
        """Log-probabilities of the likeliest first tokens; empty where the server does not give any."""
        request = Request(prompt, heads, max_new_tokens=1)
        model = self._models.name_of(heads) if self._models else ""
        try:
            answer = self._client.post(
                "/completions", self._body(request, model) | {"logprobs": PROBE_LOGPROBS}
            )
            top = answer["choices"][0]["logprobs"]["top_logprobs"][0]
            return [float(value) for value in top.values()]
        except RefusedError as error:
            raise self._explained(error, model) from None
        except (KeyError, IndexError, TypeError, ValueError, AttributeError):
            return []

    def _count(self, request: Request, tokens: int) -> None:
        self.counters.requests += 1
        self.counters.prompt_tokens += len(request.prompt)
        self.counters.generated_tokens += tokens

    def _one(self, request: Request) -> tuple[Generation, int]:
        """An answer and the number of its tokens."""
        model = self._models.name_of(request.heads) if self._models else ""
        try:
            answer = self._client.post("/completions", self._body(request, model))
        except RefusedError as error:
            raise self._explained(error, model) from None
        completion = Completion.read(answer, self._client.base_url, self._vocabulary)
        if completion.model not in (None, model):
            raise GenerationError(
                f"{self._client.base_url} was asked for model {model} and answered with "
                f"{shown(completion.model)}: it does not choose adapters by the model's name"
            )
        if completion.tokens:
            stopped = completion.reason == "stop"
            generation = cut_generation(self._tokenizer, self._settings, request, completion.tokens, stopped)
            return generation, len(generation.tokens)
        generation = self._from_text(request, completion)
        return generation, completion.count or len(generation.tokens)

    def _from_text(self, request: Request, completion: Completion) -> Generation:
        """An answer from a server that gives no token ids: its own cut, its tokens encoded anew."""
        text = cut_text(completion.text, request.stop, self._settings)
        tokens = tuple(self._tokenizer.encode(completion.text, add_special_tokens=False))
        finish: FinishReason = "length" if completion.reason == "length" else "stop"
        return Generation(tokens, text, finish)

    def _body(self, request: Request, model: str) -> dict[str, Any]:
        sampling = request.sampling
        body: dict[str, Any] = {
            "model": model,
            "prompt": list(request.prompt),
            "max_tokens": request.max_new_tokens,
            "temperature": sampling.temperature if sampling.do_sample else 0.0,
            "stop": list(request.stop),
        }
        if sampling.do_sample:
            body |= {"top_p": sampling.top_p, "seed": sampling.seed}
            if sampling.top_k:
                body["top_k"] = sampling.top_k
        if sampling.repetition_penalty != 1.0:
            body["repetition_penalty"] = sampling.repetition_penalty
        if self._token_ids:
            body |= {
                "return_token_ids": True,
                "skip_special_tokens": False,
                "stop_token_ids": list(self._settings.end_tokens),
            }
        return body

    def _explained(self, error: RefusedError, model: str) -> GenerationError:
        if error.status == 404:
            return GenerationError(
                f"{self._client.base_url} has no model named {model} any more: {error.detail}; start it with "
                f"--lora-modules {model}=DIR/{model} … and run the same command again"
            )
        if error.status in (400, 422) and self._token_ids:
            return GenerationError(f"{error}; if the server does not know return_token_ids: token_ids=False")
        if error.status in (401, 403):
            return GenerationError(f"{error}; put the key into the variable OPENAI_API_KEY")
        return error
