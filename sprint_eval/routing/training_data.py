"""From an outcome matrix to what a router can learn from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sprint_eval.errors import TrainingError
from sprint_eval.heads import HeadPool, HeadSet
from sprint_eval.outcomes import Outcomes
from sprint_eval.questions import question_hash


@dataclass(frozen=True)
class TrainingSet:
    """Questions with complete outcomes, each once, and the candidates measured on them.

    Attributes:
        questions: texts, n of them.
        keys: identity of each question up to its numbers; twins share one.
        pool: the J candidates.
        z: outcomes, 0 or 1, int8 ``[n, J]``.
        all_keys: keys of every question offered, those left out included: what a guard of train
            against test must know.
        counts: how many questions were offered, left out and why.
    """

    questions: tuple[str, ...]
    keys: tuple[str, ...]
    pool: HeadPool
    z: np.ndarray
    all_keys: tuple[str, ...]
    counts: Mapping[str, int]

    @property
    def single(self) -> np.ndarray:
        """Indices of the candidates that prune exactly one head."""
        return single_head_columns(self.pool)


def training_set(outcomes: Outcomes) -> TrainingSet:
    """Clean rows of an outcome matrix, with the base as a candidate of its own where it was measured.

    Left out, and counted: questions that were not decoded with every candidate, and repeats of a
    question (the first stays; greedy decoding gives them the same row).

    Raises:
        TrainingError: nothing can be learnt: no question, one candidate, none solved, or no question
            on which two heads differ.
    """
    pool, z = outcomes.pool, np.asarray(outcomes.z, np.int8)
    base = np.asarray(outcomes.base, np.int8)
    if HeadSet() not in pool.sets and len(base) == len(z) and (base >= 0).any():
        pool, z = HeadPool((*pool.sets, HeadSet())), np.column_stack([z, base])
    offered = list(outcomes.questions)
    if not offered:
        raise TrainingError("the outcome matrix has no question; run the sweep first")
    complete = np.all(z >= 0, axis=1)
    seen: set[str] = set()
    rows = []
    for index, row in enumerate(offered):
        text = question_hash(row.question)
        if complete[index] and text not in seen:
            seen.add(text)
            rows.append(index)
    counts = {
        "offered": len(offered),
        "incomplete": int((~complete).sum()),
        "repeated": int(complete.sum()) - len(rows),
        "used": len(rows),
    }
    if not rows:
        raise TrainingError(
            f"none of the {len(offered)} questions has been decoded with all {len(pool)} candidates; "
            "resume the sweep until it is complete"
        )
    counts["solvable"] = int(z[rows].any(axis=1).sum())
    _check_learnable(pool, z[rows])
    if len({offered[i].key for i in rows}) < 2:
        raise TrainingError(
            f"the {len(rows)} question(s) are one question up to its numbers; "
            "a router needs at least two to learn from"
        )
    return TrainingSet(
        tuple(offered[i].question for i in rows),
        tuple(offered[i].key for i in rows),
        pool,
        z[rows],
        tuple(dict.fromkeys(row.key for row in offered)),
        counts,
    )


def _check_learnable(pool: HeadPool, z: np.ndarray) -> None:
    single = single_head_columns(pool)
    if len(single) < 2:
        raise TrainingError(
            f"the pool has {len(single)} candidate(s) that prune one head; "
            "a router needs two or more to choose from"
        )
    solved = z[:, single].sum(axis=1)
    if not solved.any():
        raise TrainingError(
            f"no head of the pool solves any of the {len(z)} questions; take easier questions, "
            "a stronger model or another pool"
        )
    if ((solved == 0) | (solved == len(single))).all():
        raise TrainingError(
            f"each of the {len(z)} questions is solved by all heads or by none, so none tells heads apart; "
            "take other questions or another pool"
        )


def single_head_columns(pool: Sequence[HeadSet]) -> np.ndarray:
    """Indices of the entries that prune exactly one head: the paper's pool."""
    return np.array([j for j, head_set in enumerate(pool) if len(head_set) == 1], np.int64)


def key_groups(keys: Sequence[str]) -> np.ndarray:
    """A number a question; questions that differ only in their numbers share one."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)


def split_groups(groups: np.ndarray, parts: int, seed: int) -> np.ndarray:
    """Part of each question, 0 to ``parts`` - 1: whole groups, near-equal sizes, seeded."""
    labels = np.unique(groups)
    order = np.random.default_rng(seed).permutation(len(labels))
    part_of = np.empty(len(labels), np.int64)
    part_of[order] = np.arange(len(labels)) % parts
    return part_of[np.searchsorted(labels, groups)]


def stable_seed(*parts: object) -> int:
    """A seed from the parts' text, the same in every process and on every machine."""
    text = "\0".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:8], "big")
