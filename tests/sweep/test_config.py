"""Which heads, which part of the work, and what is refused before a model is loaded."""

from __future__ import annotations

import pytest

from sprint_eval.commands.sweep import key_values
from sprint_eval.errors import ArgumentError, HeadError
from sprint_eval.heads import HeadLayout
from sprint_eval.sweep.config import SweepConfig

LAYOUT = HeadLayout.uniform(12, 2)


def config(**fields) -> SweepConfig:
    return SweepConfig(model="m", task="t", out="o", **fields)


@pytest.mark.parametrize(
    ("fields", "pool"),
    [
        ({"layers": "5,10"}, "L5H0/L5H1/L10H0/L10H1"),
        ({"layers": "5/10"}, "L5H0/L5H1/L10H0/L10H1"),
        ({"layers": "0-1"}, "L0H0/L0H1/L1H0/L1H1"),
        ({"pool": "3:1/L0H0+L1H1"}, "L3H1/L0H0+L1H1"),
    ],
)
def test_pools(fields, pool):
    assert str(config(**fields).head_pool(LAYOUT)) == pool


def test_all_heads_by_default():
    assert len(config().head_pool(LAYOUT)) == 24


def test_refused():
    with pytest.raises(HeadError, match="layers 0 to 11"):
        config(layers="12").head_pool(LAYOUT)
    with pytest.raises(ArgumentError, match="both name the pool"):
        config(layers="1", pool="1:*")
    with pytest.raises(ArgumentError, match="--limit 0"):
        config(limit=0)


def test_worked_examples_are_turns_with_a_chat_template():
    assert not config().multiturn
    assert config(apply_chat_template="tool_use").multiturn
    assert not config(apply_chat_template=True, fewshot_as_multiturn=False).multiturn
    with pytest.raises(ArgumentError, match="--fewshot-as-multiturn needs turns: add --apply-chat-template"):
        config(fewshot_as_multiturn=True)


def test_key_values():
    assert key_values("--metadata", "") == {}
    assert key_values("--metadata", "n=16,data_dir=x") == {"n": 16, "data_dir": "x"}
    assert key_values("--metadata", '{"n": 2}') == {"n": 2}
    with pytest.raises(ArgumentError, match=r"--metadata '\{n\}'"):
        key_values("--metadata", "{n}")
