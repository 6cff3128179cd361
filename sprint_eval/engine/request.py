"""What a backend is asked and what it answers: the one vocabulary of everyone who decodes."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Literal

from sprint_eval.errors import ArgumentError
from sprint_eval.heads import HeadSet

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen: greedy, or multinomial with a seed of the request's own.

    The seed belongs to the request, so that its text does not depend on the batch it runs in.
    The repetition penalty is ``transformers``' (prompt included) and applies to greedy decoding too.
    """

    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.repetition_penalty) and self.repetition_penalty > 0):
            raise ArgumentError(f"repetition_penalty = {self.repetition_penalty}: expected a value above 0")
        if not self.do_sample:
            return
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ArgumentError(f"temperature = {self.temperature}: sampling needs a finite value above 0")
        if self.top_k < 0:
            raise ArgumentError(f"top_k = {self.top_k}: expected 0 (off) or more")
        if not 0 < self.top_p <= 1:
            raise ArgumentError(f"top_p = {self.top_p}: expected a value in (0, 1]")


GREEDY = Sampling()


@dataclass(frozen=True)
class Request:
    """One answer to decode.

    Attributes:
        prompt: token ids of the whole prompt, special tokens included; any sequence becomes a tuple.
        heads: heads pruned at every position, the prompt's too; empty for the base.
        max_new_tokens: limit on generated tokens, the stop included.
        stop: strings that end the answer; the text is cut before the first of them.
        sampling: greedy by default.
        group: names the question for callers that keep its variants together. The engine itself shares
            between requests whose prompts are the same tokens, whatever their groups.
    """

    prompt: tuple[int, ...]
    heads: HeadSet = field(default_factory=HeadSet)
    max_new_tokens: int = 256
    stop: tuple[str, ...] = ()
    sampling: Sampling = GREEDY
    group: Hashable | None = None

    def __post_init__(self) -> None:
        for name, wanted in (("prompt", "tuple(tokenizer(text)['input_ids'])"), ("stop", "(text,)")):
            value = getattr(self, name)
            if isinstance(value, str):
                raise ArgumentError(f"{name} is a text; give {wanted}")
            object.__setattr__(self, name, tuple(value))
        if type(self.heads) is not HeadSet:
            raise ArgumentError(
                f"{self.heads} brings sampling of its own; build the request by GenerationSettings.request"
            )
        if not self.prompt:
            raise ArgumentError("a request needs a prompt of at least one token")
        if self.max_new_tokens < 1:
            raise ArgumentError(f"max_new_tokens = {self.max_new_tokens}: expected 1 or more")
        if any(not text for text in self.stop):
            raise ArgumentError("an empty stop string would end every answer at once")

    @property
    def length(self) -> int:
        """Tokens of prompt and answer at most."""
        return len(self.prompt) + self.max_new_tokens


@dataclass(frozen=True)
class Generation:
    """One decoded answer.

    Attributes:
        tokens: generated token ids, up to and with the stop.
        text: the answer as lm-eval's ``hf`` would give it: decoded without special tokens, cut
            before the first stop string.
        finish_reason: ``"stop"`` (a stop string or an end token) or ``"length"`` (the limit).
        logprob: mean log-probability of the tokens under the masked model, where it was computed.
    """

    tokens: tuple[int, ...]
    text: str
    finish_reason: FinishReason
    logprob: float | None = None
