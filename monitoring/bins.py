"""The cells into which the values of a column are counted, learned once from the reference rows."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from monitoring.first_bits import begin_steps
from monitoring.values import (
    LARGEST,
    Columns,
    Floats,
    LevelCounts,
    array_of,
    as_numbers,
    count_levels,
    is_number_column,
)

Kind = Literal["number", "category"]

MOST_LEVELS = 64  # further levels share the cell "other"; below 1 % each they carry no testable shift
MOST_DISTINCT = 32  # a number with no more distinct values than this gets a cell for each
ROOM = 0.1  # of a cell, by which an edge may be moved to where numbers are counted quickly


@dataclass(frozen=True)
class ColumnBins:
    """The cells into which one column is counted.

    A number falls into cell k when `edges[k-1] <= x < edges[k]`; the first and the last cell are open. A
    category has a cell for each level and one for every other. A cell for missing values always comes last.
    `centre`: the point about which sums are taken, so that a variance survives a large mean. `points`: of a number
    with few distinct values, these, one in each cell but the outer two.

    >>> ColumnBins("delay", "number", edges=(0.0, 15.0)).labels
    ('below 0', '0 to 15', '15 and above', 'missing')
    """

    name: str
    kind: Kind
    edges: tuple[float, ...] = ()
    levels: tuple[str, ...] = ()
    centre: float = 0.0
    points: tuple[float, ...] = ()

    @property
    def cells(self) -> int:
        """Number of cells, without the one for missing values."""
        return (len(self.edges) if self.kind == "number" else len(self.levels)) + 1

    @property
    def labels(self) -> tuple[str, ...]:
        """What each cell holds, in words; the last is the cell for missing values."""
        if self.kind == "category":
            return (*self.levels, "other", "missing")
        if not self.edges:
            return ("any number", "missing")
        inner = [f"{low:.6g} to {high:.6g}" for low, high in pairwise(self.edges)]
        return (f"below {self.edges[0]:.6g}", *inner, f"{self.edges[-1]:.6g} and above", "missing")


def reference_bins(columns: Columns, *, bins: int = 20) -> tuple[ColumnBins, ...]:
    """Learn the cells of every column from the reference rows.

    A number gets `bins` cells with about the same number of rows, a cell of its own for a value that fills
    more than one of them, and an empty one on each side for what the reference never had; with at most 32
    distinct values a cell for each. Anything that holds text is a category: its 64 most frequent levels.

    >>> [column.edges for column in reference_bins({"x": [1.0, 2.0, 2.0, 4.0]})]
    [(0.5, 1.5, 3.0, 5.0)]
    """
    if bins < 2:
        raise ValueError(f"bins = {bins}: a shift needs at least 2 cells to be seen; 20 is usual")
    return tuple(_column_bins(str(name), array_of(columns, name), bins) for name in columns)


def _column_bins(name: str, values: NDArray[Any] | LevelCounts, bins: int) -> ColumnBins:
    if not isinstance(values, LevelCounts) and values.dtype.kind in "mM":
        raise ValueError(
            f"column {name!r} holds times; leave it out, or turn it into numbers such as the hour"
        )
    if not isinstance(values, LevelCounts) and is_number_column(values):
        numbers = as_numbers(values)
        ordered = numbers[np.abs(numbers) < LARGEST]
        ordered.sort()
        if not len(ordered):
            return ColumnBins(name, "number")
        distinct = _few_distinct(ordered)
        edges = _edges(ordered, bins) if distinct is None else _edges_between(distinct)
        points = () if distinct is None else tuple(distinct.tolist())
        return ColumnBins(name, "number", edges=edges, centre=_middle(ordered), points=points)
    counts, _ = count_levels(values)
    most_first = sorted(counts, key=lambda level: (-counts[level], level))
    return ColumnBins(name, "category", levels=tuple(most_first[:MOST_LEVELS]))


def _middle(ordered: Floats) -> float:
    """The median of sorted numbers."""
    return float((ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2)


def _few_distinct(ordered: Floats) -> Floats | None:
    """The distinct ones of sorted numbers; None where they are too many for a cell each."""
    changes = ordered[1:] != ordered[:-1]
    if np.count_nonzero(changes) >= MOST_DISTINCT:
        return None
    return ordered[np.flatnonzero(np.concatenate([[True], changes]))]


def _edges(ordered: Floats, bins: int) -> tuple[float, ...]:
    """Inner edges of the cells, strictly increasing: quantiles of sorted numbers, the higher of two neighbours."""
    inner = ordered[np.ceil((len(ordered) - 1) * (np.arange(1, bins) / bins)).astype(np.intp)]
    repeated = inner[1:][np.diff(inner) == 0]  # a value that fills a whole cell: it gets a cell of its own
    beyond = [ordered[0], np.nextafter(ordered[-1], np.inf)]  # two empty cells for what was never seen
    edges = np.unique([*inner, *np.nextafter(repeated, np.inf), *beyond])
    gaps = np.diff(edges, prepend=-np.inf, append=np.inf)
    return tuple(begin_steps(edges, ROOM * np.minimum(gaps[:-1], gaps[1:])).tolist())


def _edges_between(distinct: Floats) -> tuple[float, ...]:
    """Edges half way between distinct values, and as far outside of the first and the last."""
    if len(distinct) == 1:
        value = float(distinct[0])
        # a constant that went through float32 is still the same constant
        reach = max(abs(value) * 1e-6, 1e-12)
        return (value - reach, value + reach)
    middle = distinct[:-1] + np.diff(distinct) / 2
    first, last = distinct[0] - (middle[0] - distinct[0]), distinct[-1] + (distinct[-1] - middle[-1])
    return tuple(np.unique([first, *middle, last]).tolist())
