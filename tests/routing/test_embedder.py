"""Embeddings: stored by text, never wrong, never shared between embedders."""

import json
import multiprocessing
import os

import numpy as np
import pytest

from sprint_eval.errors import ArgumentError, DataError
from sprint_eval.routing import SentenceEmbedder
from sprint_eval.routing.embedder import check_embeddings
from sprint_eval.routing.embedding_cache import EmbeddingCache


class Counting:
    """In place of a sentence-transformers model."""

    def __init__(self):
        self.texts = []

    def encode(self, texts, **_):
        self.texts += texts
        return np.array([[len(text), hash_free(text), 1.0] for text in texts], np.float32)


def hash_free(text):
    return sum(map(ord, text)) % 97


@pytest.fixture
def model_folder(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return folder


def embedder_with(model_folder, cache, monkeypatch):
    counting = Counting()
    monkeypatch.setattr("sprint_eval.routing.embedder._load", lambda *_: counting)
    return SentenceEmbedder(str(model_folder), cache=cache), counting


def test_each_text_is_computed_once_and_order_is_kept(model_folder, tmp_path, monkeypatch):
    embedder, counting = embedder_with(model_folder, tmp_path / "cache", monkeypatch)
    first = embedder.encode(["b", "aa", "b"])
    assert counting.texts == ["b", "aa"]
    assert first[:, 0].tolist() == [1, 2, 1]
    again, counting = embedder_with(model_folder, tmp_path / "cache", monkeypatch)
    found = again.encode(["aa", "b", "new"])
    assert counting.texts == ["new"]
    np.testing.assert_array_equal(found[:2], first[[1, 0]])
    assert embedder.encode([]).shape[0] == 0


def test_another_model_shares_nothing(model_folder, tmp_path, monkeypatch):
    embedder_with(model_folder, tmp_path / "cache", monkeypatch)[0].encode(["a"])
    (model_folder / "config.json").write_text(json.dumps({"hidden_size": 2}))
    other, counting = embedder_with(model_folder, tmp_path / "cache", monkeypatch)
    other.encode(["a"])
    assert counting.texts == ["a"]


def test_a_damaged_shard_is_computed_again(model_folder, tmp_path, monkeypatch):
    embedder_with(model_folder, tmp_path / "cache", monkeypatch)[0].encode(["a"])
    (shard,) = (tmp_path / "cache").rglob("*.safetensors")
    shard.write_bytes(shard.read_bytes()[:-3])
    embedder, counting = embedder_with(model_folder, tmp_path / "cache", monkeypatch)
    assert embedder.encode(["a"])[0, 0] == 1
    assert counting.texts == ["a"]


def test_a_cache_that_cannot_be_written_costs_time_only(model_folder, tmp_path, monkeypatch, caplog):
    (tmp_path / "cache").write_text("a file where the folder should be")
    embedder, counting = embedder_with(model_folder, tmp_path / "cache", monkeypatch)
    assert embedder.encode(["a"])[0, 0] == 1
    assert embedder.encode(["a"])[0, 0] == 1
    assert counting.texts == ["a", "a"]
    assert "not stored" in caplog.text


def test_many_shards_are_merged(tmp_path):
    cache = EmbeddingCache(tmp_path)
    for i in range(100):
        cache.put({f"text {i}": np.full(3, i, np.float32)})
    assert len(list(tmp_path.glob("*.safetensors"))) <= 33
    found = EmbeddingCache(tmp_path).get([f"text {i}" for i in range(100)])
    assert [found[f"text {i}"][0] for i in range(100)] == list(range(100))


def fill(arguments):
    folder, worker = arguments
    cache = EmbeddingCache(folder)
    for i in range(40):
        cache.get([f"text {i}"])
        cache.put({f"text {worker} {i}": np.full(2, i, np.float32), "shared": np.ones(2, np.float32)})
    return os.getpid()


def test_several_processes_fill_one_folder(tmp_path):
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert len(set(pool.map(fill, [(tmp_path, worker) for worker in range(3)], chunksize=1))) > 1
    found = EmbeddingCache(tmp_path).get([f"text {w} {i}" for w in range(3) for i in range(40)])
    # Merges that meet may drop a few, which costs a second computation; none is ever wrong.
    assert len(found) > 60
    assert all(vector[0] == int(text.split()[-1]) for text, vector in found.items())


def test_vectors_that_are_not_finite_are_refused(model_folder, tmp_path, monkeypatch):
    embedder, counting = embedder_with(model_folder, tmp_path / "cache", monkeypatch)
    counting.encode = lambda texts, **_: np.array([[1.0, np.nan] for _ in texts], np.float32)
    with pytest.raises(DataError, match="NaN or infinity for 1 of 1 questions, the first is 'why'"):
        embedder.encode(["why"])
    assert not list((tmp_path / "cache").rglob("*.safetensors"))
    with pytest.raises(DataError, match="expected 2 vectors"):
        check_embeddings(np.ones((1, 2), np.float32), ["a", "b"], "x")


@pytest.mark.slow
def test_the_default_embedder_reads_meaning(tmp_path):
    embedder = SentenceEmbedder(cache=tmp_path, dtype="float32")
    apples, pears, gcd = embedder.encode(
        [
            "Tom has 3 apples and buys 4 more. How many apples has he?",
            "Ann had 5 pears and got 2 more. How many pears has she?",
            "Find the greatest common divisor of 12 and 18.",
        ]
    )
    assert apples.shape == (384,)
    assert apples @ pears > apples @ gcd
    assert np.linalg.norm(apples) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.slow
def test_bfloat16_means_the_same_and_is_stored_apart(tmp_path):
    texts = ["Tom has 3 apples and buys 4 more. How many apples has he?", "Find the gcd of 12 and 18."]
    fine = SentenceEmbedder(cache=tmp_path, dtype="float32").encode(texts)
    coarse = SentenceEmbedder(cache=tmp_path, dtype="bfloat16").encode(texts)
    cosines = (fine * coarse).sum(1) / np.linalg.norm(fine, axis=1) / np.linalg.norm(coarse, axis=1)
    assert (cosines > 0.999).all()
    assert (fine != coarse).any()  # computed, not found under the other's name
    np.testing.assert_array_equal(SentenceEmbedder(cache=tmp_path, dtype="bfloat16").encode(texts), coarse)


def test_the_dtype_is_what_the_processor_does_fast(model_folder, monkeypatch):
    for able, expected in (
        ({"avx512_bf16": True}, "bfloat16"),
        ({"avx512_f": True}, "float32"),
        ({}, "float32"),
    ):
        monkeypatch.setattr("torch.cpu.get_capabilities", lambda able=able: able, raising=False)
        assert SentenceEmbedder(str(model_folder)).dtype == expected
        assert SentenceEmbedder(str(model_folder), dtype="float32").dtype == "float32"
    with pytest.raises(ArgumentError, match="auto, float32, bfloat16, found 'half'"):
        SentenceEmbedder(str(model_folder), dtype="half")
