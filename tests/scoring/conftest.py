"""Tiny random reward models as checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}


def save_classifier(folder: Path, kind: str, tokenizer: Any, **config: Any) -> str:
    """A random sequence classifier with one output (unless ``num_labels`` says otherwise)."""
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForSequenceClassification

    wanted = {"vocab_size": len(tokenizer), "num_labels": 1, "max_position_embeddings": 256} | SHAPE | config
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(CONFIG_MAPPING[kind](**wanted)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, 0.2)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def classifier() -> Any:
    """:func:`save_classifier`, for tests that make one of their own."""
    return save_classifier


@pytest.fixture(scope="session")
def chat_tokenizer(smollm2: str) -> Any:
    """With a chat template."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(smollm2)


@pytest.fixture(scope="session")
def chat_reward(tmp_path_factory: pytest.TempPathFactory, chat_tokenizer: Any) -> str:
    """A llama that pads its batches."""
    folder = tmp_path_factory.mktemp("chat-reward")
    return save_classifier(folder, "llama", chat_tokenizer, pad_token_id=chat_tokenizer.pad_token_id)


@pytest.fixture(scope="session")
def pair_reward(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A BERT that takes a pair of texts."""
    from transformers import AutoTokenizer

    from sprint_eval.models import resolve_embedder_path

    tokenizer = AutoTokenizer.from_pretrained(resolve_embedder_path("all-MiniLM-L6-v2"))
    tokenizer.model_max_length = 64
    return save_classifier(tmp_path_factory.mktemp("pair-reward"), "bert", tokenizer, pad_token_id=0)
