"""Guesses along the answers' tree, and after a divergence."""

from __future__ import annotations

import numpy as np

from sprint_eval.engine.cache import Cache, Prefix
from sprint_eval.engine.drafts import Drafter, DraftPolicy
from sprint_eval.engine.nodes import Node
from sprint_eval.engine.request import Request, Sampling
from sprint_eval.engine.segments import Key, Segments
from sprint_eval.engine.sequence import Sequence
from sprint_eval.engine.settings import DecodingSettings
from sprint_eval.engine.text import StopChecker
from sprint_eval.engine.tree import AnswerTree, release_guesses
from sprint_eval.heads import Head, HeadSet

FAR = DraftPolicy(tokens=10, confidence=0.01, realign=2)
ROOM = 1_000


def answer(tree: AnswerTree, *tokens: int) -> Node:
    node = tree.prompt[-1]
    for token in tokens:
        node = node.child(token)
        tree.visit(node)
    return node


def make(sampling: Sampling | None = None, limit: int = 20) -> tuple[AnswerTree, Sequence]:
    tree = AnswerTree(Prefix(()), (1, 2))
    segments = Segments([HeadSet()], 3)
    keys = segments.keys(HeadSet())
    request = Request((1, 2), max_new_tokens=limit, sampling=sampling or Sampling())
    checker = StopChecker(None, (), DecodingSettings(()))
    return tree, Sequence(0, request, tree, keys, (), checker)


def drafted(sequence: Sequence, policy: DraftPolicy = FAR) -> list[int]:
    return [node.token for node in Drafter().draft(sequence, policy, ROOM)]


def test_follows_the_most_visited_answer() -> None:
    tree, sequence = make()
    assert drafted(sequence) == []
    answer(tree, 5, 6, 7)
    answer(tree, 5, 8, 9)
    answer(tree, 5, 8, 9)
    assert drafted(sequence) == [5, 8, 9]
    assert drafted(sequence, DraftPolicy(2, 0.01, 0)) == [5, 8]


def test_stops_where_siblings_disagree() -> None:
    tree, sequence = make()
    for token in (6, 7, 8, 9):
        answer(tree, 5, token)
    assert drafted(sequence, DraftPolicy(10, 0.6, 0)) == [5]


def test_realigns_on_the_longest_matching_suffix() -> None:
    tree, sequence = make()
    answer(tree, 5, 6, 7, 30, 31)
    answer(tree, 8, 5, 6, 7, 40, 41)
    sequence.pending = [answer(tree, 9, 8, 5, 6, 7)]
    assert drafted(sequence) == [40, 41]
    assert drafted(sequence, DraftPolicy(10, 0.01, 0)) == []
    assert drafted(sequence, DraftPolicy(10, 0.01, 6)) == []


def test_never_drafts_the_last_decision_or_a_sampled_answer() -> None:
    tree, sequence = make(limit=2)
    answer(tree, 5, 6, 7)
    assert drafted(sequence) == [5]
    tree, sequence = make(Sampling(True, 1.0))
    answer(tree, 5, 6, 7)
    assert drafted(sequence) == []


def test_recalls_phrases_of_other_prompts() -> None:
    tree, sequence = make()
    drafter = Drafter()
    for number in (50, 51, 52):
        drafter.phrases.learn((1, 2), (5, 6, 7, 30, 31, number))
    sequence.tokens = [9, 5, 6, 7]
    sequence.pending = [answer(tree, 9, 5, 6, 7)]
    assert [node.token for node in drafter.draft(sequence, DraftPolicy(10, 0.5, 2), ROOM)] == [30, 31]
    assert drafter.draft(sequence, DraftPolicy(10, 0.5, 0), ROOM) == []


def test_drafts_shorten_where_they_fail() -> None:
    tree, sequence = make()
    answer(tree, *range(3, 15))
    drafter, policy = Drafter(), DraftPolicy(12, 0.5, 0)
    before = len(drafter.draft(sequence, policy, ROOM))
    for _ in range(50):
        drafter.score(drafter.draft(sequence, policy, ROOM), 0, followed=True)
    assert before > len(drafter.draft(sequence, policy, ROOM))


def test_guesses_that_did_not_stand_give_their_slots_back() -> None:
    """Whoever drafted a token gives up its own cell of it, unless it is an answer's and others may use it."""
    tree, sequence = make()
    cache = Cache(Segments([HeadSet()], 3), 4)
    guess, (mine,) = tree.prompt[-1].child(9), sequence.stretches
    (other,) = tree.join([Key(0, (Head(0, 1),))])
    for stretch in (mine, other):
        (column,) = stretch.track.find([guess], cache)
        cache.columns.table[:, column] = cache.slots.take(np.array([1]))
    assert cache.free == 2
    release_guesses([(mine, [guess]), (mine, [guess])], cache)
    assert cache.free == 3
    assert guess not in mine.track.columns
    tree.join([Key(0, (Head(0, 1),))])
    tree.visit(guess)
    release_guesses([(mine, [guess]), (other, [guess])], cache)
    assert cache.free == 3
    guess.visits = 0
    release_guesses([(other, [guess])], cache)
    assert cache.free == 4
    tree.discard(guess)
    assert 9 not in tree.prompt[-1].children
