"""Whether runs on the same questions were given the same prompts.

Worked examples drawn by another seed, or a chat template that prints the date, change the prompts
of a task that is the same in everything else.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sprint_eval.leaderboards.records import Run

Prompts = npt.NDArray[np.uint64]


def prompts_of(run: Run, keys: Sequence[str] | None) -> Prompts | None:
    """``[questions]`` a digest of each prompt, in the order of ``keys``; ``None`` where not logged."""
    if keys is None or run.sampled is None or run.sampled.prompts is None:
        return None
    found = dict(zip(run.sampled.keys, run.sampled.prompts.tolist(), strict=True))
    return np.array([found[key] for key in keys], dtype=np.uint64)


def unlike_most(rows: Sequence[Prompts | None]) -> list[int]:
    """On how many questions each row's prompt is not that of more than half of the rows.

    Where no prompt has that many, none is the table's, and every row counts; a row whose prompts are
    not known counts nothing and is not counted.
    """
    known = [prompts for prompts in rows if prompts is not None]
    if len(known) < 2:
        return [0] * len(rows)
    # Boyer and Moore's majority vote, question by question, with no more memory than one row's.
    common, lead = known[0], np.zeros(len(known[0]), dtype=np.int64)
    for prompts in known:
        common = np.where(lead == 0, prompts, common)
        lead += np.where(prompts == common, 1, -1)
    votes = np.zeros_like(lead)
    for prompts in known:
        votes += prompts == common
    shared = 2 * votes > len(known)
    return [0 if prompts is None else int((~shared | (prompts != common)).sum()) for prompts in rows]
