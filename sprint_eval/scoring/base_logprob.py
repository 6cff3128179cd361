"""How likely the unpruned model finds an answer: its tokens' mean log-probability."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

import torch

from sprint_eval.scoring.base import Answer, Progress, batches, score_distinct
from sprint_eval.scoring.prefix import PrefixChain, shared_length

if TYPE_CHECKING:
    from torch import Tensor

_TOKENS = 8192  # of a batch, padding included
_LOGITS = 2**26  # of a batch: a quarter of a GiB in float32
_AT_ONCE = 2**24  # logits turned into float32 together

_Pair = tuple[tuple[int, ...], tuple[int, ...]]
"""Token ids of a prompt and of an answer."""


class BaseLogprob:
    """``score=base_logprob``: ``(1/T) Σ_t log p(y_t | prompt, y_<t)`` under a model as it is, no head masked.

    The T tokens are those that were decoded, the stop among them, so that an answer which ends where
    the base would end scores higher than one that runs on. Each distinct (prompt, answer) is computed
    once; where answers share their prompts, or prompts their beginnings, so are those.
    """

    name = "base_logprob"

    def __init__(self, model: Any, max_tokens: int = _TOKENS) -> None:
        """
        Args:
            model: a loaded causal LM; what it is in must not be masked while this scores.
            max_tokens: tokens of a batch, padding included.
        """
        self._model = model
        self._max_tokens = max_tokens
        # Without it a forward makes logits of the whole prompt too.
        self._keeps = "logits_to_keep" in inspect.signature(model.forward).parameters

    def key(self, answer: Answer) -> _Pair:
        return answer.prompt, answer.tokens

    def score(self, answers: Sequence[Answer], progress: Progress | None = None) -> list[float]:
        """Mean log-probability of each answer's tokens, in order.

        Raises:
            GenerationError: one is not finite.
        """
        pairs = [self.key(answer) for answer in answers]
        return score_distinct(pairs, lambda distinct: self._scores(distinct, progress), self.name)

    def info(self) -> dict[str, Any]:
        return {"scorer": self.name}

    def _scores(self, pairs: list[_Pair], progress: Progress | None) -> list[float]:
        if self._worth_sharing(pairs):
            return self._with_shared_prompts(pairs, progress)
        return self._alone(pairs, progress)

    def _worth_sharing(self, pairs: list[_Pair]) -> bool:
        """Whether it saves half of all tokens: a prompt at a time fills no batch."""
        if not self._keeps or not PrefixChain.suits(self._model):
            return False
        prompts = sorted({prompt for prompt, _ in pairs})
        shared = sum(shared_length(a, b) for a, b in pairwise(prompts))
        new = sum(map(len, prompts)) - shared
        answers = sum(len(tokens) for _, tokens in pairs)
        return 2 * (new + answers) <= sum(len(prompt) for prompt, _ in pairs) + answers

    def _with_shared_prompts(self, pairs: list[_Pair], progress: Progress | None) -> list[float]:
        scores = [0.0] * len(pairs)
        widths = [len(tokens) for _, tokens in pairs]
        chain = PrefixChain(self._model)
        vocabulary = int(self._model.config.get_text_config().vocab_size)
        order = sorted(range(len(pairs)), key=lambda i: (pairs[i][0], len(pairs[i][1])))
        for prompt, siblings in groupby(order, key=lambda i: pairs[i][0]):
            chain.move(prompt[:-1])

            def fits(rows: int, width: int, before: int = len(prompt)) -> bool:
                return rows * (before + width) <= self._max_tokens and rows * width * vocabulary <= _LOGITS

            for batch in batches(widths, siblings, fits):
                found = self._continue(chain, prompt, [pairs[i][1] for i in batch])
                for index, value in zip(batch, found, strict=True):
                    scores[index] = value
                if progress is not None:
                    progress(len(batch))
        return scores

    def _continue(
        self, chain: PrefixChain, prompt: tuple[int, ...], answers: list[tuple[int, ...]]
    ) -> list[float]:
        """Scores of answers to the prompt whose tokens but the last are in the chain."""
        width = max(map(len, answers))
        device = self._model.device
        rows = [[prompt[-1], *tokens] + [0] * (width - len(tokens)) for tokens in answers]
        ids = torch.tensor(rows, device=device)  # [batch, 1 + width]
        lengths = torch.tensor([len(prompt) + len(tokens) for tokens in answers], device=device)
        mask = (torch.arange(len(prompt) + width - 1, device=device) < lengths[:, None]).long()
        cache = chain.cache(len(rows))
        with torch.no_grad():
            logits = self._model(
                input_ids=ids[:, :-1], attention_mask=mask, past_key_values=cache, use_cache=True
            ).logits
        return [_mean(logits[row, : len(tokens)], ids[row, 1:]) for row, tokens in enumerate(answers)]

    def _alone(self, pairs: list[_Pair], progress: Progress | None) -> list[float]:
        """Every pair a row of its own, whole."""
        widths = [len(prompt) + len(tokens) for prompt, tokens in pairs]
        # Answers to one question stand together: a forward keeps the logits of few positions.
        order = sorted(range(len(pairs)), key=lambda i: (len(pairs[i][0]), pairs[i][0], widths[i]))
        scores = [0.0] * len(pairs)
        vocabulary = int(self._model.config.get_text_config().vocab_size)

        def fits(rows: int, width: int) -> bool:
            logits = rows * width * vocabulary if not self._keeps else 0
            return rows * width <= self._max_tokens and logits <= _LOGITS

        for batch in batches(widths, order, fits):
            for part in self._parts([pairs[i] for i in batch], batch, vocabulary):
                for index, value in zip(part, self._forward([pairs[i] for i in part]), strict=True):
                    scores[index] = value
                if progress is not None:
                    progress(len(part))
        return scores

    def _parts(self, pairs: list[_Pair], batch: list[int], vocabulary: int) -> list[list[int]]:
        """The batch, cut so that the logits which a forward keeps fit into memory."""
        if not self._keeps:
            return [batch]
        first, last = _span(pairs)
        rows = max(1, _LOGITS // ((last - first) * vocabulary))
        return [batch[start : start + rows] for start in range(0, len(batch), rows)]

    def _forward(self, pairs: list[_Pair]) -> list[float]:
        width = max(len(prompt) + len(tokens) for prompt, tokens in pairs)
        device = self._model.device
        # Padded on the right: nothing before it sees it, and positions count from 0 in every row.
        rows = [[*prompt, *tokens] + [0] * (width - len(prompt) - len(tokens)) for prompt, tokens in pairs]
        ids = torch.tensor(rows, device=device)  # [batch, width]
        lengths = torch.tensor([len(prompt) + len(tokens) for prompt, tokens in pairs], device=device)
        mask = (torch.arange(width, device=device) < lengths[:, None]).long()
        first, last = _span(pairs)
        # An index on the CPU serves logits on any device.
        keep = {"logits_to_keep": torch.arange(first, last)} if self._keeps else {}
        with torch.no_grad():
            logits = self._model(input_ids=ids, attention_mask=mask, use_cache=False, **keep).logits
        start = first if self._keeps else 0
        means = []
        for row, (prompt, tokens) in enumerate(pairs):
            at = len(prompt) - 1 - start
            means.append(_mean(logits[row, at : at + len(tokens)], ids[row, len(prompt) :]))
        return means


def _mean(logits: Tensor, targets: Tensor) -> float:
    """Mean log-probability of the targets that logits ``[T, vocabulary]`` predict."""
    return float(_log_probabilities(logits, targets).cpu().double().mean())


def _span(pairs: Sequence[_Pair]) -> tuple[int, int]:
    """First and last (exclusive) position whose logits predict a token of some answer."""
    first = min(len(prompt) for prompt, _ in pairs) - 1
    return first, max(len(prompt) + len(tokens) for prompt, tokens in pairs) - 1


def _log_probabilities(logits: Tensor, targets: Tensor) -> Tensor:
    """Of each position's target, in float32: logits ``[T, vocabulary]``, targets ``[>= T]`` -> ``[T]``."""
    rows = max(1, _AT_ONCE // logits.shape[-1])
    parts = []
    for start in range(0, len(logits), rows):
        part = logits[start : start + rows].float()
        chosen = part.gather(-1, targets[start : start + len(part), None].to(part.device))[:, 0]
        parts.append(chosen - part.logsumexp(-1))
    return torch.cat(parts)
