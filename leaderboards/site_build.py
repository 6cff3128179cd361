"""The site: one page that opens from disk, and its data in parts that are loaded as scripts.

The policy of the page allows only scripts and styles that carry the build's nonce. The nonce is a
hash over everything shown, so no text of a model can have known it, and equal boards make equal
files. The page itself builds elements, never markup, from strings.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import shutil
from collections.abc import Iterator
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sprint_eval.files import write_atomic
from sprint_eval.leaderboards import scores as families
from sprint_eval.leaderboards.answers import quiet, write_answers
from sprint_eval.leaderboards.board import Board, iso, rounded
from sprint_eval.leaderboards.columns import columns_of
from sprint_eval.leaderboards.cost import COSTS, costs_of
from sprint_eval.leaderboards.pairs import Pairs
from sprint_eval.leaderboards.standing import Family, Standing
from sprint_eval.leaderboards.words import logged, summary, verdict

STYLES = ("base.css", "views.css")
SCRIPTS = (
    "dom.js",
    "state.js",
    "controls.js",
    "chart.js",
    "latex_symbols.js",
    "latex.js",
    "prose.js",
    "view_ranking.js",
    "view_curves.js",
    "view_cost.js",
    "view_pairs.js",
    "view_questions.js",
    "view_question.js",
    "view_runs.js",
    "view_overview.js",
    "app.js",
)


def write_site(out: Path, board: Board, title: str) -> None:
    """Write ``index.html`` and ``data/`` into ``out``; parts of an earlier build are removed."""
    data = out / "data"
    with replaced(data) as fresh:
        parts = {standing.table.id: _write_parts(fresh, standing) for standing in board.standings}
    record = board_record(board) | {
        "tables": [table_record(standing, parts[standing.table.id]) for standing in board.standings]
    }
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(data.iterdir())]
    write_atomic(out / "index.html", _page(record, board, title, " ".join(digests)))


@contextlib.contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """A fresh folder to write into, which takes the place of ``folder`` once all went well."""
    fresh = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        yield fresh
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def script_json(value: Any) -> str:
    """A value as JSON that stands inside a script element."""
    return quiet(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")))


def write_part(folder: Path, name: str, value: Any) -> None:
    """One part: a script that hands its value to the page."""
    (folder / f"{name}.js").write_text(f'SE.part("{name}",{script_json(value)});\n', encoding="utf-8")


def _page(record: dict[str, Any], board: Board, title: str, parts: str) -> str:
    text = script_json(record)
    style = "".join(_template(name) for name in STYLES)
    script = "".join(_template(name) for name in SCRIPTS)
    nonce = hashlib.sha256("\0".join((title, text, style, script, parts)).encode("utf-8")).hexdigest()[:32]
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types parts"
    )
    methods = len({row.key for standing in board.standings for row in standing.rows})
    tasks = len({standing.table.task for standing in board.standings})
    subtitle = f"{_some(methods, 'method')} on {_some(tasks, 'task')}"
    if board.newest:
        subtitle += f", newest run {board.newest[:10]}"
    values = {
        "policy": escape(policy),
        "title": escape(title),
        "subtitle": escape(subtitle),
        "nonce": nonce,
        "style": style,
        "fallback": _fallback(board),
        "footer": escape(summary(board)),
        "board": text,
        "script": script,
    }
    page = _template("page.html")
    pieces = page.split("{{")
    filled = [pieces[0]]
    for piece in pieces[1:]:
        name, _, rest = piece.partition("}}")
        filled.append(values[name] + rest)
    return "".join(filled)


def _some(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _template(name: str) -> str:
    return (resources.files("sprint_eval.leaderboards") / "site" / name).read_text(encoding="utf-8")


def _fallback(board: Board) -> str:
    """The tables for a reader without scripts."""
    parts = []
    for standing in board.standings:
        columns = columns_of(standing)
        head = "".join(f"<th>{escape(column.title)}</th>" for column in columns)
        lines = (
            "<tr>" + "".join(f"<td>{escape(column.cell(index))}</td>" for column in columns) + "</tr>"
            for index in range(min(200, len(standing.rows)))
        )
        parts.append(
            f"<h2>{escape(standing.table.title)}</h2><p>{escape(verdict(standing))}</p>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
        )
    return "".join(parts)


def board_record(board: Board) -> dict[str, Any]:
    """What a page or a program must know of the whole board, tables apart."""
    return {
        "version": 1,
        "newest": board.newest,
        "summary": summary(board),
        "problems": [[str(problem.path), problem.reason] for problem in board.reading.problems[:500]],
        "costs": [
            {"key": cost.key, "title": cost.title, "unit": cost.unit, "about": cost.about} for cost in COSTS
        ],
    }


def table_record(standing: Standing, parts: dict[str, Any]) -> dict[str, Any]:
    """One table: settings, rows, figures, and the names of its parts."""
    table = standing.table
    return {
        "id": table.id,
        "title": table.title,
        "task": table.task,
        "score": table.score,
        "k": table.k,
        "questions": table.questions,
        "lower": table.lower_is_better,
        "headline": standing.headline,
        "compared": bool(standing.pairs),
        "logged": logged(standing),
        "verdict": verdict(standing),
        "settings": table.settings,
        "reference": standing.reference,
        "families": {
            name: {"name": _family_name(standing, name), **_figures(family)}
            for name, family in standing.families.items()
        },
        "rows": [_row(standing, index) for index in range(len(standing.rows))],
        "parts": parts,
    }


def _family_name(standing: Standing, name: str) -> str:
    return standing.table.score if name == families.VALUE else families.NAMES[name]


def _figures(family: Family) -> dict[str, Any]:
    return {name: numbers(getattr(family, name), 5) for name in ("mean", "low", "high")}


def numbers(array: npt.NDArray[Any], digits: int) -> Any:
    """Nested lists, rounded; what is not finite becomes null."""
    if array.ndim == 1:
        return [round(value, digits) if math.isfinite(value) else None for value in array.tolist()]
    return [numbers(part, digits) for part in array]


def _row(standing: Standing, index: int) -> dict[str, Any]:
    row = standing.rows[index]
    low, high = standing.rank_low[index], standing.rank_high[index]
    return {
        "id": row.key,
        "name": row.name,
        "full": row.full_name,
        "kind": row.method.kind,
        "model": row.method.model,
        "n": row.candidates,
        "deterministic": row.deterministic,
        "rank": None if low is None else [low, high],
        "letters": standing.letters[index],
        "notes": row.notes,
        "serious": row.serious,
        "counts": row.counts,
        "costs": {key: rounded(value, 3) for key, value in costs_of(row).items()},
        "details": [list(pair) for pair in row.method.details],
        "date": iso(row.run.header.date),
        "older": [iso(run.header.date) or run.header.stamp for run in row.repeats],
    }


def _write_parts(folder: Path, standing: Standing) -> dict[str, Any]:
    """All parts of one table; returns what the page must know to find them."""
    table = standing.table
    if table.keys is None:
        return {"questions": [], "answers": []}
    for (name, k), pairs in standing.pairs.items():
        write_part(folder, f"{table.id}-pairs-{name}-{k}", _pairs(pairs))
    write_part(folder, f"{table.id}-outcomes", _outcomes(standing))
    return write_answers(folder, standing)


def _pairs(pairs: Pairs) -> dict[str, Any]:
    upper = np.triu_indices(len(pairs.difference), 1)
    record: dict[str, Any] = {
        "d": numbers(pairs.difference[upper], 5),
        "low": numbers(pairs.low[upper], 5),
        "high": numbers(pairs.high[upper], 5),
        "p": _significant(pairs.p[upper]),
        "holm": _significant(pairs.holm[upper]),
        "detectable": numbers(pairs.detectable[upper], 4),
    }
    if pairs.only is not None:
        record |= {"only": pairs.only[upper].tolist(), "other": pairs.only.T[upper].tolist()}
    return record


def _significant(array: npt.NDArray[np.float64]) -> list[float | None]:
    """Three significant digits: a p-value may be far below any fixed number of places."""
    return [float(f"{value:.3g}") if math.isfinite(value) else None for value in array.tolist()]


def _outcomes(standing: Standing) -> dict[str, Any]:
    """For each row and question: the first candidate that is right (0: none), and how many are.

    Scores of one value a question are right or wrong only where all of the table's are 0 or 1.
    """
    values = standing.scores.get(families.VALUE)  # [rows, questions, 1]
    if values is not None:
        best = 0.0 if standing.table.lower_is_better else 1.0
        told = bool(np.isin(values, (0.0, 1.0)).all())
        return {"first": (values[:, :, 0] == best).astype(int).tolist() if told else None, "right": None}
    first, right = [], []
    for row in standing.rows:
        sampled = row.run.sampled
        if sampled is None or row.order is None:
            continue
        correct = sampled.correct[row.order]
        reached = correct.any(axis=1)
        first.append(np.where(reached, correct.argmax(axis=1) + 1, 0).tolist())
        right.append(correct.sum(axis=1).tolist())
    return {"first": first, "right": right}
