"""Selection on simulated truth: what is planted is found, and where nothing is, nothing is claimed."""

import numpy as np
import pytest

from sprint_eval.draws import Draw
from sprint_eval.heads import HeadPool
from sprint_eval.routing import Router, RouterConfig, cover_order, fixed_cover, train_router
from sprint_eval.routing.coverage import mean_pass
from sprint_eval.routing.solve_model import fit_solve_model
from sprint_eval.routing.training_data import split_groups

TOPICS, COPIES, OTHERS = 6, 4, 6
CONFIG = RouterConfig(dimension=32, epochs=100, seed=0)


def planted_world(n, seed):
    """Topic T is solved by T's own head group, whose members are near copies of one another.

    30 heads: for each of six topics four that nearly agree, which solve half of it; and six that each
    solve a quarter of everything, one by one. A good set takes one of a topic's four, then others.
    """
    generator = np.random.default_rng(seed)
    topics = generator.integers(0, TOPICS, n)
    questions = [f"topic {t}, number {seed * 10_000 + i}" for i, t in enumerate(topics)]
    z = np.zeros((n, TOPICS * COPIES + OTHERS), np.int8)
    for t in range(TOPICS):
        group = generator.random(n) < 0.5
        for c in range(COPIES):
            slip = generator.random(n) < 0.01
            z[:, t * COPIES + c] = (topics == t) & (group ^ slip)
    z[:, TOPICS * COPIES :] = generator.random((n, OTHERS)) < 0.25
    return questions, z


@pytest.fixture(scope="module")
def worlds():
    return planted_world(600, seed=1), planted_world(600, seed=2)


def curve(order, z):
    right = np.take_along_axis(z, order, axis=1).astype(bool)
    return np.logical_or.accumulate(right, axis=1).mean(axis=0)


def ranked(router, questions, n, selection):
    names = {name: j for j, name in enumerate(router.pool.names())}
    return np.array([[names[str(c.heads)] for c in row] for row in router.rank(questions, n, selection)])


def random_order(z, n, seed=0):
    generator = np.random.default_rng(seed)
    return np.array([generator.permutation(z.shape[1])[:n] for _ in z])


def test_where_topics_have_heads_routing_beats_what_does_not_look(worlds, make_outcomes, embedder):
    (questions, z), (new, truth) = worlds
    router = train_router(make_outcomes(z, questions), CONFIG, embedder)
    nearest = curve(ranked(router, new, 8, "nearest"), truth)
    coverage = curve(ranked(router, new, 8, "coverage"), truth)
    cover = curve(np.tile(cover_order(z)[:8], (len(new), 1)), truth)
    random = curve(random_order(truth, 8), truth)
    assert (nearest > random + 0.1).all()
    assert (coverage > cover + 0.05).all()
    assert coverage.mean() > nearest.mean() - 0.01
    # The four most probable heads are copies of one another: what counts is what each adds.
    probability = router.rules["coverage"].model.predict(embedder.encode(new))
    probable = curve(np.argsort(-probability, axis=1)[:, :8], truth)
    assert coverage[0] > probable[0] - 0.05
    assert (coverage[1:4] > probable[1:4] + 0.05).all()
    metrics = router.card.metrics["coverage"]
    assert metrics["cv_mean_pass"] > metrics["cv_mean_pass_fixed_cover"] + 0.05


def test_with_shuffled_rows_nothing_is_gained(worlds, make_outcomes, embedder):
    (questions, z), (new, truth) = worlds
    shuffled = z[np.random.default_rng(5).permutation(len(z))]
    router = train_router(make_outcomes(shuffled, questions), CONFIG, embedder)
    cover = curve(np.tile(cover_order(z)[:8], (len(new), 1)), truth)
    coverage = curve(ranked(router, new, 8, "coverage"), truth)
    assert np.abs(coverage - cover).max() < 0.06
    # Rates of heads survive the shuffle, so the fixed cover, not heads at random, is the measure.
    nearest = curve(ranked(router, new, 8, "nearest"), truth)
    assert (nearest < cover + 0.04).all()
    metrics = router.card.metrics["coverage"]
    assert metrics["cv_mean_pass"] < metrics["cv_mean_pass_fixed_cover"] + 0.03


