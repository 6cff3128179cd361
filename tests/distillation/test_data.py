"""Batches, and the order in which texts are trained on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from sprint_eval.distillation.data import (
    TaskSource,
    TrainingText,
    _prompts,
    collate,
    share_rows,
    step_rows,
    training_texts,
)
from sprint_eval.distillation.losses import IGNORED
from sprint_eval.errors import ArgumentError, DataError


def test_collate_asks_for_the_logits_that_predict_answers():
    batch = collate([TrainingText((5, 6, 7), (8, 9), "a"), TrainingText((5, 6), (9, 8, 7, 2), "b")])
    assert batch.input_ids.tolist() == [[5, 6, 7, 8, 9, 0], [5, 6, 9, 8, 7, 2]]
    assert batch.lengths.tolist() == [5, 6]
    assert batch.positions.tolist() == [1, 2, 3, 4]
    assert batch.labels.tolist() == [[IGNORED, 8, 9, IGNORED], [9, 8, 7, 2]]
    for row in range(2):
        for place, position in enumerate(batch.positions.tolist()):
            label = int(batch.labels[row, place])
            assert label in (IGNORED, int(batch.input_ids[row, position + 1]))


def test_every_epoch_has_every_text_once_in_an_order_of_its_own():
    first, second = (
        [row for step in range(e * 3, e * 3 + 3) for row in step_rows(12, 4, 7, step)] for e in range(2)
    )
    assert sorted(first) == sorted(second) == list(range(12))
    assert first != second
    assert step_rows(12, 4, 7, 1) == step_rows(12, 4, 7, 1) != step_rows(12, 4, 8, 1)
    assert len(step_rows(3, 16, 0, 5)) == 3


def test_what_one_phase_leaves_over_another_trains_on():
    phases = [[step_rows(31, 16, 5, 0, phase)] for phase in range(12)]
    assert phases[0] == [step_rows(31, 16, 5, 0)]
    assert phases[0][0] == np.random.default_rng([5, 0]).permutation(31)[:16].tolist()
    left_over = [set(range(31)) - {row for rows in steps for row in rows} for steps in phases]
    assert not set.intersection(*left_over)


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("parts", [1, 2, 5])
def test_processes_and_micro_batches_share_a_step(processes, parts):
    rows = [9, 4, 7, 1, 3, 8, 2]
    shares = [share_rows(rows, index, processes, parts) for index in range(processes)]
    assert sorted(row for share in shares for part in share for row in part) == sorted(rows)
    assert len({len(share) for share in shares}) == 1  # a process with fewer would hang the others
    assert all(part for share in shares for part in share)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "<end>", "<unk>", "Question", "Answer", "The", "answer", "is", *":.+-*/=?0123456789"]
    core = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    core.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<end>", pad_token="<pad>", unk_token="<unk>"
    )


def test_texts_of_a_task_are_its_own_prompts_and_end(tokenizer):
    source = TaskSource("rg_math_pass_at_n_fewshot", {"train_size": 60, "test_size": 12}, num_fewshot=0)
    texts = training_texts(source, tokenizer, limit=8)
    assert len(texts) == 8
    assert len({text.key for text in texts}) == 8
    first = texts[0]
    assert tokenizer.decode(first.prompt).startswith("Question :")
    assert tokenizer.decode(first.prompt).endswith("Answer :")
    assert tokenizer.decode(first.target).startswith("The answer is")
    assert first.target[-1] == tokenizer.eos_token_id
    held_out = training_texts(source, tokenizer, "validation")
    assert not {text.key for text in held_out} & {text.key for text in training_texts(source, tokenizer)}


CHAT = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)


class Letters:
    """A chat tokenizer whose tokens are characters."""

    bos_token = eos_token_id = None

    def __init__(self, tokenizer: Any) -> None:
        tokenizer.chat_template = CHAT
        self.apply_chat_template = tokenizer.apply_chat_template

    def encode(self, text: str, **options: Any) -> list[int]:
        return [ord(letter) for letter in text]


def prompt_of(tokenizer: Any, task: str, num_fewshot: int | None) -> str:
    source = TaskSource(task, {"train_size": 6, "test_size": 4}, num_fewshot, True, max_tokens=4096)
    return "".join(map(chr, _prompts(source, Letters(tokenizer), "train", 1)[0][0]))


@pytest.mark.parametrize("num_fewshot", [0, 1])
def test_worked_examples_are_turns_of_a_chat(tokenizer, num_fewshot):
    prompt = prompt_of(tokenizer, "rg_math_pass_at_n_fewshot", num_fewshot)
    assert prompt.startswith("<user>Question:")
    assert prompt.count("<user>") == prompt.count("<assistant>") == num_fewshot + 1


def test_a_template_without_a_system_role_goes_without_its_message(tokenizer):
    assert prompt_of(tokenizer, "rg_math_pass_at_n", None).startswith("<user>")


def test_worked_examples_are_as_many_as_lm_eval_gives(tokenizer):
    source = TaskSource("rg_math_pass_at_n", {"train_size": 6, "test_size": 4}, num_fewshot=None)
    zero = _prompts(source, tokenizer, "train", 1)
    assert zero == _prompts(replace(source, num_fewshot=0), tokenizer, "train", 1)
    with pytest.raises(ArgumentError, match="num_fewshot = -1: expected 0 or more"):
        replace(source, num_fewshot=-1)


def test_too_long_texts_are_left_out_and_nothing_left_is_an_error(tokenizer):
    source = TaskSource("rg_math_pass_at_n_fewshot", {"train_size": 60, "test_size": 12}, 0, max_tokens=6)
    with pytest.raises(DataError, match="has no question to train on; the first was left out because"):
        training_texts(source, tokenizer)


def test_moving_a_batch_keeps_it():
    batch = collate([TrainingText((5,), (8,), "a")])
    assert torch.equal(batch.to("cpu").input_ids, batch.input_ids)
