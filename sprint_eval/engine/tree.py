"""The tree of a prompt's answers: one node a token, one path an answer, variants side by side.

What a token computes depends on the tokens before it and on the heads pruned, so a node and a
:class:`~sprint_eval.engine.segments.Key` name a *cell*: keys, values and hidden state of one token
in one segment. A cell is computed once, whichever requests pass through it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sprint_eval.engine.cache import Cache, Prefix
from sprint_eval.engine.segments import Key


class Node:
    """A token in its context.

    Attributes:
        depth: position among the tokens behind the shared prefix.
        visits: answers, finished or in the making, that hold this token here.
    """

    __slots__ = ("children", "depth", "parent", "token", "visits")

    def __init__(self, token: int, parent: Node | None) -> None:
        self.token = token
        self.parent = parent
        self.children: dict[int, Node] = {}
        self.depth: int = 0 if parent is None else parent.depth + 1
        self.visits = 0

    def child(self, token: int) -> Node:
        """The node of ``token`` after this one, made if it is new."""
        node = self.children.get(token)
        if node is None:
            node = self.children[token] = Node(token, self)
        return node


class AnswerTree:
    """One prompt, the answers to it, and the cells computed for them.

    Attributes:
        prefix: the tokens shared with other prompts.
        prompt: nodes of the prompt's tokens behind the prefix, at least one.
        live: requests being decoded now.
        answers: answers finished.
    """

    def __init__(self, prefix: Prefix, rest: Sequence[int]) -> None:
        self.prefix = prefix
        self.prompt = [Node(rest[0], None)]
        for token in rest[1:]:
            self.prompt.append(self.prompt[-1].child(token))
        self.live = 0
        self.answers = 0
        self._cells: dict[Key, dict[Node, int]] = {}
        self._users: dict[Key, int] = {}
        self._pairs: dict[tuple[int, int], list[Node]] = {}

    # Cells.

    def join(self, keys: Sequence[Key]) -> None:
        """Announce a request; the cells of its keys are kept until it leaves."""
        for key in keys:
            self._users[key] = self._users.get(key, 0) + 1

    def leave(self, keys: Sequence[Key], cache: Cache) -> None:
        """A request is finished: free the cells that nobody else can use."""
        for key in keys:
            self._users[key] -= 1
            if self._users[key] == 0:
                del self._users[key]
                self._free_key(key, cache)
                if not self.prefix.kept:
                    self.prefix.cells.pop(key, None)

    def cells(self, key: Key) -> dict[Node, int]:
        """Slot of each node computed under ``key``."""
        return self._cells.setdefault(key, {})

    def forget(self, keys: Iterable[Key], nodes: Sequence[Node], cache: Cache) -> None:
        """Free some nodes' cells under those of ``keys`` that one request alone uses."""
        for key in keys:
            cells = self._cells.get(key)
            if cells and self._users.get(key, 0) <= 1:
                slots = [cells.pop(node) for node in nodes if node in cells]
                cache.stores[key.segment].release(slots)

    def clear(self, cache: Cache, keys: Iterable[Key] | None = None) -> None:
        """Free all cells, or those of ``keys`` that one request alone uses; tokens stay, as drafts."""
        for key in list(self._cells if keys is None else keys):
            if keys is None or self._users.get(key, 0) <= 1:
                self._free_key(key, cache)

    def reset(self) -> None:
        """Forget all cells, the prefix's too, without giving slots back: their cache is gone."""
        self._cells.clear()
        self.prefix.cells.clear()

    def discard(self, node: Node, keys: Iterable[Key], cache: Cache) -> None:
        """Remove a drafted node that no answer holds, with its cells under the ``keys`` of who drafted it."""
        siblings = node.parent.children if node.parent is not None else {}
        if siblings.get(node.token) is node:
            del siblings[node.token]
        for key in keys:
            slot = self._cells.get(key, {}).pop(node, None)
            if slot is not None:
                cache.stores[key.segment].release((slot,))

    def _free_key(self, key: Key, cache: Cache) -> None:
        cells = self._cells.pop(key, None)
        if cells:
            cache.stores[key.segment].release(cells.values())

    # Answers as drafts.

    def visit(self, node: Node) -> None:
        """Count an answer's token."""
        node.visits += 1
        if node.visits == 1 and node.parent is not None:
            self._pairs.setdefault((node.parent.token, node.token), []).append(node)

    def like(self, node: Node) -> list[Node]:
        """Nodes of answers with the same token as ``node`` after the same token."""
        if node.parent is None:
            return []
        return self._pairs.get((node.parent.token, node.token), [])
