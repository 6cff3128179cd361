"""Documents of a task: parts that share no question, in a fixed shuffled order with kinds interleaved."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sprint_eval.questions import question_hash

logger = logging.getLogger(__name__)

# A document: question, answer, subject, question_key, and what its data set has besides.
Doc = dict[str, Any]

_ORDER_SALT = "sprint-eval order 1"
VALIDATION_SHARE = 10  # one in so many training keys is validation


@dataclass
class Parts:
    """The three parts of a data set, and what was left out to keep them apart.

    Attributes:
        train: training documents.
        validation: a tenth of the training questions, chosen by key.
        test: test documents.
        twins: training questions dropped because the test has the same one up to its numbers.
        repeats: documents dropped because their part has the very same question already.
        source: ``hub``, ``local`` or ``generated``.
    """

    train: list[Doc] = field(default_factory=list)
    validation: list[Doc] = field(default_factory=list)
    test: list[Doc] = field(default_factory=list)
    twins: int = 0
    repeats: int = 0
    source: str = "local"

    def part(self, name: str) -> list[Doc]:
        """The documents of ``train``, ``validation`` or ``test``."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]


def divide(train: Iterable[Doc], test: Iterable[Doc], source: str, name: str) -> Parts:
    """Parts without a question in common, by ``question_key``; what is dropped is counted aloud.

    A training question whose key the test has is dropped; so is a second copy of the very same
    question within a part (two documents that lm-eval could not tell apart).
    """
    kept_test, repeats_test = _without_repeats(test)
    kept_train, repeats_train = _without_repeats(train)
    test_keys = {doc["question_key"] for doc in kept_test}
    free = [doc for doc in kept_train if doc["question_key"] not in test_keys]
    validation = [doc for doc in free if int(doc["question_key"], 16) % VALIDATION_SHARE == 0]
    rest = [doc for doc in free if int(doc["question_key"], 16) % VALIDATION_SHARE != 0]
    parts = Parts(
        interleave(rest),
        interleave(validation),
        interleave(kept_test),
        twins=len(kept_train) - len(free),
        repeats=repeats_test + repeats_train,
        source=source,
    )
    if parts.twins or parts.repeats:
        _say_once(
            f"{name}: {parts.twins} of {len(kept_train)} training questions dropped because the test has the "
            f"same question up to its numbers; {parts.repeats} exact repeats dropped"
        )
    return parts


def interleave(docs: Sequence[Doc]) -> list[Doc]:
    """The documents in an order fixed by their text alone, every kind spread evenly over it.

    The first k documents are then a fair sample whatever the order of the file they came from.
    """
    kinds: dict[str, list[Doc]] = defaultdict(list)
    for doc in docs:
        kinds[doc["subject"]].append(doc)
    placed = []
    for subject, members in kinds.items():
        members.sort(key=_shuffle_key)
        offset = int(_digest(subject)[:8], 16) / 2**32
        placed += [
            ((index + offset) / len(members), subject, doc) for index, doc in enumerate(members)
        ]  # fmt: skip
    placed.sort(key=lambda entry: entry[:2])
    return [doc for _, _, doc in placed]


def fingerprint(docs: Sequence[Doc]) -> str:
    """8 hexadecimal digits that name these questions and answers in this order."""
    content = json.dumps([[doc["question"], doc["answer"]] for doc in docs], ensure_ascii=True)
    return _digest(content)[:8]


def _without_repeats(docs: Iterable[Doc]) -> tuple[list[Doc], int]:
    seen: dict[str, Doc] = {}
    count = 0
    for doc in docs:
        count += 1
        seen.setdefault(question_hash(doc["question"]), doc)
    return list(seen.values()), count - len(seen)


def _shuffle_key(doc: Doc) -> str:
    return _digest(_ORDER_SALT + doc["question"])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


_said: set[str] = set()


def _say_once(message: str) -> None:
    if message not in _said:
        _said.add(message)
        logger.warning(message)
