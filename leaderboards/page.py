"""A first page: the tables as static HTML."""

from __future__ import annotations

from html import escape

from sprint_eval.leaderboards.board import Board
from sprint_eval.leaderboards.columns import columns_of
from sprint_eval.leaderboards.words import summary, verdict

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; display: block; overflow-x: auto }
th, td { padding: .35rem .75rem; border-bottom: 1px solid #ccc; text-align: left; white-space: nowrap }
.n { text-align: right }
"""


def page(board: Board) -> str:
    """The whole page."""
    parts = []
    for standing in board.standings:
        columns = columns_of(standing)
        head = "".join(f"<th{' class=n' * c.numeric}>{escape(c.title)}</th>" for c in columns)
        body = "".join(
            "<tr>"
            + "".join(f"<td{' class=n' * c.numeric}>{escape(c.cell(i))}</td>" for c in columns)
            + "</tr>"
            for i in range(len(standing.rows))
        )
        parts.append(
            f"<h2>{escape(standing.table.title)}</h2><p>{escape(verdict(standing))}</p>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Leaderboard</title>'
        '<meta name="viewport" content="width=device-width"><style>'
        f"{_STYLE}</style></head><body><h1>Leaderboard</h1>{''.join(parts)}<p>{escape(summary(board))}</p></body></html>\n"
    )
