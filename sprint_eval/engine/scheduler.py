"""Which requests run in the next forward, and what each of them is fed.

Continuous batching: a finished request's place is taken at once, prompts, verified drafts and
single tokens share a forward. Requests for one prompt wait, while there is other work, until its
first answer is there to draft from.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, replace

from sprint_eval.engine.cache import Cache
from sprint_eval.engine.drafts import Drafter, DraftPolicy
from sprint_eval.engine.nodes import Node
from sprint_eval.engine.prefix_memory import PrefixMemory
from sprint_eval.engine.sequence import Sequence
from sprint_eval.engine.tree import Stretch, release_guesses
from sprint_eval.errors import ArgumentError, GenerationError

_ANSWERS_A_PROMPT = 8  # answers' worth of distinct tokens that a prompt's tree is expected to hold
_LOOK_AHEAD = 1024  # waiting requests that are passed over in search of one that can start


@dataclass(frozen=True)
class Limits:
    """Size of a forward, and how much is guessed.

    Attributes:
        step_tokens: tokens of one forward to aim at.
        thin_tokens: a forward of fewer tokens wastes the machine: then requests start before their
            siblings' answers are there, and guesses are bolder.
        live: requests decoded at the same time, at most.
        drafts: guesses in a full forward.
        thin_drafts: guesses in a thin one.
    """

    step_tokens: int
    thin_tokens: int
    live: int
    drafts: DraftPolicy
    thin_drafts: DraftPolicy

    def __post_init__(self) -> None:
        if self.live < 1:
            raise ArgumentError(f"batch size {self.live}: expected 1 or more")

    def halved(self) -> Limits:
        """Half the work at a time."""
        return replace(
            self,
            step_tokens=max(1, self.step_tokens // 2),
            thin_tokens=max(1, self.thin_tokens // 2),
            live=max(1, self.live // 2),
        )


class Scheduler:
    """Requests waiting and running."""

    def __init__(
        self, waiting: Iterable[Sequence], cache: Cache, prefixes: PrefixMemory, limits: Limits
    ) -> None:
        self._waiting = list(waiting)
        self._cache = cache
        self._prefixes = prefixes
        self._limits = limits
        self._trees = list({id(sequence.tree): sequence.tree for sequence in self._waiting}.values())
        self.live: list[Sequence] = []
        self.drafter = Drafter()

    @property
    def unfinished(self) -> bool:
        return bool(self._waiting or self.live)

    def restart(self, cache: Cache, prefixes: PrefixMemory, limits: Limits) -> None:
        """Go on with an empty cache and other limits; nothing that was decoded is lost."""
        self._cache = cache
        self._prefixes = prefixes
        self._limits = limits
        for sequence in self.live:
            sequence.restart()
            sequence.tree.live -= 1
        self._waiting = self.live + self._waiting
        self.live = []

    def next_step(self) -> list[Sequence]:
        """Requests of the next forward, each with its draft set.

        Raises:
            GenerationError: not even one request fits into the cache.
        """
        for sequence in self.live:
            sequence.draft = []
        self._prefixes.begin_step()
        tokens = self._admit(sum(len(sequence.pending) for sequence in self.live))
        self._make_room()
        room = self._cache.free - sum(len(sequence.pending) for sequence in self.live)
        policy = self._limits.thin_drafts if tokens < self._limits.thin_tokens else self._limits.drafts
        for sequence in self.live:
            sequence.draft = self.drafter.draft(sequence, policy, room)
            room -= len(sequence.draft)
        return list(self.live)

    def settle(self, sequence: Sequence, accepted: int, followed: bool) -> None:
        """After a forward ``accepted`` drafted tokens stood.

        ``followed`` tells drafts along a sibling's answer from those after a divergence.
        """
        draft, pending = sequence.draft, sequence.pending
        self.drafter.score(draft, accepted, followed)
        sequence.path += pending + draft[:accepted]
        sequence.draft = []

    def drop_guesses(self, guesses: SequenceOf[tuple[Sequence, list[Node]]]) -> None:
        """After all of a forward's decisions: free what was computed for drafted nodes that did not stand.

        Those that no answer took are removed.
        """
        freed: list[tuple[Stretch, list[Node]]] = []
        for sequence, nodes in guesses:
            # What a finished request alone used is free already; the rest of a node that stays is others'.
            if sequence.finish_reason is not None:
                nodes = [node for node in nodes if not node.visits]
            freed += [(stretch, nodes) for stretch in sequence.stretches if nodes]
        release_guesses(freed, self._cache)
        for sequence, nodes in guesses:
            for node in nodes:
                if not node.visits:
                    sequence.tree.discard(node)

    def finish(self, sequence: Sequence) -> None:
        """Give a finished request's place and cells back."""
        self.live.remove(sequence)
        sequence.tree.live -= 1
        sequence.tree.answers += 1
        self.drafter.learn(sequence)
        sequence.tree.leave(sequence.keys, sequence.stretches, self._cache)
        sequence.drop_slots()

    def _admit(self, tokens: int) -> int:
        """Start waiting requests while the forward has room; returns its tokens, prefixes left out."""
        limits = self._limits
        passed: list[Sequence] = []
        position = prefixes = 0
        while (
            position < len(self._waiting)
            and len(passed) < _LOOK_AHEAD
            and len(self.live) < limits.live
            and tokens + prefixes < limits.step_tokens
        ):
            sequence = self._waiting[position]
            position += 1
            if tokens >= limits.thin_tokens and not _has_answers(sequence):
                passed.append(sequence)
                continue
            needed = tokens + len(sequence.pending)
            # Asked also for a request that runs alone and so runs anyhow: others' prefixes give way to it.
            prefix_fits = self._prefixes.fits(sequence, self.live)
            slots_fit = needed <= self._cache.free or self._reclaim(needed)
            if self.live and not (prefix_fits and slots_fit):
                position -= 1
                break
            prefixes += self._prefixes.missing(sequence)
            self._prefixes.use(sequence)
            self.live.append(sequence)
            sequence.tree.live += 1
            tokens = needed
        self._waiting = passed + self._waiting[position:]
        return tokens

    def _make_room(self) -> None:
        """See that every live request can take its next step; the youngest go back to wait."""
        while True:
            needed = sum(len(sequence.pending) for sequence in self.live)
            if needed <= self._cache.free or self._reclaim(needed):
                return
            if len(self.live) == 1:
                self._make_room_for(self.live[0])
                return
            sequence = self.live.pop()
            sequence.tree.live -= 1
            sequence.tree.clear(self._cache, sequence.stretches)
            sequence.restart()
            self._waiting.insert(0, sequence)

    def _make_room_for(self, sequence: Sequence) -> None:
        """For the only request that runs: give up what its prompt's tree keeps for others, and begin anew."""
        sequence.tree.clear(self._cache)
        sequence.restart()
        if len(sequence.pending) > self._cache.free:
            raise GenerationError(
                f"one request needs {len(sequence.pending)} cache slots and {self._cache.free} of "
                f"{self._cache.capacity} are free; free memory, shorten the prompts, or raise token_budget"
            )

    def _reclaim(self, needed: int) -> bool:
        """Free the cells of prompts that nobody is working on, until ``needed`` slots are free."""
        for tree in self._trees:
            if self._cache.free >= needed:
                return True
            if not tree.live:
                tree.clear(self._cache)
        return self._cache.free >= needed


