"""Questions whose embedding and outcomes follow a planted rule."""

import hashlib

import numpy as np
import pytest

from sprint_eval.heads import HeadPool, HeadSet
from sprint_eval.outcomes import OutcomeQuestion, Outcomes
from sprint_eval.questions import question_hash


class PlantedEmbedder:
    """Questions "topic T, number K" near the T-th of a few fixed directions; nothing to download."""

    def __init__(self, name="planted", width=16, noise=0.1):
        self.name = name
        self.dtype = "float32"
        self.width = width
        self.noise = noise
        self.encoded = 0

    def encode(self, texts):
        self.encoded += len(texts)
        return np.array([self._vector(text) for text in texts], np.float32).reshape(len(texts), self.width)

    def _vector(self, text):
        topic = text.split(",")[0]
        vector = self._direction(topic) + self.noise * self._direction(text)
        return vector / np.linalg.norm(vector)

    def _direction(self, text):
        seed = int.from_bytes(hashlib.sha256((self.name + text).encode()).digest()[:8], "big")
        vector = np.random.default_rng(seed).normal(size=self.width)
        return vector / np.linalg.norm(vector)


def outcomes_from(z, questions=None, keys=None, pool=None, base=None, **manifest):
    z = np.asarray(z, np.int8)
    n, count = z.shape
    questions = questions or [f"topic {i % 4}, number {i}" for i in range(n)]
    keys = keys or [question_hash(text) for text in questions]
    pool = pool or HeadPool(tuple(HeadSet.parse(f"L{j // 4}H{j % 4}") for j in range(count)))
    facts = {
        "model": "tiny",
        "model_fingerprint": "0123456789abcdef",
        "task": "rg_math_pass_at_n",
        "generation": {"max_new_tokens": 32},
        "num_fewshot": 0,
    }
    rows = [OutcomeQuestion(question_hash(q), q, "s", k) for q, k in zip(questions, keys, strict=True)]
    return Outcomes.from_arrays(z, rows, pool, base=base, **(facts | manifest))


@pytest.fixture
def make_outcomes():
    return outcomes_from


@pytest.fixture
def embedder():
    return PlantedEmbedder()


@pytest.fixture
def planted_embedder():
    return PlantedEmbedder


@pytest.fixture
def random_z():
    """Outcomes without structure in which every head differs from every other."""
    return lambda n=60, count=6, rate=0.4, seed=0: (
        np.random.default_rng(seed).random((n, count)) < rate
    ).astype(np.int8)
