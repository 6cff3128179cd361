"""A task's questions as training texts: the very prompts of the evaluation, and what to answer."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sprint_eval.distillation.losses import IGNORED
from sprint_eval.distillation.targets import Style, target_text
from sprint_eval.errors import ArgumentError, DataError
from sprint_eval.prompts import encode_prompts

if TYPE_CHECKING:
    from torch import Tensor

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingText:
    """One question with the answer to be learnt.

    Attributes:
        prompt: token ids of the prompt, as the evaluation tokenizes it.
        target: token ids of the answer, the end token included.
        key: the question's identity.
    """

    prompt: tuple[int, ...]
    target: tuple[int, ...]
    key: str

    @property
    def tokens(self) -> tuple[int, ...]:
        return self.prompt + self.target


@dataclass(frozen=True)
class TaskSource:
    """Where training texts come from: a task as ``lm_eval`` would be told of it.

    Attributes:
        task: name of the task.
        metadata: the task's metadata, for instance ``{"data_dir": ...}``.
        num_fewshot: worked examples in the prompt; ``None`` for the task's own number, which a task that
            says 0 keeps.
        apply_chat_template: whether the evaluation will.
        style: how answers are written.
        max_tokens: longer texts are left out.
    """

    task: str
    metadata: Mapping[str, Any]
    num_fewshot: int | None = None
    apply_chat_template: bool = False
    style: Style = "steps"
    max_tokens: int = 1024

    def __post_init__(self) -> None:
        if self.num_fewshot is not None and self.num_fewshot < 0:
            raise ArgumentError(f"num_fewshot = {self.num_fewshot}: expected 0 or more")


def training_texts(
    source: TaskSource, tokenizer: Any, split: str = "train", limit: int | None = None
) -> list[TrainingText]:
    """The questions of a split, in the task's own shuffled order.

    Questions whose equation does not give their answer, or that are too long, are left out with a
    warning that counts them.

    Raises:
        DataError: the split has no question that can be used.
    """
    pairs = _prompts(source, tokenizer, split, limit)
    texts: list[TrainingText] = []
    dropped: list[str] = []
    for prompt, delimiter, doc in pairs:
        try:
            target = delimiter + target_text(doc, source.style)
        except DataError as error:
            dropped.append(str(error))
            continue
        ids = tokenizer.encode(target, add_special_tokens=False) + _end(tokenizer)
        if len(prompt) + len(ids) > source.max_tokens:
            dropped.append(f"{len(prompt) + len(ids)} tokens, more than {source.max_tokens}")
            continue
        texts.append(TrainingText(prompt, tuple(ids), str(doc.get("question_key", ""))))
    if dropped:
        _LOGGER.warning(
            "%d of %d %s questions left out, the first because: %s",
            len(dropped), len(dropped) + len(texts), split, dropped[0],
        )  # fmt: skip
    if not texts:
        why = f"; the first was left out because {dropped[0]}" if dropped else ""
        raise DataError(f"the {split} split of {source.task} has no question to train on{why}")
    return texts


@dataclass(frozen=True)
class Batch:
    """Texts padded on the right: causal attention needs no mask for that.

    Attributes:
        input_ids: ``[batch, seq]``.
        lengths: ``[batch]``, tokens of each text.
        positions: ``[kept]``, positions whose logits are wanted: all that predict an answer's token.
        labels: ``[batch, kept]``, the token that each of them is to predict, or ``IGNORED``.
    """

    input_ids: Tensor
    lengths: Tensor
    positions: Tensor
    labels: Tensor

    def to(self, device: Any) -> Batch:
        return Batch(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def collate(texts: Sequence[TrainingText]) -> Batch:
    """Texts as one batch."""
    longest = max(len(text.tokens) for text in texts)
    first = min(len(text.prompt) for text in texts) - 1
    ids = torch.zeros(len(texts), longest, dtype=torch.long)
    labels = torch.full((len(texts), longest), IGNORED, dtype=torch.long)
    for row, text in enumerate(texts):
        end, start = len(text.tokens), len(text.prompt)
        ids[row, :end] = torch.tensor(text.tokens)
        labels[row, start - 1 : end - 1] = torch.tensor(text.target)
    positions = torch.arange(first, longest - 1)
    lengths = torch.tensor([len(text.tokens) for text in texts])
    return Batch(ids, lengths, positions, labels[:, first:-1])


@dataclass(frozen=True)
class PackedBatch:
    """Texts behind one another in one row: no padding.

    Attributes:
        input_ids: ``[1, tokens]``.
        position_ids: ``[1, tokens]``, each text's from 0.
        lengths: ``[texts]``, tokens of each text.
        answers: ``[answers]``, the tokens whose logits predict an answer's token.
        labels: ``[1, answers]``, what each of them is to predict.
    """

    input_ids: Tensor
    position_ids: Tensor
    lengths: Tensor
    answers: Tensor
    labels: Tensor

    def to(self, device: Any) -> PackedBatch:
        return PackedBatch(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def pack(texts: Sequence[TrainingText]) -> PackedBatch:
    """Texts as one packed batch."""
    lengths = [len(text.tokens) for text in texts]
    ends = np.cumsum(lengths).tolist()
    answers = [
        place
        for text, end in zip(texts, ends, strict=True)
        for place in range(end - len(text.target) - 1, end - 1)
    ]
    return PackedBatch(
        torch.tensor([[token for text in texts for token in text.tokens]]),
        torch.cat([torch.arange(length) for length in lengths])[None],
        torch.tensor(lengths),
        torch.tensor(answers),
        torch.tensor([[token for text in texts for token in text.target]]),
    )


def step_rows(count: int, batch_size: int, seed: int, step: int, phase: int = 0) -> list[int]:
    """Which texts step ``step`` (from 0) trains on: each epoch of each phase in an order of its own.

    What is left of an epoch after its whole batches waits for another epoch, or phase.

    Args:
        phase: 0 for the teacher's fine-tuning, then the round's number.
    """
    size = min(batch_size, count)
    per_epoch = count // size
    order = np.random.default_rng([seed, step // per_epoch, phase]).permutation(count)
    start = (step % per_epoch) * size
    return [int(row) for row in order[start : start + size]]


def share_rows(rows: Sequence[int], index: int, processes: int, parts: int) -> list[list[int]]:
    """One process's rows of a step, in ``parts`` micro-batches of which none is empty."""
    mine = list(rows[index::processes])
    parts = max(1, min(parts, len(rows) // processes))
    return [[mine[i] for i in part] for part in np.array_split(np.arange(len(mine)), parts)]


def _end(tokenizer: Any) -> list[int]:
    return [tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else []


def _prompts(
    source: TaskSource, tokenizer: Any, split: str, limit: int | None
) -> list[tuple[tuple[int, ...], str, Mapping[str, Any]]]:
    """Prompt tokens, what stands between prompt and answer, and document of each question."""
    from sprint_eval.tasks import load_task, set_num_fewshot

    task = load_task(source.task, dict(source.metadata), split=split)
    set_num_fewshot(task, source.num_fewshot)
    task.set_fewshot_seed(seed=1234)  # lm-eval's default
    chat = source.apply_chat_template
    try:
        task.build_all_requests(
            limit=limit,
            rank=0,
            world_size=1,
            apply_chat_template=chat,
            fewshot_as_multiturn=chat,  # the lm_eval command's default
            chat_template=_chat(tokenizer) if chat else None,
            tokenizer_name=getattr(tokenizer, "name_or_path", ""),
        )
    except ValueError as error:
        raise DataError(f"the {split} split of {source.task} has no question to train on: {error}") from error
    first = {instance.doc_id: instance for instance in reversed(task.instances)}
    chosen = [first[doc_id] for doc_id in sorted(first)]
    prompts = encode_prompts(tokenizer, [instance.args[0] for instance in chosen], source.max_tokens)
    delimiter = "" if chat else str(task.config.target_delimiter)
    return [(prompt, delimiter, instance.doc) for prompt, instance in zip(prompts, chosen, strict=True)]


def _chat(tokenizer: Any) -> Any:
    """Chats as lm-eval's ``hf`` writes them: a template that knows no system message goes without it."""
    from jinja2.exceptions import TemplateError

    def written(history: list[dict[str, str]], add_generation_prompt: bool) -> str:
        return str(
            tokenizer.apply_chat_template(
                history,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=not add_generation_prompt,
            )
        )

    def apply(history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        try:
            return written(history, add_generation_prompt)
        except TemplateError:
            without = [message for message in history if message["role"] != "system"]
            return written(without, add_generation_prompt)

    return apply
