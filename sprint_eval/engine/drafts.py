"""Guesses of how an answer goes on, from answers already decoded.

An answer that still agrees with a sibling is drafted along the tree of answers, where the layers
below the pruned one are there already. One that has parted from all siblings is realigned: the
longest run of its last tokens that stands in some sibling says where to read on. Where that finds
nothing, phrases that recur in answers to other prompts are tried. A draft ends where the chance
that all of it stands, judged by how such guesses fared so far, falls below the policy's confidence.
"""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass

from sprint_eval.engine.nodes import Node
from sprint_eval.engine.sequence import Sequence

_PHRASE = 3  # tokens that a phrase is recognised by


@dataclass(frozen=True)
class DraftPolicy:
    """How much to guess.

    Attributes:
        tokens: longest draft.
        confidence: a draft ends where the chance that all of it stands falls below this.
        realign: shortest run of tokens to realign on; 0 for never, and for no phrases either.
    """

    tokens: int
    confidence: float
    realign: int


class Phrases:
    """What followed a few tokens, in the answers to all prompts."""

    def __init__(self) -> None:
        self._next: dict[tuple[int, ...], dict[int, int]] = {}

    def learn(self, prompt: SequenceOf[int], answer: SequenceOf[int]) -> None:
        tokens = [*prompt[-_PHRASE:], *answer]
        for end in range(_PHRASE, len(tokens)):
            counts = self._next.setdefault(tuple(tokens[end - _PHRASE : end]), {})
            counts[tokens[end]] = counts.get(tokens[end], 0) + 1

    def after(self, tokens: tuple[int, ...]) -> tuple[int, float] | None:
        """The likeliest next token and its chance."""
        counts = self._next.get(tokens)
        if not counts:
            return None
        best = max(counts, key=counts.__getitem__)
        return best, counts[best] / (sum(counts.values()) + 1.0)


class Drafter:
    """Drafts, and keeps count of how they fare."""

    def __init__(self) -> None:
        self.phrases = Phrases()
        self._followed = [10.0, 9.0]  # drafted and accepted along siblings, from an optimistic start
        self._guessed = [10.0, 6.0]  # the same, after a divergence

    def draft(self, sequence: Sequence, policy: DraftPolicy, room: int) -> list[Node]:
        """Nodes that may follow the sequence's tip, at most ``room``; its last decision is never drafted."""
        limit = min(policy.tokens, sequence.remaining - 1, room)
        if limit < 1 or not sequence.takes_drafts:
            return []
        found = _follow(sequence.tip, limit, policy.confidence, self._followed[1] / self._followed[0])
        if found or not policy.realign:
            return found
        return self._realign(sequence, limit, policy) or self._recall(sequence, limit, policy.confidence)

    def learn(self, sequence: Sequence) -> None:
        """Remember a finished answer's phrases."""
        self.phrases.learn(sequence.request.prompt, sequence.tokens)

    def score(self, draft: list[Node], accepted: int, followed: bool) -> None:
        """Count how a draft fared; tokens behind the first wrong one say nothing."""
        tally = self._followed if followed else self._guessed
        tally[0] += min(len(draft), accepted + 1)
        tally[1] += accepted

    def _realign(self, sequence: Sequence, limit: int, policy: DraftPolicy) -> list[Node]:
        twin = sequence.tree.suffixes.longest_match(sequence.tip, policy.realign)
        if twin is None:
            return []
        node, draft = sequence.tip, []
        for guess in _follow(twin, limit, policy.confidence, self._guessed[1] / self._guessed[0]):
            node = node.child(guess.token)
            draft.append(node)
        return draft

    def _recall(self, sequence: Sequence, limit: int, confidence: float) -> list[Node]:
        known = [*sequence.request.prompt[-_PHRASE:], *sequence.tokens][-_PHRASE:]
        draft: list[Node] = []
        node, chance = sequence.tip, 1.0
        while len(draft) < limit and (found := self.phrases.after(tuple(known))) is not None:
            token, share = found
            chance *= share
            if chance < confidence:
                break
            node = node.child(token)
            draft.append(node)
            known = [*known[1:], token]
        return draft


def _follow(node: Node, limit: int, confidence: float, rate: float) -> list[Node]:
    """The most visited way down from a node; ``rate`` is the chance of a token that one answer backs."""
    path: list[Node] = []
    chance = 1.0
    while len(path) < limit and node.children:
        best = max(node.children.values(), key=_visits)
        total = sum(map(_visits, node.children.values()))
        chance *= (best.visits - 1 + rate) / total if best.visits else 0.0
        if chance < confidence:
            break
        path.append(best)
        node = best
    return path


def _visits(node: Node) -> int:
    return node.visits
