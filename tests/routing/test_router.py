"""Ranking, guards and the router's folder."""

import json

import numpy as np
import pytest
import safetensors.numpy

from sprint_eval.errors import ArgumentError, DataError, HeadError, MismatchError, TrainingError
from sprint_eval.heads import HeadLayout
from sprint_eval.routing import Router, RouterConfig, train_router
from sprint_eval.routing.storage import _own_hash

QUICK = RouterConfig(dimension=8, epochs=40)


@pytest.fixture
def outcomes(make_outcomes, random_z):
    z = random_z(80, 6, rate=0.15)
    z[np.arange(80), np.arange(80) % 4] = 1  # head j solves topic j
    return make_outcomes(z, base=np.zeros(80))


@pytest.fixture
def router(outcomes, embedder):
    return train_router(outcomes, QUICK, embedder)


NEW = [f"topic {i % 4}, number {i}" for i in range(100, 120)]


def test_the_planted_head_comes_first_on_unseen_questions(router):
    first = [str(choices[0].heads) for choices in router.rank(NEW, 1)]
    assert first == [f"L0H{i % 4}" for i in range(100, 120)]


def test_ranks_are_the_smallest_distances_and_weights_the_softmax(router, embedder):
    rule = router.rules["nearest"]
    queries = embedder.encode(NEW).astype(np.float64) @ rule.projection
    distances = ((queries[:, None, :] - rule.heads[None]) ** 2).sum(axis=2)
    shares = np.exp(-distances) / np.exp(-distances).sum(axis=1, keepdims=True)
    for row, choices in enumerate(router.rank(NEW, 6)):
        order = np.argsort(distances[row], kind="stable")
        assert [c.heads for c in choices] == [router.pool[int(rule.columns[j])] for j in order]
        assert [c.weight for c in choices] == pytest.approx(shares[row, order], rel=1e-5)
        assert sum(c.weight for c in choices) == pytest.approx(1.0)


def test_a_shorter_list_begins_a_longer_one_and_order_of_questions_is_nothing(router):
    long = router.rank(NEW, 6)
    assert [choices[:3] for choices in long] == router.rank(NEW, 3)
    assert router.rank(NEW[::-1], 6)[::-1] == long
    assert router.rank([], 3) == []


def test_n_beyond_the_pool_and_unknown_rules_are_refused(router):
    with pytest.raises(ArgumentError, match="N = 7: selection 'nearest' of this router has 6 candidates"):
        router.rank(NEW, 7)
    with pytest.raises(ArgumentError, match="N = 0"):
        router.rank(NEW, 0)
    with pytest.raises(ArgumentError, match="did you mean 'nearest'"):
        router.rank(NEW, 1, selection="nearst")


def test_a_saved_router_ranks_the_same(router, embedder, tmp_path):
    router.save(tmp_path / "router")
    assert sorted(p.name for p in (tmp_path / "router").iterdir()) == ["router.json", "router.safetensors"]
    loaded = Router.load(tmp_path / "router", embedder)
    assert loaded.rank(NEW, 6) == router.rank(NEW, 6)
    assert loaded.fingerprint == router.fingerprint
    assert loaded.card == router.card
    assert loaded.pool == router.pool


def test_training_twice_gives_one_router_and_another_seed_another(outcomes, embedder, router):
    assert train_router(outcomes, QUICK, embedder).fingerprint == router.fingerprint
    other = train_router(outcomes, RouterConfig(dimension=8, epochs=40, seed=1), embedder)
    assert other.fingerprint != router.fingerprint


def test_the_card_says_what_it_was_made_from(router, outcomes):
    card = router.card
    assert card.model_fingerprint == "0123456789abcdef"
    assert card.question_keys == {row.key for row in outcomes.questions}
    assert card.prompt_format == {
        "chat_template": None,
        "num_fewshot": 0,
        "system_instruction": None,
        "generation": {"max_new_tokens": 32},
    }
    assert card.counts["used"] == 80
    assert card.hyperparameters["dimension"] == 8
    assert card.metrics["best_head_rate"] <= card.metrics["oracle_rate"] == 1.0


