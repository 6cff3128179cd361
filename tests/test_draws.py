"""Draws: their text forms, their place in a pool, and the requests that come of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sprint_eval.draws import Draw, with_draws
from sprint_eval.engine.request import Sampling
from sprint_eval.errors import HeadError
from sprint_eval.heads import HeadLayout, HeadPool, HeadSet
from sprint_eval.prompts import GenerationSettings

LAYOUT = HeadLayout.uniform(3, 4)


@pytest.mark.parametrize(
    "draw",
    [Draw(), Draw((), 1.0, 0, 1.0, 12), Draw((), 1e-7, 5, 0.123456789, 3), Draw((), 1 / 3, 40, 0.95, 2)],
)
def test_the_text_form_says_all(draw: Draw) -> None:
    assert Draw.parse(str(draw)) == draw
    assert not set("/,=:+") & set(str(draw).replace("e+", "")), "lm-eval or a pool would split it"


def test_the_usual_form() -> None:
    assert str(Draw()) == "base~T0.6K40P0.95D1"


@pytest.mark.parametrize(
    "text", ["base~", "base~T0.6", "L1H1~T0.6K40P0.95D1", "base~T..K1P1D1", "base~T0.6K40P0.95D1x"]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(HeadError, match="a draw looks like 'base~T"):
        Draw.parse(text)


@pytest.mark.parametrize(
    "values", [{"temperature": 0.0}, {"top_k": -1}, {"top_p": 0.0}, {"top_p": 1.5}, {"number": 0}]
)
def test_settings_that_nothing_can_be_sampled_by_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(HeadError):
        Draw(**values)
    with pytest.raises(HeadError, match="a draw is one of the base"):
        Draw(HeadSet.parse("L1H1").heads)


def test_a_draw_is_not_the_base() -> None:
    assert Draw() != HeadSet()
    assert HeadSet() != Draw()
    assert len({Draw(), Draw(), HeadSet(), Draw((), number=2)}) == 3


def test_a_pool_holds_draws_beside_head_sets() -> None:
    pool = with_draws(HeadPool.parse("base/0:0/L1H1+L2H2", LAYOUT), 2, 0.6, 40, 0.95)
    names = ["base", "L0H0", "L1H1+L2H2", "base~T0.6K40P0.95D1", "base~T0.6K40P0.95D2"]
    assert pool.names() == names
    assert HeadPool.parse(str(pool), LAYOUT) == HeadPool.from_names(names) == pool
    with pytest.raises(HeadError, match="stands twice"):
        with_draws(pool, 1, 0.6, 40, 0.95)
    assert with_draws(pool, 0, 0.0, 0, 0.0) == pool


def test_a_head_set_alone_is_never_a_draw() -> None:
    """Where head sets are pruned, exported or trained, a draw would pass for the base."""
    with pytest.raises(HeadError, match="a head looks like"):
        HeadSet.parse("base~T0.6K40P0.95D1")


def test_its_request_samples_whatever_the_task_says() -> None:
    settings = GenerationSettings(("\n\n",), 8, Sampling(repetition_penalty=1.2))
    draw = Draw((), 0.7, 5, 0.9, 2)
    made = settings.request((1, 2, 3), draw, "group", "seed", "of", "rank 4")
    assert (made.heads, type(made.heads)) == (HeadSet(), HeadSet)
    sampling = made.sampling
    assert (sampling.do_sample, sampling.temperature, sampling.top_k, sampling.top_p) == (True, 0.7, 5, 0.9)
    assert sampling.repetition_penalty == 1.2
    assert (made.prompt, made.stop, made.max_new_tokens, made.group) == ((1, 2, 3), ("\n\n",), 8, "group")
    sampled = GenerationSettings(("\n\n",), 8, Sampling(True, 2.0, repetition_penalty=1.2))
    assert sampled.request((1, 2, 3), draw, "group") == made


def test_its_seed_is_its_own() -> None:
    settings = GenerationSettings((), 8, Sampling())

    def seed(draw: Draw, prompt: tuple[int, ...] = (1, 2), **more: int) -> int:
        return settings.request(prompt, draw, None, SimpleNamespace(), **more).sampling.seed

    one, two = Draw(), Draw((), number=2)
    seeds = [seed(one), seed(two), seed(one, (1, 3)), seed(one, draw_seed=1)]
    assert len(set(seeds)) == 4
    assert seed(one) == seeds[0], "whatever else is passed"
