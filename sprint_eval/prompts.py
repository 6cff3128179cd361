"""From what lm-eval hands a model (texts and ``gen_kwargs``) to an engine's requests.

One place for everyone who decodes an lm-eval task (the model wrappers and the sweep), so that a
router is trained on exactly the prompts and settings that it is tested on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

from sprint_eval.backends.served import ServedModel
from sprint_eval.draws import Draw
from sprint_eval.engine.request import Request, Sampling
from sprint_eval.engine.sampling import stable_seed
from sprint_eval.engine.settings import DecodingSettings
from sprint_eval.errors import ArgumentError, did_you_mean
from sprint_eval.heads import HeadSet
from sprint_eval.prompt_facts import END_TOKENS, TOKEN_LIMITS

_LOGGER = logging.getLogger(__name__)

DEFAULT_MAX_GEN_TOKS = 256  # HFLM's own
_NEUTRAL = {"num_beams": 1, "num_return_sequences": 1, "use_cache": True}
_KNOWN = {
    "until",
    "do_sample",
    "temperature",
    "top_k",
    "top_p",
    "repetition_penalty",
    *TOKEN_LIMITS,
    *_NEUTRAL,
}
_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True)
class GenerationSettings:
    """One task's generation settings, resolved as lm-eval's ``hf`` resolves them.

    Attributes:
        stop: stop strings, the end-of-text string included.
        max_new_tokens: limit on generated tokens.
        sampling: how tokens are chosen; its seed is replaced request by request.
    """

    stop: tuple[str, ...]
    max_new_tokens: int
    sampling: Sampling

    @classmethod
    def from_gen_kwargs(cls, gen_kwargs: Mapping[str, Any], model: Any, tokenizer: Any) -> GenerationSettings:
        """Read a task's ``gen_kwargs`` over the model's ``generation_config``.

        Raises:
            ArgumentError: a setting that is unknown, that no backend here carries out, or whose value is
                no number (of ``until``: no text or list of texts).
        """
        for name, value in gen_kwargs.items():
            if name not in _KNOWN:
                raise ArgumentError(
                    f"generation setting '{name}' is not supported{did_you_mean(name, _KNOWN)}"
                )
            if name in _NEUTRAL and value != _NEUTRAL[name]:
                raise ArgumentError(f"generation setting {name} = {value!r} is not supported here")
        limits = {name: gen_kwargs[name] for name in TOKEN_LIMITS if gen_kwargs.get(name) is not None}
        given = [_number(name, limit, int) for name, limit in limits.items()]
        defaults = model.generation_config
        return cls(
            _stop_strings(gen_kwargs.get("until"), tokenizer),
            given[0] if given else DEFAULT_MAX_GEN_TOKS,
            _sampling(gen_kwargs, defaults),
        )

    def request(
        self, prompt: tuple[int, ...], heads: HeadSet, group: Any, *seed: object, draw_seed: int = 0
    ) -> Request:
        """A request under these settings; the parts of ``seed`` decide what a task that samples gets.

        A :class:`~sprint_eval.draws.Draw` brings its own settings: its answer depends on them, its
        number, the prompt and ``draw_seed`` alone, not on where it stands among the candidates.
        """
        sampling = self.sampling
        if isinstance(heads, Draw):
            sampling = replace(
                sampling,
                do_sample=True,
                temperature=heads.temperature,
                top_k=heads.top_k,
                top_p=heads.top_p,
                seed=stable_seed("draw", draw_seed, heads.number, *prompt),
            )
            return Request(prompt, HeadSet(), self.max_new_tokens, self.stop, sampling, group)
        if sampling.do_sample:
            sampling = replace(sampling, seed=stable_seed(*seed))
        return Request(prompt, heads, self.max_new_tokens, self.stop, sampling, group)

    def as_dict(self) -> dict[str, Any]:
        """The settings as JSON values; the seed is not among them."""
        sampling = asdict(self.sampling)
        sampling.pop("seed")
        return {"stop": list(self.stop), "max_new_tokens": self.max_new_tokens, **sampling}


def generation_facts(settings: GenerationSettings, lm: Any) -> dict[str, Any]:
    """For manifests and routers: everything that decides a text but the prompt, the heads and the seed.

    Args:
        lm: lm-eval's ``hf`` around the model. Where a served engine holds that, the end tokens are left
            out: a server ends answers at those of its own, too.

    Raises:
        UnsupportedModelError: the model's ``generation_config`` asks for what is not carried out here.
    """
    facts = {**settings.as_dict(), "think_end_token": lm.think_end_token}
    if not isinstance(lm.model, ServedModel):
        facts[END_TOKENS] = sorted(DecodingSettings.from_model(lm.model, lm.tokenizer).end_tokens)
    return facts


def encode_prompts(
    tokenizer: Any, texts: Sequence[str], max_tokens: int, add_bos_token: bool | None = None
) -> list[tuple[int, ...]]:
    """Tokenize prompts as lm-eval's ``hf`` does; the last ``max_tokens`` of a longer one are kept.

    Raises:
        ArgumentError: the answer's token limit leaves no room for a prompt, or a prompt is empty.
    """
    if max_tokens < 1:
        raise ArgumentError(
            "the token limit of the answer leaves no room for a prompt in the model's context; "
            "lower max_gen_toks"
        )
    prompts, cut = [], 0
    for text in texts:
        ids = tokenizer.encode(text, **_special_tokens(tokenizer, text, add_bos_token))
        if not ids:
            raise ArgumentError("a prompt is empty once tokenized")
        cut += len(ids) > max_tokens
        prompts.append(tuple(ids[-max_tokens:]))
    if cut:
        _LOGGER.warning("%d of %d prompts are cut to their last %d tokens", cut, len(texts), max_tokens)
    return prompts


def _special_tokens(tokenizer: Any, text: str, add_bos_token: bool | None) -> dict[str, bool]:
    bos = tokenizer.bos_token
    if bos and text.startswith(bos):
        return {"add_special_tokens": False}
    return {} if add_bos_token is None else {"add_special_tokens": add_bos_token}


def _stop_strings(until: Any, tokenizer: Any) -> tuple[str, ...]:
    if until is None:
        until = []
    stops = [until] if isinstance(until, str) else until
    if not isinstance(stops, Sequence) or not all(isinstance(text, str) for text in stops):
        raise ArgumentError(f"generation setting until = {until!r}: expected a text or a list of texts")
    end = tokenizer.decode(tokenizer.eos_token_id) if tokenizer.eos_token_id is not None else ""
    # An empty stop string is what a tokenizer without an end token gives; it stops nothing.
    return tuple(dict.fromkeys(text for text in [*stops, end] if text))


def _sampling(gen_kwargs: Mapping[str, Any], defaults: Any) -> Sampling:
    def value(name: str, fallback: float) -> float:
        given = gen_kwargs.get(name)
        found = given if given is not None else getattr(defaults, name, None)
        return _number(name, fallback if found is None else found, float)

    temperature = _number("temperature", gen_kwargs.get("temperature") or 0.0, float)
    do_sample = gen_kwargs.get("do_sample")
    penalty = value("repetition_penalty", 1.0)
    if not (temperature > 0.0 if do_sample is None else do_sample):
        return Sampling(repetition_penalty=penalty)
    if temperature <= 0.0:
        raise ArgumentError("do_sample=True needs a temperature above 0, for instance temperature=0.6")
    # 50 is transformers' own top_k where neither the task nor the model names one.
    top_k = _number("top_k", value("top_k", 50), int)
    return Sampling(True, temperature, top_k, value("top_p", 1.0), repetition_penalty=penalty)


def _number(name: str, value: Any, kind: Callable[[Any], _Number]) -> _Number:
    """The value as an ``int`` or ``float``, whichever ``kind`` is."""
    try:
        if isinstance(value, bool):
            raise TypeError
        return kind(value)
    except (TypeError, ValueError, OverflowError):
        raise ArgumentError(f"generation setting {name} = {value!r}: expected a number") from None
