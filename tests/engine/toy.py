"""What the engine's tests share: tokenizers without vocabulary files, models with heads cut off, requests."""

from __future__ import annotations

import copy
import random
from typing import Any

import torch

from sprint_eval.architectures import attention_layout
from sprint_eval.engine import Engine
from sprint_eval.engine.request import Generation, Request
from sprint_eval.engine.settings import DecodingSettings
from sprint_eval.heads import HeadSet

HEADS = ["base", "L0H1", "L1H0", "L1H2+L2H0", "L2H3", "L2H0", "L1H1"]
LIMIT = 10


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


def one_by_one(model: Any, request: Request) -> list[int]:
    """Greedy decoding of one request without a cache; token 2 ends it."""
    cut, ids = zero_columns(model, request.heads), list(request.prompt)
    for _ in range(request.max_new_tokens):
        with torch.no_grad():
            ids.append(int(cut(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
        if ids[-1] == 2:
            break
    return ids[len(request.prompt) :]


def make_requests(questions: int = 2, prefix: int = 10, heads: list[str] = HEADS) -> list[Request]:
    """Questions of different lengths behind a common prefix, each under every head set."""
    draw = random.Random(5)
    shared = tuple(draw.randrange(3, 60) for _ in range(prefix))
    rests = [tuple(draw.randrange(3, 60) for _ in range(2 + 3 * q)) for q in range(questions)]
    return [
        Request(shared + rest, HeadSet.parse(text), max_new_tokens=LIMIT, group=q)
        for q, rest in enumerate(rests)
        for text in heads
    ]


def make_engine(model: Any, **options: Any) -> Engine:
    return Engine(model, CharTokenizer(), settings=DecodingSettings((2,)), **options)


def tokens(generations: list[Generation]) -> list[list[int]]:
    return [list(generation.tokens) for generation in generations]