def test_mixed_takes_the_base_where_it_is_best(make_outcomes, embedder, random_z):
    questions = [f"topic {i % 4}, number {i}" for i in range(200)]
    base = np.array([i % 4 == 0 for i in range(200)])
    router = train_router(make_outcomes(random_z(200, 6, 0.2), questions, base=base), CONFIG, embedder)
    new = [f"topic {i % 4}, number {i}" for i in range(1000, 1040)]
    first = [str(row[0].heads) for row in router.rank(new, 7, "mixed")]
    assert all((name == "base") == (i % 4 == 0) for i, name in enumerate(first))
    with pytest.raises(Exception, match="6 candidates"):
        router.rank(new, 7, "coverage")


def test_draws_are_candidates_of_mixed_alone(make_outcomes, embedder, random_z, tmp_path):
    names = ["L0H0", "L0H1", "L0H2", "base~T0.6K40P0.95D1", "base~T0.6K40P0.95D2"]
    questions = [f"topic {i % 4}, number {i}" for i in range(200)]
    z = random_z(200, 5, 0.2)
    # Together the draws are better at topic 1 than a head, and worse at the others.
    z[:, 4] = [i % 4 == 1 for i in range(200)]
    outcomes = make_outcomes(z, questions, pool=HeadPool.from_names(names))
    train_router(outcomes, CONFIG, embedder).save(tmp_path)
    router = Router.load(tmp_path, embedder)
    new = [f"topic {i % 4}, number {i}" for i in range(1000, 1040)]
    first = [row[0].heads for row in router.rank(new, 5, "mixed")]
    assert all((heads == Draw(number=1)) == (i % 4 == 1) for i, heads in enumerate(first))
    for selection in ("nearest", "coverage"):
        ranked = router.rank(new, 3, selection)
        assert {str(choice.heads) for row in ranked for choice in row} == set(names[:3])
    assert {str(heads) for heads in fixed_cover(outcomes, 3)} == set(names[:3])


def test_probabilities_are_calibrated_out_of_fold(worlds, embedder):
    (questions, z), (new, truth) = worlds
    folds = split_groups(np.arange(len(z)), 5, 0)
    model, out_of_fold = fit_solve_model(embedder.encode(questions), z, folds, 0)
    for predicted, outcome in ((out_of_fold, z), (model.predict(embedder.encode(new)), truth)):
        assert predicted.mean() == pytest.approx(outcome.mean(), abs=0.02)
        high = predicted > np.quantile(predicted, 0.9)
        assert predicted[high].mean() == pytest.approx(outcome[high].mean(), abs=0.1)
        assert outcome[high].mean() > 2 * outcome.mean()


def test_a_part_of_the_model_says_the_same(worlds, embedder):
    (questions, z), _ = worlds
    model, _ = fit_solve_model(embedder.encode(questions), z, split_groups(np.arange(len(z)), 5, 0), 0)
    columns = np.array([3, 20, 7])
    some = embedder.encode(questions[:5])
    np.testing.assert_allclose(model.part(columns).predict(some), model.predict(some)[:, columns])


def test_without_signal_probabilities_are_the_rates(embedder, random_z):
    z = random_z(400, 8, 0.3)
    z[:, 0] = random_z(400, 1, 0.7, seed=9)[:, 0]
    texts = [f"topic {i}, number {i}" for i in range(400)]
    model, _ = fit_solve_model(embedder.encode(texts), z, split_groups(np.arange(400), 5, 0), 0)
    predicted = model.predict(embedder.encode(texts))
    assert np.abs(predicted - z.mean(axis=0)).max() < 0.15
    assert np.abs(predicted - z.mean(axis=0)).mean() < 0.03


def test_mean_pass():
    z = np.array([[1, 0], [0, 1]])
    assert mean_pass(np.array([[0, 1], [0, 1]]), z) == pytest.approx((0.5 + 1.0) / 2)
