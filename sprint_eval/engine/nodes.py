"""Tokens in their contexts, and where an answer's last tokens stand in the answers to a prompt."""

from __future__ import annotations

_LONGEST_MATCH = 16
_COMPARED = 8  # nodes that are compared one by one; a list of more is split


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


class SuffixIndex:
    """Finds where the last tokens of an answer stand, in time that hardly grows with the answers.

    A trie over the tokens up to a node, read backwards, only as deep as it has to be: nodes that end
    with the same tokens stand in one list until they are too many to be compared one by one.
    """

    def __init__(self) -> None:
        self._pairs: dict[tuple[int, int], _Suffix] = {}

    def add(self, node: Node) -> None:
        """Index an answer's token by the tokens up to it."""
        at = node.parent
        if at is None:
            return
        suffix = self._pairs.get((at.token, node.token))
        if suffix is None:
            suffix = self._pairs[at.token, node.token] = _Suffix(2)
        suffix.nodes.append(node)
        while suffix.longer is not None and (at := at.parent) is not None:
            suffix = suffix.extended(at.token)
            suffix.nodes.append(node)
        suffix.split_if_many()

    def longest_match(self, node: Node, shortest: int) -> Node | None:
        """The other node that agrees with ``node`` in most last tokens (16 count), the earliest of equals.

        Args:
            shortest: fewest tokens that are a match; a single one never is.

        The last token of an answer, which nothing follows, is no match.
        """
        for suffix in reversed(self._suffixes(node)):
            found, length = suffix.closest(node)
            if found is not None:
                return found if length >= shortest else None
        return None

    def _suffixes(self, node: Node) -> list[_Suffix]:
        """Ever longer, as far as they are told apart."""
        at = node.parent
        suffix = None if at is None else self._pairs.get((at.token, node.token))
        found: list[_Suffix] = []
        while at is not None and suffix is not None:
            found.append(suffix)
            at = at.parent
            suffix = None if at is None or suffix.longer is None else suffix.longer.get(at.token)
        return found


class _Suffix:
    """Nodes that end with the same ``length`` tokens, in the order they came."""

    __slots__ = ("length", "longer", "nodes")

    def __init__(self, length: int) -> None:
        self.length = length
        self.nodes: list[Node] = []
        self.longer: dict[int, _Suffix] | None = None  # by the token before, once there are many

    def extended(self, token: int) -> _Suffix:
        """Those of its nodes with ``token`` before the common ones; of a suffix that is split."""
        assert self.longer is not None
        longer = self.longer.get(token)
        if longer is None:
            longer = self.longer[token] = _Suffix(self.length + 1)
        return longer

    def split_if_many(self) -> None:
        """Tell nodes apart by one more token, unless that is done or they are few."""
        if self.longer is not None or len(self.nodes) <= _COMPARED or self.length == _LONGEST_MATCH:
            return
        self.longer = {}
        for node in self.nodes:
            before: Node | None = node
            for _ in range(self.length):
                before = None if before is None else before.parent
            if before is not None:
                self.extended(before.token).nodes.append(node)

    def closest(self, node: Node) -> tuple[Node | None, int]:
        """The first to agree longest with ``node``, and in how many tokens.

        Of a suffix that is split: the first, since those that agree in more are in a longer one.
        """
        best, length = None, 0
        for other in self.nodes:
            if other is node or not other.children:
                continue
            if self.longer is not None:
                return other, self.length
            agreed = _agreed(node, other)
            if agreed > length:
                best, length = other, agreed
            if agreed == _LONGEST_MATCH:
                break
        return best, length


def _agreed(one: Node | None, other: Node | None) -> int:
    """In how many last tokens two nodes agree."""
    length = 0
    while one is not None and other is not None and one.token == other.token and length < _LONGEST_MATCH:
        length += 1
        one, other = one.parent, other.parent
    return length
