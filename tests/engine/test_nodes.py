"""Where an answer's last tokens stand in the answers to a prompt."""

from __future__ import annotations

import random
from itertools import zip_longest

from hypothesis import given
from hypothesis import strategies as st

from sprint_eval.engine.nodes import Node, SuffixIndex

LONGEST = 16


def grow(root: Node, index: SuffixIndex, tokens: list[int]) -> list[Node]:
    path = []
    node = root
    for token in tokens:
        node = node.child(token)
        node.visits += 1
        if node.visits == 1:
            index.add(node)
        path.append(node)
    return path


def before(node: Node) -> list[int]:
    """The last tokens up to a node, the nearest first."""
    tokens: list[int] = []
    at: Node | None = node
    while at is not None and len(tokens) < LONGEST:
        tokens.append(at.token)
        at = at.parent
    return tokens


def agreed(one: Node, other: Node) -> int:
    same = [a == b for a, b in zip_longest(before(one), before(other))]
    return same.index(False) if False in same else len(same)


def by_looking(nodes: list[Node], tip: Node, shortest: int) -> Node | None:
    """The same, by comparing with all of them; ``nodes`` in the order they came."""
    others = [node for node in nodes if node is not tip and node.children]
    best = max(others, key=lambda node: agreed(tip, node), default=None)
    return best if best is not None and agreed(tip, best) >= max(shortest, 2) else None


@given(
    st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=25), min_size=1, max_size=30),
    st.integers(0, 5),
)
def test_finds_what_comparing_with_all_finds(answers: list[list[int]], shortest: int) -> None:
    root = Node(9, None).child(8)
    index = SuffixIndex()
    nodes: dict[Node, None] = {}
    for answer in answers:
        path = grow(root, index, answer)
        nodes.update(dict.fromkeys(path))
        tip = path[-1]
        assert index.longest_match(tip, shortest) is by_looking(list(nodes), tip, shortest)


def test_tells_many_apart_by_more_tokens() -> None:
    """Answers enough that lists are split several times, and the match is of every length."""
    rng = random.Random(1)
    root, index = Node(9, None).child(8), SuffixIndex()
    nodes: dict[Node, None] = {}
    lengths: set[int] = set()
    for _ in range(120):
        pieces = [rng.choice(([1, 2, 3, 4, 5, 6, 7], [1, 2], [0, 1, 2, 3], [3, 2, 1])) for _ in range(8)]
        path = grow(root, index, [token for piece in pieces for token in piece])
        nodes.update(dict.fromkeys(path))
        tip = rng.choice(path)
        found = index.longest_match(tip, 2)
        assert found is by_looking(list(nodes), tip, 2)
        if found is not None:
            lengths.add(agreed(tip, found))
    assert lengths >= {5, 9, LONGEST}


def test_what_a_search_looks_at_does_not_grow_with_the_answers() -> None:
    rng = random.Random(2)
    root, index = Node(9, None).child(8), SuffixIndex()
    for _ in range(500):
        grow(root, index, [rng.randrange(4) for _ in range(40)])
    (tip,) = [grow(root, index, [rng.randrange(4) for _ in range(40)])[-1]]
    alike = len(index._pairs[tip.parent.token, tip.token].nodes) if tip.parent is not None else 0
    deepest = index._suffixes(tip)[-1]
    assert alike > 1_000
    assert len(deepest.nodes) <= 10


def test_the_end_of_an_answer_and_a_first_token_match_nothing() -> None:
    root, index = Node(9, None), SuffixIndex()
    grow(root, index, [5, 6])
    (*_, tip) = grow(root, index, [7, 5, 6])
    assert index.longest_match(tip, 2) is None  # nothing follows the other 5, 6
    assert index.longest_match(root, 2) is None
    grow(root, index, [5, 6, 4])
    match = index.longest_match(tip, 2)
    assert match is not None
    assert [*match.children] == [4]
    assert index.longest_match(tip, 3) is None
