"""What two columns do together, as sums over rows: small, mergeable, and free of rows.

Each cell of a column has a score, its normal score among the reference rows; the sums of products of the scores of two
columns tell their correlation in any set of rows. Scores are whole numbers of hundredths, so that a sum is the same in
whatever order, and in however many parts, it was taken.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from monitoring.bins import ColumnBins
from monitoring.profile import ColumnProfile, Profile, cell_numbers
from monitoring.values import Columns

Floats = NDArray[np.float64]
What = Literal["value", "missing"]

ALL_PAIRS_OF = 20  # so many variables give 190 pairs, as many as one budget still finds among each other
MOST_PAIRS = 190  # of more variables: those that hang together most closely, for these can come apart
LEARNED = 5_000  # rows of the reference that show which these are; a correlation of .05 is seen
PER_UNIT = 100  # whole numbers in a standard deviation
FURTHEST = 3.5  # standard deviations; a value beyond all that was seen counts as so far out
OFTEN_MISSING = 0.01  # of the rows, on both sides: a missing value then is a variable of its own


@dataclass(frozen=True)
class Variable:
    """A column as a number. scores: of each of its cells, missing and invalid last, in hundredths."""

    bins: ColumnBins
    what: What
    scores: tuple[int, ...]

    @property
    def name(self) -> str:
        return self.bins.name if self.what == "value" else f"{self.bins.name} missing"


@dataclass(frozen=True)
class PairBins:
    """Which pairs are counted. pairs: places of two variables each."""

    variables: tuple[Variable, ...]
    pairs: tuple[tuple[int, int], ...]

    def to_json(self) -> str:
        return json.dumps(asdict(self), allow_nan=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str, bins: Sequence[ColumnBins]) -> PairBins:
        """bins: of the profile that goes with it."""
        plain, known = json.loads(text), {column.name: column for column in bins}
        variables = tuple(
            Variable(known[one["bins"]["name"]], one["what"], tuple(one["scores"]))
            for one in plain["variables"]
        )
        return cls(variables, tuple((first, second) for first, second in plain["pairs"]))

    def without(self, names: Sequence[str]) -> PairBins:
        """The pairs in which none of these columns takes part."""
        kept = [place for place, one in enumerate(self.variables) if one.bins.name not in names]
        new = {place: number for number, place in enumerate(kept)}
        pairs = tuple((new[a], new[b]) for a, b in self.pairs if a in new and b in new)
        return PairBins(tuple(self.variables[place] for place in kept), pairs)


@dataclass(frozen=True)
class PairSums:
    """Sums over rows of scores, squares and products. totals, squares: one a variable; products: one a pair."""

    bins: PairBins
    rows: int
    totals: tuple[int, ...]
    squares: tuple[int, ...]
    products: tuple[int, ...]

    @property
    def correlations(self) -> Floats:
        """Of each pair, -1 to 1; `nan` where a variable is constant."""
        if not self.rows:
            return np.full(len(self.products), np.nan)
        first, second = (np.array([pair[side] for pair in self.bins.pairs], dtype=np.intp) for side in (0, 1))
        mean = np.array(self.totals, dtype=np.float64) / self.rows
        variance = np.array(self.squares, dtype=np.float64) / self.rows - mean**2
        joint = np.array(self.products, dtype=np.float64) / self.rows - mean[first] * mean[second]
        size = np.sqrt(np.maximum(variance[first] * variance[second], 0.0))
        return np.asarray(
            np.clip(np.divide(joint, size, out=np.full(len(joint), np.nan), where=size > 0), -1, 1),
            np.float64,
        )


def cell_scores(column: ColumnProfile) -> Floats:
    """Normal score of each cell among the valid rows, shape (cells,), with mean 0 and variance 1 over these rows.

    The score of a cell is the normal quantile of its middle rank (van der Waerden). Levels are ranked in their order:
    the most frequent first. All are 0 where the column is constant or has no valid row, but in cells never seen.
    """
    from scipy.special import ndtri

    counts = np.array(column.counts[:-1], dtype=np.float64)
    rows = max(float(counts.sum()), 1.0)
    rank = (np.cumsum(counts) - counts / 2) / rows
    scores = np.clip(ndtri(np.clip(rank, 0.5 / rows, 1 - 0.5 / rows)), -FURTHEST, FURTHEST)
    mean = counts @ scores / rows
    deviation = np.sqrt(counts @ (scores - mean) ** 2 / rows)
    if deviation > 0:
        return np.asarray(np.clip((scores - mean) / deviation, -FURTHEST, FURTHEST), dtype=np.float64)
    full = np.flatnonzero(counts > 0)
    return np.asarray(
        np.sign(np.arange(len(counts)) - (full[0] if len(full) else 0)) * FURTHEST, dtype=np.float64
    )


def pair_bins(columns: Columns, reference: Profile) -> PairBins:
    """Which pairs of columns are to be counted: all of up to 20 variables, of more the most correlated in these rows.

    columns: rows of the reference, at best in no order; LEARNED of them, spread over all, are looked at, and only where
    there are more variables than that. A missing value is a variable where it is neither rare nor the rule; a column
    that is constant takes no part. ValueError for a column that comes as counts of levels.
    """
    variables = [one for column in reference.columns for one in _variables(column)]

    def apart(first: int, second: int) -> bool:
        return variables[first].bins.name != variables[second].bins.name

    if len(variables) <= ALL_PAIRS_OF:
        return _of_pairs(variables, [pair for pair in combinations(range(len(variables)), 2) if apart(*pair)])
    scores = _scores(_thinned(columns), variables)
    deviation = scores.std(axis=0)
    scaled = (scores - scores.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    size = np.abs(scaled.T @ scaled)
    every = [pair for pair in combinations(range(len(variables)), 2) if apart(*pair)]
    chosen = np.argsort([-size[pair] for pair in every], kind="stable")[:MOST_PAIRS]
    return _of_pairs(variables, [every[place] for place in sorted(chosen.tolist())])


def pair_sums(columns: Columns, bins: PairBins) -> PairSums:
    """Counts the rows of a window or of a part of it; a column that is not there is missing in every row.

    >>> from monitoring.bins import reference_bins
    >>> from monitoring.profile import profile
    >>> rows = {"x": [1.0, 2.0, 3.0, 4.0], "y": [1.0, 2.0, 3.0, 4.0]}
    >>> reference = profile(rows, reference_bins(rows))
    >>> pair_sums(rows, pair_bins(rows, reference)).correlations
    array([1.])
    """
    scores = _scores(columns, bins.variables)
    return PairSums(
        bins,
        len(scores),
        tuple(int(total) for total in scores.sum(axis=0)),
        tuple(int(square) for square in np.square(scores).sum(axis=0)),
        tuple(int(product) for product in _products(scores, bins.pairs)),
    )


def _products(scores: Floats, pairs: Sequence[tuple[int, int]]) -> Floats:
    if scores.shape[1] ** 2 <= 4 * len(pairs):  # most pairs are asked for: all at once is quicker
        places = np.array(pairs, dtype=np.intp).reshape(-1, 2)
        return np.asarray((scores.T @ scores)[places[:, 0], places[:, 1]])
    return np.array([scores[:, first] @ scores[:, second] for first, second in pairs], dtype=np.float64)


def merge_pairs(parts: Iterable[PairSums]) -> PairSums:
    """The sums over the rows of all parts; at least one is needed, all counted by the same bins."""
    found = list(parts)
    if not found:
        raise ValueError("no sums of pairs to merge; give at least one")
    bins = found[0].bins
    if any(part.bins != bins for part in found):
        raise ValueError(
            "sums of other pairs cannot be merged; count all parts by the pairs of one reference"
        )
    return PairSums(
        bins,
        sum(part.rows for part in found),
        *(
            tuple(sum(numbers) for numbers in zip(*(getattr(part, name) for part in found), strict=True))
            for name in ("totals", "squares", "products")
        ),
    )


def _variables(column: ColumnProfile) -> list[Variable]:
    scores = np.round(cell_scores(column) * PER_UNIT).astype(int)
    found = []
    if np.count_nonzero(column.counts[:-1]) > 1:
        found.append(Variable(column.bins, "value", (*scores.tolist(), 0, 0)))
    missing = (column.missing + column.invalid) / max(column.rows, 1)
    if OFTEN_MISSING <= missing <= 1 - OFTEN_MISSING:
        size = PER_UNIT / np.sqrt(missing * (1 - missing))
        present, absent = round(-missing * size), round((1 - missing) * size)
        found.append(Variable(column.bins, "missing", (*[present] * column.bins.cells, absent, absent)))
    return found


def _of_pairs(variables: Sequence[Variable], pairs: Sequence[tuple[int, int]]) -> PairBins:
    """Without the variables that are in no pair."""
    used = sorted({place for pair in pairs for place in pair})
    new = {place: number for number, place in enumerate(used)}
    return PairBins(tuple(variables[place] for place in used), tuple((new[a], new[b]) for a, b in pairs))


def _scores(columns: Columns, variables: Sequence[Variable]) -> Floats:
    """Scores of every row, shape (rows, variables): whole numbers, whose products float64 adds up exactly to 2^53."""
    rows = _row_count(columns)
    found = np.empty((rows, len(variables)), order="F")
    cells: dict[str, NDArray[np.intp]] = {}
    for place, variable in enumerate(variables):
        name = variable.bins.name
        if name not in cells:
            cells[name] = cell_numbers(columns, variable.bins, rows)
        found[:, place] = np.array(variable.scores, dtype=np.float64)[cells[name]]
    return found


def _row_count(columns: Columns) -> int:
    return next((len(columns[name]) for name in columns), 0)


def _thinned(columns: Columns) -> dict[str, Any]:
    """At most LEARNED rows, every so many of them."""
    rows = _row_count(columns)
    step = max(1, -(-rows // LEARNED))
    return {str(name): columns[name][::step] for name in columns}
