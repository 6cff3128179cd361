"""Put comparable runs into one table, keep the rest apart, and say what differs."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sprint_eval.leaderboards.fields import clean
from sprint_eval.leaderboards.methods import Method, method_of, unique_names
from sprint_eval.leaderboards.prompts import prompts_of, unlike_most
from sprint_eval.leaderboards.records import PASS, Run
from sprint_eval.prompt_facts import TOKEN_LIMITS

_COUNT_WORDS = {
    "short": "{} candidates missing",
    "extra": "{} padding candidates dropped",
    "truncated": "{} truncated",
    "no_answer": "{} without an answer",
    "timed_out": "{} grader time-outs",
    "failed": "{} not graded",
    "repeated": "{} repeat a text",
}

# Counts that make a score lower, or another score, than the method would have earned.
_MADE_ON_TEST = {
    "router_trained_on_test": "router trained on test questions",
    "heads_chosen_on_test": "heads chosen on test questions",
}
_SERIOUS = frozenset({"short", "extra", "timed_out", "failed"})


@dataclass
class Row:
    """A method's run in a table.

    Attributes:
        name: unique within the table; ``full_name`` within the board.
        key: the method's id, with N where the table has the method at several N.
        order: where each of the table's questions stands in the run's samples.
        notes: what a reader must know of this row, in words; ``serious`` are those that cast doubt
            on its score.
        repeats: older runs of the same, left out in favour of this one.
    """

    method: Method
    name: str
    run: Run
    candidates: int
    deterministic: bool
    notes: list[str] = field(default_factory=list)
    serious: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    repeats: list[Run] = field(default_factory=list)
    order: np.ndarray | None = None
    full_name: str = ""
    key: str = ""

    def note(self, text: str, serious: bool = False) -> None:
        """Add a note; serious ones come first."""
        if serious:
            self.notes.insert(len(self.serious), text)
            self.serious.append(text)
        else:
            self.notes.append(text)


@dataclass
class Table:
    """Runs that answer the same questions under the same settings, so that they may be compared.

    Attributes:
        k: the largest k that the table ranks by.
        keys: the questions in a fixed order, ``None`` where no samples were logged.
        apart: in what this table differs from others of the same task.
    """

    id: str
    task: str
    score: str
    filter: str
    settings: dict[str, str]
    rows: list[Row]
    k: int
    keys: list[str] | None
    questions: int | None
    lower_is_better: bool = False
    apart: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """Task, score where it is not Pass@k, and what sets the table apart."""
        parts = [self.task]
        if self.score != PASS:
            parts.append(self.score if self.filter == "none" else f"{self.score}, {self.filter}")
        return " · ".join(parts + self.apart)


def build_tables(runs: Iterable[Run]) -> list[Table]:
    """Group runs by task, score and every setting that must agree; tables in order of their titles."""
    grouped: dict[str, list[Run]] = defaultdict(list)
    described: dict[str, dict[str, str]] = {}
    for run in runs:
        settings = _settings(run)
        key = json.dumps(settings, sort_keys=True)
        described[key] = settings
        grouped[key].append(run)
    tables = [_table(described[key], members) for key, members in sorted(grouped.items())]
    _tell_apart(tables)
    full = unique_names(row.method for table in tables for row in table.rows)
    for table in tables:
        _name_rows(table, unique_names(row.method for row in table.rows), full)
    return sorted(tables, key=lambda table: (table.task, table.score != PASS, -len(table.rows), table.title))


def _settings(run: Run) -> dict[str, str]:
    """Everything that must be equal within a table, by the name a reader knows it by."""
    header = run.header
    generation = header.generation
    limits = [generation.get(name) for name in TOKEN_LIMITS] + [header.model_args.get("max_gen_toks")]
    limit = next((given for given in limits if given is not None), None)
    until = generation.get("until")
    stops = [until] if isinstance(until, str) else until if isinstance(until, list) else []
    return {
        "task": header.task,
        "score": run.score,
        "filter": run.filter,
        "task version": header.version or "unknown",
        "grader": header.grader or "the task's own",
        "few-shot examples": _said(header.num_fewshot),
        "chat template": _short(header.chat_template),
        "system prompt": _short(header.system_prompt),
        "few-shot as turns": "yes" if header.multiturn else "no",
        "token limit": _said(limit),
        "stop strings": " | ".join(repr(clean(str(stop))) for stop in stops) or "default",
        "questions": _questions_name(run),
    }


def _said(value: Any) -> str:
    return "default" if value is None else clean(str(value))[:80]


def _short(digest: str | None) -> str:
    return "none" if digest is None else digest[:8]


def _questions_name(run: Run) -> str:
    """The question set: a count and a hash of its documents' hashes, whatever their order."""
    if run.sampled is None:
        count = run.header.questions
        limited = "" if run.header.limit is None else f", limit {run.header.limit:g}"
        return f"{'?' if count is None else count}{limited}, not logged"
    digest = hashlib.sha256("\n".join(sorted(run.sampled.keys)).encode("utf-8", "replace")).hexdigest()[:8]
    return f"{len(run.sampled.keys)}, set {digest}"


