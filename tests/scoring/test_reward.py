"""Reward models against transformers, one answer at a time."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from sprint_eval.errors import ArgumentError
from sprint_eval.scoring import Answer, RewardModel

PAIRS = [(f"What is {i} + {i}?", f"So {'well ' * (i % 4)}the answer is {i}.") for i in range(9)]


def answers() -> list[Answer]:
    return [Answer((1,), (2,), question, text) for question, text in PAIRS]


def output(path: str, inputs: Any) -> float:
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(path, dtype=torch.float32)
    with torch.no_grad():
        return float(model(**inputs).logits[0, 0])


def test_a_chat_is_scored_as_its_template_writes_it(chat_reward: str, chat_tokenizer: Any) -> None:
    scores = RewardModel.load(chat_reward, "cpu").score(answers())
    for (question, text), score in zip(PAIRS, scores, strict=True):
        turns = [{"role": "user", "content": question}, {"role": "assistant", "content": text}]
        inputs = chat_tokenizer.apply_chat_template(turns, return_tensors="pt", return_dict=True)
        assert score == pytest.approx(output(chat_reward, inputs), abs=1e-4)
    assert len(set(scores)) == len(scores)


def test_a_pair_is_scored_as_its_tokenizer_joins_it(pair_reward: str) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(pair_reward)
    scores = RewardModel.load(pair_reward, "cpu").score(answers())
    for (question, text), score in zip(PAIRS, scores, strict=True):
        expected = output(pair_reward, tokenizer(question, text, return_tensors="pt"))
        assert score == pytest.approx(expected, abs=1e-4)


def test_without_a_template_question_and_answer_stand_on_lines(
    tmp_path: Path, smollm2: str, classifier: Any
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(smollm2)
    tokenizer.chat_template = None
    # No padding token: rows of different lengths cannot share a batch.
    path = classifier(tmp_path, "llama", tokenizer, pad_token_id=None)
    scores = RewardModel.load(path, "cpu").score(answers())
    for (question, text), score in zip(PAIRS, scores, strict=True):
        inputs = tokenizer(f"{question}\n{text}", return_tensors="pt")
        assert score == pytest.approx(output(path, inputs), abs=1e-4)


def test_equal_answers_are_scored_once(chat_reward: str) -> None:
    told: list[int] = []
    scores = RewardModel.load(chat_reward, "cpu").score([*answers(), *answers()], told.append)
    assert sum(told) == len(PAIRS)
    assert scores[: len(PAIRS)] == scores[len(PAIRS) :]


@pytest.mark.parametrize("reward", ["chat_reward", "pair_reward"])
def test_long_answers_are_cut_and_said_so(
    reward: str, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    path = request.getfixturevalue(reward)
    long = Answer((1,), (2,), "What is it?", "so " * 400 + "it is 7.")
    with caplog.at_level(logging.WARNING):
        first, second = RewardModel.load(path, "cpu").score([long, answers()[0]])
    assert "1 of 2 answers are too long for the reward model's" in caplog.text
    assert first != second


def test_results_say_which_model_it_was(chat_reward: str) -> None:
    info = RewardModel.load(chat_reward, "cpu").info()
    assert info["scorer"] == "reward_model"
    assert info["reward_model"] == chat_reward
    assert len(info["reward_model_fingerprint"]) == 16


def test_a_classifier_of_two_classes_is_refused(tmp_path: Path, chat_tokenizer: Any, classifier: Any) -> None:
    path = classifier(tmp_path, "llama", chat_tokenizer, num_labels=2)
    with pytest.raises(ArgumentError, match="has 2 outputs"):
        RewardModel.load(path, "cpu")


def test_a_causal_model_is_refused(tiny_checkpoint: str) -> None:
    with pytest.raises(ArgumentError, match="is LlamaForCausalLM: expected a sequence classifier"):
        RewardModel.load(tiny_checkpoint, "cpu")


def test_a_causal_model_that_calls_itself_a_classifier_is_refused(
    tmp_path: Path, tiny_checkpoint: str
) -> None:
    for file in Path(tiny_checkpoint).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"architectures": ["LlamaForSequenceClassification"], "id2label": {"0": "reward"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ArgumentError, match=r"has no weights for score\.weight"):
        RewardModel.load(str(tmp_path), "cpu")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("model.safetensors", b"half", "cannot be loaded"),
        ("config.json", b"{", "cannot be read: "),
        ("config.json", b'{"model_type": "llama", "hidden_size": "wide"}', "cannot be read: "),
    ],
)
def test_a_half_copied_or_malformed_folder_is_refused(
    chat_reward: str, tmp_path: Path, file: str, content: bytes, message: str
) -> None:
    folder = shutil.copytree(chat_reward, tmp_path / "reward")
    (folder / file).write_bytes(content)
    with pytest.raises(ArgumentError, match=rf"reward_model .*reward {message}"):
        RewardModel.load(str(folder), "cpu")


def test_code_of_a_checkpoint_is_never_run(tmp_path: Path, chat_tokenizer: Any, classifier: Any) -> None:
    path = Path(classifier(tmp_path, "llama", chat_tokenizer))
    config = json.loads((path / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config"}}
    (path / "config.json").write_text(json.dumps(config))
    (path / "mine.py").write_text(f"open({str(path / 'ran')!r}, 'w')\nclass Config: pass\n")
    with pytest.raises(ArgumentError, match="cannot be read"):
        RewardModel.load(str(path), "cpu")
    assert not (path / "ran").exists()


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="no such folder"):
        RewardModel.load(str(tmp_path / "nowhere"), "cpu")
