"""What the engine's tests share: tokenizers without vocabulary files, and models with heads cut off."""

from __future__ import annotations

import copy
from typing import Any

import torch

from sprint_eval.architectures import attention_layout
from sprint_eval.heads import HeadSet


class CharTokenizer:
    """64 printable characters, one a token: enough to decode and to stop."""

    pad_token_id = 0
    eos_token_id = 2

    def decode(self, tokens: list[int], skip_special_tokens: bool = False) -> str:
        return "".join(chr(48 + t) for t in tokens if not (skip_special_tokens and t < 3))

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        return [ord(c) - 48 for c in text]


class Digits:
    """A tokenizer without stop strings to look for."""

    pad_token_id = 0
    eos_token_id = 2

    def decode(self, tokens: list[int], skip_special_tokens: bool = False) -> str:
        return " ".join(map(str, tokens))

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        return [int(part) for part in text.split()]


def zero_columns(model: Any, heads: HeadSet) -> Any:
    """A copy of the model with the pruned heads' columns of the output projections zeroed."""
    cut = copy.deepcopy(model)
    layout = attention_layout(cut)
    for head in heads:
        projection: Any = layout.outputs[head.layer]
        columns = slice(head.head * layout.head_dim, (head.head + 1) * layout.head_dim)
        with torch.no_grad():
            (projection.weight.T if not layout.architecture.conv1d else projection.weight)[columns] = 0.0
    return cut
