"""Guesses of how an answer goes on, from the answers to the same prompt.

An answer that still agrees with a sibling is drafted along the tree of answers, where the layers
below the pruned one are there already. One that has parted from all siblings is realigned: the
longest run of its last tokens that stands in some sibling says where to read on.
"""

from __future__ import annotations

from dataclasses import dataclass

from sprint_eval.engine.sequence import Sequence
from sprint_eval.engine.tree import AnswerTree, Node

_LONGEST_MATCH = 16


@dataclass(frozen=True)
class DraftPolicy:
    """How much to guess.

    Attributes:
        tokens: longest draft.
        confidence: a draft ends where the chance that all of it stands falls below this.
        realign: shortest run of tokens to realign on; 0 for never.
    """

    tokens: int
    confidence: float
    realign: int


class Drafter:
    """Drafts, and keeps count of how they fare."""

    def __init__(self) -> None:
        self.drafted = 0
        self.accepted = 0

    @property
    def rate(self) -> float:
        """Share of drafted tokens that stood so far, from an optimistic start."""
        return (self.accepted + 9.0) / (self.drafted + 10.0)

    def draft(self, sequence: Sequence, policy: DraftPolicy) -> list[Node]:
        """Nodes that may follow the sequence's tip; its last decision is never drafted."""
        limit = min(policy.tokens, sequence.remaining - 1)
        if limit < 1 or not sequence.takes_drafts:
            return []
        found = self._follow(sequence.tip, limit, policy.confidence)
        if found or not policy.realign:
            return found
        twin = _longest_match(sequence.tree, sequence.tip, policy.realign)
        if twin is None:
            return []
        node, draft = sequence.tip, []
        for guess in self._follow(twin, limit, policy.confidence):
            node = node.child(guess.token)
            draft.append(node)
        return draft

    def _follow(self, node: Node, limit: int, confidence: float) -> list[Node]:
        """The most visited way down from a node."""
        path: list[Node] = []
        chance = 1.0
        while len(path) < limit and node.children:
            best = max(node.children.values(), key=_visits)
            total = sum(map(_visits, node.children.values()))
            chance *= (best.visits + self.rate) / (total + 1.0)
            if not best.visits or chance < confidence:
                break
            path.append(best)
            node = best
        return path


def _visits(node: Node) -> int:
    return node.visits


def _longest_match(tree: AnswerTree, tip: Node, shortest: int) -> Node | None:
    """The node elsewhere in the tree whose preceding tokens agree with the tip's for longest."""
    best, length = None, shortest - 1
    for other in tree.like(tip):
        if other is tip or not other.children:
            continue
        agreed = _agreed(tip, other)
        if agreed > length:
            best, length = other, agreed
    return best


def _agreed(one: Node | None, other: Node | None) -> int:
    length = 0
    while one is not None and other is not None and one is not other and one.token == other.token:
        length += 1
        if length == _LONGEST_MATCH:
            break
        one, other = one.parent, other.parent
    return length