def _has_answers(sequence: Sequence) -> bool:
    """Whether the request can draft now, or is the first of its prompt, or never drafts."""
    tree = sequence.tree
    return tree.answers > 0 or tree.live == 0 or not sequence.takes_drafts


def in_working_order(sequences: Iterable[Sequence], budget: int) -> list[Sequence]:
    """Prompts in blocks that a cache of ``budget`` tokens holds together with their answers.

    Within a block the base of every prompt comes first, since the others draft from it; then head
    set by head set, so that few prefixes are in use at the same time.
    """
    blocks: dict[int, int] = {}
    leaders: dict[int, Sequence] = {}
    block, filled = 0, 0
    ordered = list(sequences)
    for sequence in ordered:
        tree = id(sequence.tree)
        if tree not in blocks:
            size = len(sequence.tree.prompt) + _ANSWERS_A_PROMPT * sequence.request.max_new_tokens
            if filled + size > budget // 2 and filled:
                block, filled = block + 1, 0
            blocks[tree], filled = block, filled + size
        first = leaders.setdefault(tree, sequence)
        if len(sequence.request.heads) < len(first.request.heads):
            leaders[tree] = sequence
    ahead = {sequence.index for sequence in leaders.values()}
    return sorted(ordered, key=lambda s: (blocks[id(s.tree)], s.index not in ahead, s.order, s.index))