def test_guards(router, outcomes):
    router.check_model("0123456789abcdef", HeadLayout.uniform(2, 4))
    with pytest.raises(MismatchError, match="this model is ffff"):
        router.check_model("ffff")
    with pytest.raises(HeadError, match="pool does not fit the model"):
        router.check_model("0123456789abcdef", HeadLayout.uniform(2, 3))
    seen = outcomes.questions[3].key
    assert router.check_questions(["new"]) == 0
    with pytest.raises(MismatchError, match="1 of 2 questions were in the router's training"):
        router.check_questions(["new", seen])
    assert router.check_questions(["new", seen], allow_seen=True) == 1
    router.check_prompts({"num_fewshot": 0, "something": 1})
    with pytest.raises(MismatchError, match="num_fewshot = 0, these have 4"):
        router.check_prompts({"num_fewshot": 4})


def test_outcomes_that_know_nothing_of_prompts_make_a_router_for_any(make_outcomes, random_z, embedder):
    outcomes = make_outcomes(random_z(20, 3, 0.5), num_fewshot=None, generation={})
    card = train_router(outcomes, QUICK, embedder).card
    assert "num_fewshot" not in card.prompt_format


def test_other_generation_settings_are_warned_of(router, caplog):
    router.check_prompts({"generation": {"max_new_tokens": 32}})
    assert not caplog.messages
    router.check_prompts({"generation": {"max_new_tokens": 64}})
    (message,) = caplog.messages
    assert "max_new_tokens = 32 (here 64)" in message


def test_settings_known_on_one_side_only_are_not_warned_of(router, caplog):
    """Routers from before end tokens were kept, and answers of served engines, have none."""
    router.check_prompts({"generation": {"max_new_tokens": 32, "end_tokens": [2]}})
    router.check_prompts({"generation": {}})
    assert not caplog.messages


def test_warming_up_refuses_another_embedder_before_any_question(router, planted_embedder, tmp_path):
    router.save(tmp_path)
    with pytest.raises(MismatchError, match="not the one"):
        Router.load(tmp_path, planted_embedder("other")).warm_up()


def test_another_embedder_of_the_same_width_is_refused(router, planted_embedder, tmp_path):
    router.save(tmp_path)
    with pytest.raises(MismatchError, match="not the one that the router was trained with"):
        Router.load(tmp_path, planted_embedder("other")).rank(NEW, 1)
    with pytest.raises(MismatchError, match="not the one"):
        Router.load(tmp_path, planted_embedder(width=4)).rank(NEW, 1)


def test_a_router_says_what_its_embedder_computes_in(outcomes, router, embedder, tmp_path, monkeypatch):
    """And routes with that, wherever it is loaded; one from before dtypes is of float32."""
    embedder.dtype = "bfloat16"
    coarse = train_router(outcomes, QUICK, embedder)
    assert coarse.fingerprint != router.fingerprint
    router.save(tmp_path / "fine")
    coarse.save(tmp_path / "coarse")
    edit(tmp_path / "fine", lambda card: card.pop("embedder_dtype"))
    asked = []

    def made(name, dtype):
        asked.append(dtype)
        return embedder

    monkeypatch.setattr("sprint_eval.routing.router.SentenceEmbedder", made)
    for name in ("fine", "coarse"):
        Router.load(tmp_path / name).rank(NEW, 1)
    assert asked == ["float32", "bfloat16"]


def test_bfloat16_may_round_otherwise_on_another_machine(outcomes, embedder, planted_embedder):
    class Rounding(type(embedder)):
        def encode(self, texts):
            return super().encode(texts) * np.float32(1.01)

    for dtype in ("bfloat16", "float32"):
        embedder.dtype = dtype
        trained = train_router(outcomes, QUICK, embedder)
        trained._embedder, trained._probed = Rounding(), False
        if dtype == "bfloat16":
            assert trained.rank(NEW, 1)
            trained._embedder, trained._probed = planted_embedder("other"), False
        with pytest.raises(MismatchError, match="not the one"):
            trained.rank(NEW, 1)