def _table(settings: dict[str, str], runs: list[Run]) -> Table:
    newest: dict[tuple[str, int], list[Run]] = defaultdict(list)
    methods: dict[str, Method] = {}
    for run in runs:
        method = method_of(run.header)
        methods[method.id] = method
        newest[(method.id, candidates_of(run))].append(run)
    rows = []
    for (key, count), repeats in newest.items():
        repeats.sort(key=lambda run: (run.header.date, run.header.stamp, str(run.header.path)), reverse=True)
        rows.append(_row(methods[key], repeats, count))
    keys = sorted(runs[0].sampled.keys) if runs[0].sampled is not None else None
    for row in rows:
        _align(row, keys)
    _note_prompts(rows, keys)
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode("utf-8", "replace")).hexdigest()[:8]
    return Table(
        id=f"t{digest}",
        task=settings["task"],
        score=settings["score"],
        filter=settings["filter"],
        settings=settings,
        rows=rows,
        k=_common_k(rows),
        keys=keys,
        questions=len(keys) if keys is not None else runs[0].header.questions,
        lower_is_better=any(settings["score"] in run.header.lower_is_better for run in runs),
    )


def candidates_of(run: Run) -> int:
    """N of a run: from its samples, else from the metrics it reports."""
    if run.sampled is not None:
        return run.sampled.candidates
    if run.score != PASS:
        return 1
    k = 1
    while (f"pass@{k + 1}", run.filter) in run.header.metrics:
        k += 1
    return k


def _row(method: Method, repeats: list[Run], count: int) -> Row:
    run = repeats[0]
    deterministic = _gives_one_answer(run, count)
    counts = dict(run.sampled.counts) if run.sampled is not None else {}
    only_one = run.sampled is not None and 0 < counts.get("repeated", 0) == len(run.sampled.keys) * (
        count - 1
    )
    if deterministic or only_one:
        counts.pop("repeated", None)  # one answer, asked for N times
    row = Row(method, method.name, run, count, deterministic, counts=counts, repeats=repeats[1:])
    for name, words in _COUNT_WORDS.items():
        if counts.get(name):
            row.note(words.format(f"{counts[name]:,}"), serious=name in _SERIOUS)
    if only_one and not deterministic:
        row.note("one answer a question")
    for fact, words in _MADE_ON_TEST.items():
        if run.header.info.get(fact) is True:
            row.note(words, serious=True)
    if run.sampled is None:
        logged = "no samples logged" if run.header.samples_path is None else "no value a question"
        row.note(f"{logged}: no intervals, no comparison", serious=True)
    return row


def _gives_one_answer(run: Run, count: int) -> bool:
    """Whether asking again would change nothing: the run says which, or was asked once and is greedy.

    A run asked N times is never taken for greedy by its settings alone: its candidates may differ
    in more than the draw.
    """
    said = run.header.info.get("deterministic")
    if isinstance(said, bool):
        return said
    greedy = run.header.generation.get("do_sample") is False
    return count == 1 and run.score == PASS and greedy


def _align(row: Row, keys: list[str] | None) -> None:
    if keys is not None and row.run.sampled is not None:
        places = {key: index for index, key in enumerate(row.run.sampled.keys)}
        row.order = np.array([places[key] for key in keys], dtype=np.int64)


def _note_prompts(rows: list[Row], keys: list[str] | None) -> None:
    """Say whose prompts are not the table's, and which row is the newest of runs, with what prompts."""
    asked = [prompts_of(row.run, keys) for row in rows]
    for row, prompts, others in zip(rows, asked, unlike_most(asked), strict=True):
        if keys is not None and others:
            row.note(f"other prompts on {others:,} of {len(keys):,} questions", serious=True)
        if row.repeats:
            older = [prompts_of(run, keys) for run in row.repeats]
            changed = sum(
                prompts is not None and before is not None and not np.array_equal(prompts, before)
                for before in older
            )
            told = f", {changed} with other prompts" if changed else ""
            row.note(f"newest of {len(older) + 1} runs{told}")


def _common_k(rows: list[Row]) -> int:
    """The k to rank by: the N that most rows have, the larger of equals; one answer serves any k."""
    counts = Counter(row.candidates for row in rows if not row.deterministic)
    if not counts:
        return max(row.candidates for row in rows)
    return max(counts, key=lambda k: (counts[k], k))


def _name_rows(table: Table, names: dict[str, str], full: dict[str, str]) -> None:
    same = Counter(row.method.id for row in table.rows)
    for row in table.rows:
        row.name, row.full_name, row.key = names[row.method.id], full[row.method.id], row.method.id
        if same[row.method.id] > 1:
            row.name += f" N={row.candidates}"
            row.full_name += f" N={row.candidates}"
            row.key += f"-n{row.candidates}"
        if row.candidates < table.k and not row.deterministic:
            row.note(f"{row.candidates} of {table.k} candidates", serious=True)


def _tell_apart(tables: list[Table]) -> None:
    """Name the settings that keep tables of one task and score apart."""
    siblings: dict[tuple[str, str, str], list[Table]] = defaultdict(list)
    for table in tables:
        siblings[(table.task, table.score, table.filter)].append(table)
    for group in siblings.values():
        for name in group[0].settings:
            if len({table.settings[name] for table in group}) > 1:
                for table in group:
                    table.apart.append(f"{name}: {_clip(table.settings[name])}")


def _clip(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "…"
