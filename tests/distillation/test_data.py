"""Batches, and the order in which texts are trained on."""

from __future__ import annotations

import pytest
import torch

from sprint_eval.distillation.data import (
    TaskSource,
    TrainingText,
    collate,
    share_rows,
    step_rows,
    training_texts,
)
from sprint_eval.distillation.losses import IGNORED
from sprint_eval.errors import DataError


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


def test_too_long_texts_are_left_out_and_nothing_left_is_an_error(tokenizer):
    source = TaskSource("rg_math_pass_at_n_fewshot", {"train_size": 60, "test_size": 12}, 0, max_tokens=6)
    with pytest.raises(DataError, match="has no question to train on; the first was left out because"):
        training_texts(source, tokenizer)


def test_moving_a_batch_keeps_it():
    batch = collate([TrainingText((5,), (8,), "a")])
    assert torch.equal(batch.to("cpu").input_ids, batch.input_ids)
