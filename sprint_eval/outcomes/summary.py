"""An outcome store in a few lines."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sprint_eval.heads import BASE
from sprint_eval.outcomes.reader import Outcomes
from sprint_eval.outcomes.store import done_cells, expected_cells


def summary_lines(folder: str | Path, outcomes: Outcomes, *, subjects: bool = False) -> list[str]:
    """What ``sprint-eval outcomes show`` prints.

    Args:
        folder: the store.
        outcomes: its matrix.
        subjects: a line a subject too.
    """
    manifest = outcomes.manifest
    cells, done = expected_cells(manifest), done_cells(outcomes)
    prompts = f"{manifest.num_fewshot}-shot" if manifest.num_fewshot else "zero-shot"
    prompts += ", chat template" if manifest.chat_template else ", no chat template"
    lines = [
        f"store      {folder}",
        f"model      {manifest.model} ({manifest.model_fingerprint}, {manifest.dtype})",
        f"task       {manifest.task} version {manifest.task_version}, {manifest.split} split, {prompts}",
        f"settings   {', '.join(f'{key}={value!r}' for key, value in manifest.generation.items())}",
        f"pool       {_shortened(manifest.pool)}",
        f"questions  {len(outcomes.questions)} in {len(set(outcomes.subjects))} subjects",
        f"cells      {done} of {cells} ({done / max(cells, 1):.1%}), grader {manifest.grader_version}",
    ]
    lines += _accuracy(outcomes)
    lines.append(f"files      {outcomes.health.shards} shards, {outcomes.health.bytes / 1e6:.1f} MB")
    lines += _remarks(outcomes)
    if subjects:
        lines += _by_subject(outcomes)
    return lines


def _accuracy(outcomes: Outcomes) -> list[str]:
    """Accuracies over what has been decoded; coverage over whole rows alone."""
    if not outcomes.done.any():
        return ["accuracy   nothing has been decoded yet"]
    lines = []
    base = outcomes.base[outcomes.base >= 0]
    if len(base):
        lines.append(f"base       {base.mean():.3f} right of {len(base)}")
    whole = (outcomes.z >= 0).all(axis=1)
    if whole.any():
        z = outcomes.z[whole]
        best = int(z.mean(axis=0).argmax())
        lines.append(f"best       {outcomes.pool[best]}: {z[:, best].mean():.3f} right of {len(z)}")
        lines.append(
            f"any head   {z.any(axis=1).mean():.3f} of {len(z)} questions are solved by some head set"
        )
    tokens = outcomes.tokens[outcomes.tokens >= 0]
    cut = outcomes.truncated[outcomes.done]
    lines.append(f"answers    {tokens.mean():.1f} tokens on average, {cut.mean():.1%} cut at the limit")
    return lines


def _by_subject(outcomes: Outcomes) -> list[str]:
    lines = ["", f"{'subject':32} {'questions':>9} {'base':>6} {'any head':>9}"]
    subjects = np.array(outcomes.subjects)
    for subject in sorted(set(subjects.tolist())):
        rows = subjects == subject
        base = outcomes.base[rows]
        solved = (outcomes.z[rows] == 1).any(axis=1).mean()
        right = f"{base[base >= 0].mean():.3f}" if (base >= 0).any() else "-"
        lines.append(f"{subject:32.32} {int(rows.sum()):9} {right:>6} {solved:9.3f}")
    return lines


def _remarks(outcomes: Outcomes) -> list[str]:
    health, remarks = outcomes.health, []
    if health.torn:
        remarks.append(f"note       {health.torn} bytes of torn lines (a kill) are passed over")
    if health.duplicates:
        remarks.append(f"note       {health.duplicates} cells stand more than once; the first counts")
    if health.stale:
        remarks.append(f"note       {health.stale} verdicts are of another grader: run sprint-eval regrade")
    return remarks


def _shortened(names: tuple[str, ...], shown: int = 8) -> str:
    text = " ".join(names[:shown])
    more = f" … {names[-1]}" if len(names) > shown else ""
    base = " (base among them)" if BASE in names else " and the base beside them"
    return f"{len(names)} head sets: {text}{more}{base}"
