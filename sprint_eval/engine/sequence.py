"""One request being decoded: what is computed, what is known but not computed, what is guessed."""

from __future__ import annotations

import numpy as np

from sprint_eval.engine.nodes import Node
from sprint_eval.engine.request import FinishReason, Request
from sprint_eval.engine.segments import Key
from sprint_eval.engine.text import StopChecker
from sprint_eval.engine.tree import AnswerTree


class Sequence:
    """A request's way through its prompt's answer tree, which is told of it.

    Attributes:
        index: the request's place in the caller's list.
        keys: its key in each segment.
        key_numbers: ``[segments]``, their numbers.
        stretches: the segments from one pruned layer to the next, each with the tree's cells under its heads.
        path: nodes behind the prefix that are computed in every segment.
        pending: nodes that are known (prompt or chosen tokens) and yet to be computed; never empty.
        draft: nodes guessed to follow, computed in the same forward and kept while they agree.
        slots: ``[segments, length]``, the path's cells in each segment's store.
        tokens: answer tokens chosen so far.
    """

    def __init__(
        self,
        index: int,
        request: Request,
        tree: AnswerTree,
        keys: tuple[Key, ...],
        order: tuple[object, ...],
        checker: StopChecker,
    ) -> None:
        self.index = index
        self.request = request
        self.tree = tree
        self.keys = keys
        self.key_numbers = np.array([key.number for key in keys])
        self.stretches = tree.join(keys)
        self.order = order
        self.tokens: list[int] = []
        self.finish_reason: FinishReason | None = None
        self.path: list[Node] = []
        self.pending: list[Node] = list(tree.prompt)
        self.draft: list[Node] = []
        self.slots = np.zeros((len(keys), 0), dtype=np.int64)
        self._checker = checker

    @property
    def feed(self) -> list[Node]:
        """Nodes to compute in the next forward."""
        return self.pending + self.draft

    @property
    def remaining(self) -> int:
        """Answer tokens that may still be chosen."""
        return self.request.max_new_tokens - len(self.tokens)

    @property
    def most_slots(self) -> int:
        """Slots that its tokens may take, alone, behind the shared prefix."""
        return len(self.tree.prompt) + self.request.max_new_tokens

    @property
    def takes_drafts(self) -> bool:
        return not self.request.sampling.do_sample

    @property
    def plain_greedy(self) -> bool:
        """Whether the largest logit is the next token, with nothing else to consider."""
        sampling = self.request.sampling
        return not sampling.do_sample and sampling.repetition_penalty == 1.0

    @property
    def tip(self) -> Node:
        """The last known node."""
        return self.pending[-1]

    def reserve(self, length: int) -> None:
        """Make room in ``slots`` for a path of ``length`` nodes."""
        if self.slots.shape[1] < length:
            wider = np.zeros((len(self.keys), max(length, 2 * self.slots.shape[1])), dtype=np.int64)
            wider[:, : self.slots.shape[1]] = self.slots
            self.slots = wider

    def choose(self, token: int) -> None:
        """Append a chosen token and see whether it ends the answer."""
        self.tokens.append(token)
        if self._checker.ended(self.tokens):
            self.finish_reason = "stop"
        elif not self.remaining:
            self.finish_reason = "length"

    def restart(self) -> None:
        """Forget what is computed, keeping what is chosen: after its cells were taken away."""
        self.pending = self.path + self.pending
        self.path = []
        self.draft = []

    def drop_slots(self) -> None:
        """It is finished, and what it holds of the cache is others'."""
        self.slots = self.slots[:, :0].copy()
