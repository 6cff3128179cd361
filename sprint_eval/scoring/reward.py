"""A reward model of the user's: a sequence classifier with one output."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from sprint_eval.errors import ArgumentError, DataError, one_line
from sprint_eval.fingerprint import model_fingerprint
from sprint_eval.loading import loading
from sprint_eval.scoring.base import Answer, Progress, batches, score_distinct

_LOGGER = logging.getLogger(__name__)
_TOKENS = 8192  # of a batch, padding included
_UNBOUNDED = 10**9  # beyond this a tokenizer's model_max_length says that it knows none
_HEAD = "ForSequenceClassification"

_Pair = tuple[str, str]
"""A question and an answer."""


class RewardModel:
    """``reward_model=PATH``: the one output of a ``transformers`` sequence classifier.

    It reads the question and the answer as a chat of its tokenizer's template; without a template as
    a pair of texts where the tokenizer has a separator (BERT, DeBERTa), else with a line break
    between them. Code that comes with the model is never run (``trust_remote_code`` stays off).
    """

    name = "reward_model"

    def __init__(self, model: Any, tokenizer: Any, path: str = "") -> None:
        """
        Args:
            model: a loaded sequence classifier with one output, in evaluation mode.
            tokenizer: its tokenizer.
            path: where it came from, for results and messages.
        """
        self._model = model
        self._tokenizer = tokenizer
        self._path = path
        self._fingerprint: str | None = None
        config = model.config.get_text_config()
        # A causal classifier reads its output at the last token that is no padding; without a padding
        # token of its own it takes the last of all, and then no row may be padded.
        self._pad = config.pad_token_id
        limits = (getattr(config, "max_position_embeddings", None), tokenizer.model_max_length)
        known = [int(limit) for limit in limits if limit and limit < _UNBOUNDED]
        self._limit = min(known) if known else None
        self._takes_pairs = not tokenizer.chat_template and tokenizer.sep_token is not None

    @classmethod
    def load(cls, path: str, device: Any, dtype: Any = "auto") -> RewardModel:
        """Load a checkpoint onto a device.

        Raises:
            ArgumentError: what :func:`check_reward_model` refuses, a checkpoint that cannot be loaded, or
                one that lacks weights of the model it names.
        """
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        check_reward_model(path)
        try:
            with loading(f"reward_model {path}"):
                tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
                model, found = AutoModelForSequenceClassification.from_pretrained(
                    path, trust_remote_code=False, dtype=dtype, output_loading_info=True
                )
        except DataError as error:
            raise ArgumentError(one_line(error)) from error
        if found["missing_keys"]:
            name = sorted(found["missing_keys"])[0]
            raise ArgumentError(
                f"reward_model {path} has no weights for {name}: it would score at random; "
                "is it a whole sequence classifier?"
            )
        return cls(model.to(device).eval(), tokenizer, path)

    def key(self, answer: Answer) -> _Pair:
        return answer.question, answer.text

    def score(self, answers: Sequence[Answer], progress: Progress | None = None) -> list[float]:
        """The model's output for each answer, in order.

        Raises:
            GenerationError: one is not finite.
        """
        pairs = [self.key(answer) for answer in answers]
        return score_distinct(pairs, lambda distinct: self._scores(distinct, progress), self.name)

    def info(self) -> dict[str, Any]:
        if self._fingerprint is None:
            self._fingerprint = model_fingerprint(self._model)
        return {
            "scorer": self.name,
            "reward_model": self._path,
            "reward_model_fingerprint": self._fingerprint,
        }

    def _scores(self, pairs: list[_Pair], progress: Progress | None) -> list[float]:
        rows = [self._encode(question, text) for question, text in pairs]
        if self._limit is not None and (cut := sum(len(row["input_ids"]) > self._limit for row in rows)):
            _LOGGER.warning(
                "%d of %d answers are too long for the reward model's %d tokens and are cut",
                *(cut, len(rows), self._limit),
            )
            rows = [self._cut(row, *pair) for row, pair in zip(rows, pairs, strict=True)]
        widths = [len(row["input_ids"]) for row in rows]
        order = sorted(range(len(rows)), key=lambda i: widths[i])
        scores = [0.0] * len(rows)

        def fits(count: int, width: int) -> bool:
            return self._pad is not None and count * width <= _TOKENS

        for batch in batches(widths, order, fits):
            for index, value in zip(batch, self._forward([rows[i] for i in batch]), strict=True):
                scores[index] = value
            if progress is not None:
                progress(len(batch))
        return scores

    def _encode(self, question: str, text: str, **options: Any) -> dict[str, list[int]]:
        """The tokenizer's fields of one row, each a list of the row's length."""
        tokenizer = self._tokenizer
        if tokenizer.chat_template:
            turns = [{"role": "user", "content": question}, {"role": "assistant", "content": text}]
            # The template writes the special tokens itself.
            chat = tokenizer.apply_chat_template(turns, tokenize=False)
            found = tokenizer(chat, add_special_tokens=False, verbose=False)
        elif self._takes_pairs:
            found = tokenizer(question, text, verbose=False, **options)
        else:
            found = tokenizer(f"{question}\n{text}", verbose=False)
        return {name: list(found[name]) for name in found if name in tokenizer.model_input_names}

    def _cut(self, row: dict[str, list[int]], question: str, text: str) -> dict[str, list[int]]:
        """A row that fits: pairs keep their special tokens, others their end, where the answer stands."""
        limit = self._limit
        if limit is None or len(row["input_ids"]) <= limit:
            return row
        if self._takes_pairs:
            return self._encode(question, text, truncation="longest_first", max_length=limit)
        return {name: values[-limit:] for name, values in row.items()}

    def _forward(self, rows: list[dict[str, list[int]]]) -> list[float]:
        width = max(len(row["input_ids"]) for row in rows)
        padding = {"input_ids": self._pad or 0}
        inputs = {
            name: torch.tensor(
                [row[name] + [padding.get(name, 0)] * (width - len(row[name])) for row in rows],
                device=self._model.device,
            )
            for name in rows[0]
        }
        with torch.no_grad():
            logits = self._model(**inputs).logits  # [batch, 1]
        return [float(value) for value in logits[:, 0].float().cpu()]


def check_reward_model(path: str) -> None:
    """Refuse, from its config alone, what is no sequence classifier with one output.

    Raises:
        ArgumentError: says what was found.
    """
    from transformers import AutoConfig

    try:
        with loading("its config"):
            config = AutoConfig.from_pretrained(path, trust_remote_code=False)
    except (DataError, KeyError) as error:
        hint = "" if Path(path).exists() else " (no such folder, nor a name of the hub that can be reached)"
        raise ArgumentError(f"reward_model {path} cannot be read{hint}: {one_line(error)}") from error
    names = list(getattr(config, "architectures", None) or [])
    if not any(str(name).endswith(_HEAD) for name in names):
        raise ArgumentError(
            f"reward_model {path} is {' / '.join(map(str, names)) or 'of no stated class'}: expected a "
            f"sequence classifier (…{_HEAD}) with one output"
        )
    if config.num_labels != 1:
        raise ArgumentError(
            f"reward_model {path} has {config.num_labels} outputs (num_labels): expected one, the reward"
        )
