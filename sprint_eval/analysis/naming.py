"""What a study calls its matrices, in headings, folders and plots."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sprint_eval.analysis.impact import Impact
from sprint_eval.errors import ArgumentError
from sprint_eval.outcomes import Outcomes


def label_all(matrices: Sequence[Outcomes], published: Sequence[Impact], names: Sequence[str]) -> list[str]:
    """A name for everything that is shown; the task joins it where one model has several."""
    count = len(matrices) + len(published)
    if names:
        if len(names) != count:
            raise ArgumentError(
                f"{len(names)} --name given for {count} matrices and tables: one each, or none"
            )
        labels = list(names)
    else:
        short = [outcomes.manifest.model.rstrip("/").split("/")[-1] for outcomes in matrices]
        tasks = [outcomes.manifest.task.split("_pass_at_n")[0] for outcomes in matrices]
        labels = [f"{model}, {task}" for model, task in zip(short, tasks, strict=True)]
        labels += [impact.model for impact in published]
    slugs = [slug(label) for label in labels]
    if len(set(slugs)) < len(slugs):
        twice = next(label for label, mine in zip(labels, slugs, strict=True) if slugs.count(mine) > 1)
        raise ArgumentError(f"two of the matrices would be called {twice!r}: name them by --name, in order")
    return labels


def slug(label: str) -> str:
    """A label as a folder's name."""
    return re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-") or "study"


def wrapped(label: str) -> str:
    """A label on two lines, as an axis shows it."""
    return label.replace(", ", "\n")


def ranges(numbers: Sequence[int]) -> str:
    """``0-3, 5``."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)
