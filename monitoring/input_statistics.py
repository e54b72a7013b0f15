"""A window as numbers that can be compared: for each column a mean, a spread, shares; for each pair a correlation.

Every one is on a scale on which n independent rows scatter it with a variance of 1 / n, and those of columns are 0 in
the reference. All come from mergeable counts, so they do not depend on the order of rows or on how they were cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from monitoring.joint import PairBins, PairSums, cell_scores
from monitoring.profile import ColumnProfile, Profile

Floats = NDArray[np.float64]
Kind = Literal["mean", "spread", "missing", "level", "pair"]

MOST_SHARES = 8  # levels with a share of their own; the rarer ones are counted together
RARE = 0.01  # a level below this share cannot be tested in windows of some hundred rows
# of the square of the scores: a column that hardly varies would be called shifted by one row
LEAST_SPREAD = 0.05
MARGINS, PAIRS = 0.75, 0.25  # of the evidence: many pairs say less each than one column does


@dataclass(frozen=True)
class Statistic:
    """One number of a window. columns: one, of a pair two. level: which share, and of a pair what, in words."""

    kind: Kind
    columns: tuple[str, ...]
    level: str = ""

    def __str__(self) -> str:
        words = {
            "mean": "level",
            "spread": "spread",
            "missing": "share of missing values",
            "level": f"share of {self.level!r}",
            "pair": f"correlation of {self.level}",
        }
        return words[self.kind]


class Measure:
    """What is measured of a window, learned from the reference.

    statistics: in their order. weights: of each in the evidence, adding up to 1: the same for every column, whatever
    the number of its levels.

    >>> from monitoring.bins import reference_bins
    >>> from monitoring.profile import profile
    >>> rows = {"x": np.arange(100.0)}
    >>> reference = profile(rows, reference_bins(rows))
    >>> measure = Measure(reference, None)
    >>> [statistic.kind for statistic in measure.statistics]
    ['mean', 'spread', 'missing']
    >>> values, rows_behind = measure.of(reference, None)
    >>> np.round(values, 3) + 0.0, rows_behind
    (array([0., 0., 0.]), array([100., 100., 100.]))
    """

    def __init__(self, reference: Profile, pairs: PairBins | None) -> None:
        self.bins = reference.bins
        self.pairs = pairs if pairs is not None and pairs.pairs else None
        self._columns = [_learned(column) for column in reference.columns]
        margins = [statistic for column in self._columns for statistic in column.statistics]
        joint = [] if self.pairs is None else _pair_statistics(self.pairs)
        self.statistics: tuple[Statistic, ...] = (*margins, *joint)
        self.weights = _weights(self._columns, len(joint))
        self._cells = _Cells(self._columns)

    def of(self, profile: Profile, sums: PairSums | None) -> tuple[Floats, Floats]:
        """The numbers of a window and how many rows are behind each, both of shape (statistics,).

        nan where there is nothing to measure: no row with a value, no sums of pairs, a constant among a pair.
        """
        if profile.bins is not self.bins and profile.bins != self.bins:
            raise ValueError("the window was counted into other cells; count it into those of its reference")
        values, rows = self._cells.of(profile)
        if self.pairs is None:
            return values, rows
        joint, behind = self._of_pairs(self.pairs, sums)
        return np.concatenate([values, joint]), np.concatenate([rows, behind])

    def _of_pairs(self, pairs: PairBins, sums: PairSums | None) -> tuple[Floats, Floats]:
        count = len(pairs.pairs)
        if sums is None:
            return np.full(count, np.nan), np.zeros(count)
        if sums.bins is not pairs and sums.bins != pairs:
            raise ValueError("the window's pairs are others; count it by the pairs of its reference")
        # Fisher's transformation: the variance no longer depends on the correlation
        return np.arctanh(np.clip(sums.correlations, -0.999, 0.999)), np.full(count, float(sums.rows))


@dataclass(frozen=True)
class _Column:
    """One column of the reference.

    scores: of its cells, 0 in a category; deviation: of their squares, 0 where the mean says it all. levels:
    cells that are counted together, with their shares of the valid rows in the reference.
    """

    statistics: tuple[Statistic, ...]
    cells: int
    scores: Floats
    deviation: float
    levels: tuple[NDArray[np.intp], ...]
    level_shares: tuple[float, ...]
    missing: float


def _learned(reference: ColumnProfile) -> _Column:
    name, cells = reference.name, reference.bins.cells
    missing = (reference.missing + reference.invalid) / max(reference.rows, 1)
    absent = Statistic("missing", (name,))
    if reference.bins.kind == "category":
        levels, shares, named = _levels(reference)
        return _Column((*named, absent), cells, np.zeros(cells), 0.0, levels, shares, missing)
    scores, deviation = cell_scores(reference), 0.0
    statistics = [Statistic("mean", (name,))]
    if np.count_nonzero(reference.counts[:-1]) > 2:  # of two values the mean says it all
        deviation = _deviation_of_squares(reference, scores)
        statistics.append(Statistic("spread", (name,)))
    return _Column((*statistics, absent), cells, scores, deviation, (), (), missing)


def _levels(
    reference: ColumnProfile,
) -> tuple[tuple[NDArray[np.intp], ...], tuple[float, ...], list[Statistic]]:
    """The frequent levels one by one and the others together: their cells, their shares, and what they are called."""
    counts = np.array(reference.counts[:-1], dtype=np.float64)
    shares = counts / max(counts.sum(), 1.0)
    frequent = [k for k in np.argsort(-shares[:-1], kind="stable")[:MOST_SHARES] if shares[k] >= RARE]
    rest = np.setdiff1d(np.arange(len(counts)), frequent)
    if len(frequent) == 2 and not shares[rest].any():  # the second share is the first, turned round
        frequent = frequent[:1]
    cells = (*(np.array([k], dtype=np.intp) for k in frequent), rest)
    named = [reference.bins.labels[k] for k in frequent] + ["other"]
    statistics = [Statistic("level", (reference.name,), level) for level in named]
    return cells, tuple(float(shares[group].sum()) for group in cells), statistics


def _deviation_of_squares(reference: ColumnProfile, scores: Floats) -> float:
    counts = np.array(reference.counts[:-1], dtype=np.float64)
    mean = counts @ scores**2 / counts.sum()
    return float(np.sqrt(max(counts @ (scores**2 - mean) ** 2 / counts.sum(), LEAST_SPREAD)))


class _Cells:
    """All cells of all columns in a row, so that a window is measured by a few operations on one array."""

    def __init__(self, columns: Sequence[_Column]) -> None:
        sizes = np.array([column.cells + 2 for column in columns], dtype=np.intp)
        begins = np.cumsum(sizes) - sizes
        self._begins = begins
        self._scores = np.concatenate(
            [np.zeros(0), *(np.append(column.scores, [0.0, 0.0]) for column in columns)]
        )
        self._present = np.concatenate(
            [np.zeros(0), *(np.append(np.ones(column.cells), [0.0, 0.0]) for column in columns)]
        )
        groups = [
            begin + cells for column, begin in zip(columns, begins, strict=True) for cells in column.levels
        ]
        self._grouped = np.concatenate([np.zeros(0, np.intp), *groups])
        ends = np.cumsum([len(group) for group in groups])
        self._groups = np.asarray(ends - [len(group) for group in groups], dtype=np.intp)
        self._shares = np.array([share for column in columns for share in column.level_shares])
        self._missing = np.array([column.missing for column in columns])
        self._deviations = np.array([column.deviation for column in columns])
        kinds = [(k, one.kind) for k, column in enumerate(columns) for one in column.statistics]
        self._column = np.array([k for k, _ in kinds], dtype=np.intp)
        self._places = {
            kind: np.array([place for place, (_, its) in enumerate(kinds) if its == kind], dtype=np.intp)
            for kind in ("mean", "spread", "missing", "level")
        }

    def of(self, profile: Profile) -> tuple[Floats, Floats]:
        if not profile.columns:
            return np.zeros(0), np.zeros(0)
        counts = np.array(
            [count for column in profile.columns for count in (*column.counts, column.invalid)],
            dtype=np.float64,
        )
        rows, valid = (np.add.reduceat(part, self._begins) for part in (counts, counts * self._present))
        behind = valid[self._column]
        behind[self._places["missing"]] = rows
        values = np.full(len(self._column), np.nan)
        for kind, found in (
            ("mean", np.add.reduceat(counts * self._scores, self._begins) / np.maximum(valid, 1.0)),
            ("spread", self._spreads(counts, valid)),
            ("missing", _share(rows - valid, rows, self._missing)),
        ):
            values[self._places[kind]] = found[self._column[self._places[kind]]]
        if len(self._groups):
            of_levels = np.add.reduceat(counts[self._grouped], self._groups)
            values[self._places["level"]] = _share(of_levels, behind[self._places["level"]], self._shares)
        return np.where(behind > 0, values, np.nan), behind

    def _spreads(self, counts: Floats, valid: Floats) -> Floats:
        """Logarithm of the mean square, with half a row of the reference added, for it may be 0."""
        squares = np.add.reduceat(counts * self._scores**2, self._begins)
        scale = np.where(self._deviations > 0, self._deviations, 1.0)
        return np.asarray(np.log((squares + 0.5) / (valid + 0.5)) / scale, dtype=np.float64)


def _share(count: Floats, rows: Floats, expected: Floats) -> Floats:
    """Shares less the expected ones, both turned by Anscombe's arc sine: variance 1 / rows at every share."""

    def turned(number: Floats) -> Floats:
        return np.asarray(2 * np.arcsin(np.sqrt((number + 0.375) / (rows + 0.75))), dtype=np.float64)

    return turned(count) - turned(expected * rows)


def _pair_statistics(pairs: PairBins) -> list[Statistic]:
    both = [(pairs.variables[first], pairs.variables[second]) for first, second in pairs.pairs]
    return [
        Statistic("pair", (one.bins.name, other.bins.name), f"{one.name} and {other.name}")
        for one, other in both
    ]


def _weights(columns: Sequence[_Column], pairs: int) -> Floats:
    margins = 1.0 if not pairs else MARGINS
    each = [margins / len(columns) / len(column.statistics) for column in columns for _ in column.statistics]
    return np.array([*each, *[PAIRS / max(pairs, 1)] * pairs])