def edit(folder, change, signed=True):
    path = folder / "router.json"
    card = json.loads(path.read_text())
    change(card)
    path.write_text(json.dumps(card | {"sha256": _own_hash(card)} if signed else card))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda card: card.update(schema_version=99), MismatchError, "update sprint-eval"),
        (lambda card: card.pop("schema_version"), DataError, "not a router"),
        (lambda card: card["pool"].pop(), DataError, "damaged"),
        (lambda card: card.update(pool=["L0H0", "nonsense"]), DataError, "damaged"),
        (lambda card: card.update(pool=card["pool"][:3]), DataError, "outside the pool"),
        (lambda card: card.pop("embedder"), DataError, "damaged"),
        (lambda card: card.update(rules={"magic": {}}), DataError, "damaged"),
        (lambda card: card.update(arrays_sha256="0"), DataError, "damaged"),
    ],
)
def test_a_folder_that_was_changed_is_refused(router, tmp_path, change, error, message):
    router.save(tmp_path)
    edit(tmp_path, change)
    with pytest.raises(error, match=message):
        Router.load(tmp_path)


@pytest.mark.parametrize("field", ["question_keys", "prompt_format", "base_model", "counts", "sha256"])
def test_its_guards_cannot_be_edited_away(router, tmp_path, field):
    router.save(tmp_path)
    assert json.loads((tmp_path / "router.json").read_text())["question_keys"]
    edit(tmp_path, lambda card: card.update({field: []}), signed=False)
    with pytest.raises(DataError, match="was changed"):
        Router.load(tmp_path)


def test_a_router_from_before_the_hash_is_read(router, tmp_path):
    router.save(tmp_path)
    edit(tmp_path, lambda card: (card.update(schema_version=1), card.pop("sha256")), signed=False)
    assert Router.load(tmp_path).fingerprint == router.fingerprint


def test_a_folder_with_a_file_missing_or_cut_is_refused(router, tmp_path):
    with pytest.raises(DataError, match="not found"):
        Router.load(tmp_path)
    router.save(tmp_path)
    arrays = tmp_path / "router.safetensors"
    payload = arrays.read_bytes()
    arrays.write_bytes(payload[:-8])
    with pytest.raises(DataError, match="damaged"):
        Router.load(tmp_path)
    arrays.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        Router.load(tmp_path)
    (tmp_path / "router.json").write_text("{")
    with pytest.raises(DataError, match="JSON"):
        Router.load(tmp_path)


def test_nothing_in_the_folder_is_a_pickle_or_a_question(router, outcomes, tmp_path):
    router.save(tmp_path)
    assert set(safetensors.numpy.load_file(tmp_path / "router.safetensors")) > {"probe", "nearest.heads"}
    text = (tmp_path / "router.json").read_text()
    assert not any(row.question in text for row in outcomes.questions)


def test_embeddings_with_nan_are_refused_in_training_and_in_routing(outcomes, router, embedder):
    class Broken:
        name, dtype = "broken", "float32"

        def encode(self, texts):
            return np.full((len(texts), 16), np.nan, np.float32)

    with pytest.raises(DataError, match="NaN"):
        train_router(outcomes, QUICK, Broken())
    router._embedder = Broken()
    with pytest.raises(DataError, match="NaN"):
        router.rank(NEW, 1)


def test_an_empty_training_set_is_an_error(make_outcomes, embedder):
    with pytest.raises(TrainingError, match="no question"):
        train_router(make_outcomes(np.zeros((0, 3))), QUICK, embedder)


@pytest.mark.parametrize(
    "value",
    [
        {"dimension": 0},
        {"learning_rate": float("nan")},
        {"selection": "best"},
        {"validation_fraction": 1.0},
        {"spread": -1.0},
        {"epochs": 1.5},
    ],
)
def test_settings_out_of_range_are_refused(value):
    with pytest.raises(ArgumentError):
        RouterConfig(**value)
