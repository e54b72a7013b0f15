"""A table in plain text, for the terminal and for a log."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.figures import MISSING, count, decimals_for, number

Row = Mapping[str, object]
GAP = "  "


@dataclass(frozen=True)
class Column:
    """What to show of a row, and under which heading.

    decimals: of the fractions in this column; None takes as many as show three digits of the middle one.
    """

    key: str
    heading: str
    decimals: int | None = None


def render(rows: Sequence[Row], columns: Sequence[Column], *, totals: Sequence[Row] = ()) -> list[str]:
    """The lines of an aligned table: a heading, the rows, and below a rule the totals.

    Numbers stand at the right of their column, words at its left; a dash stands for None, nan and a missing
    key. Characters that would steer a terminal are shown as spaces.

    >>> months = [{"month": "March", "rows": 28834, "loss": 0.49}, {"month": "April", "rows": 9}]
    >>> columns = [Column("month", "month"), Column("rows", "rows"), Column("loss", "loss", 3)]
    >>> print(*render(months, columns), sep="\\n")
    month    rows   loss
    ────────────────────
    March  28,834  0.490
    April       9      –
    """
    everything = [*rows, *totals]
    blocks = [_column(column, everything) for column in columns]
    head, *body = (GAP.join(cells).rstrip() for cells in zip(*blocks, strict=True))
    rule = "─" * (sum(_width(block[0]) for block in blocks) + len(GAP) * (len(blocks) - 1))
    lines = [head, rule, *body[: len(rows)]]
    return [*lines, rule, *body[len(rows) :]] if totals else lines


def _column(column: Column, rows: Sequence[Row]) -> list[str]:
    """The heading and the cells of one column, all of one width."""
    values = [row.get(column.key) for row in rows]
    decimals = column.decimals
    if decimals is None:
        decimals = decimals_for(value for value in values if isinstance(value, float))
    cells = [_clean(column.heading), *(_cell(value, decimals) for value in values)]
    width = max(map(_width, cells))
    present = [value for value in values if value is not None]
    right = bool(present) and all(_is_number(value) for value in present)
    return [_padded(cell, width, right=right) for cell in cells]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(value: object, decimals: int) -> str:
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return count(value)
    return number(value, decimals) if isinstance(value, float) else _clean(str(value))


def _clean(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _width(text: str) -> int:
    """Places on a terminal: wide letters take two, combining marks none."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def _padded(text: str, width: int, *, right: bool) -> str:
    space = " " * (width - _width(text))
    return space + text if right else text + space
