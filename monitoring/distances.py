"""How far two counted columns lie apart, in the measures of the field.

Counts in cells are all that is known of the rows. What needs no more (population stability, Jensen-Shannon,
chi-squared) is exact for these cells; Kolmogorov-Smirnov's and Wasserstein's distances of the rows themselves are given
with the least and the most that they can be. Of a number with few distinct values a cell is one of them, and what falls
into it counts as that value: then these two are exact, too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitoring.gamma import upper_gamma
from monitoring.profile import ColumnProfile
from monitoring.shift import jensen_shannon, population_stability

Floats = NDArray[np.float64]

EMPTY = 1e-4  # the share that an empty cell counts as in the population stability index, as Evidently has it


@dataclass(frozen=True)
class Bounds:
    """A distance of rows, from counts of them: `value` from the counts, and what it can be at least and at most.

    >>> str(Bounds(0.1, 0.1, 0.12))
    '0.1 (0.1 to 0.12)'
    """

    value: float
    least: float
    most: float

    def __str__(self) -> str:
        if self.least == self.most:
            return f"{self.value:.3g}"
        return f"{self.value:.3g} ({self.least:.3g} to {self.most:.3g})"


@dataclass(frozen=True)
class Distances:
    """One column of two sets of rows. Missing values are a cell of their own in all but the last two.

    psi: population stability index. jensen_shannon: natural logarithm, 0 to 0.83. chi_squared: Pearson's statistic of
    the two rows of counts, degrees: its degrees of freedom, p_value: of no difference, for rows that are independent.
    kolmogorov_smirnov: 0 to 1; wasserstein: the first, in standard deviations of the reference; both for numbers only.
    """

    psi: float
    jensen_shannon: float
    chi_squared: float
    degrees: int
    p_value: float
    kolmogorov_smirnov: Bounds | None
    wasserstein: Bounds | None


def distances(reference: ColumnProfile, current: ColumnProfile) -> Distances:
    """All measures of two columns that were counted into the same cells; nan where one of them has no rows.

    >>> from monitoring.bins import reference_bins
    >>> from monitoring.profile import profile
    >>> before, after = {"x": [0, 0, 1, 1]}, {"x": [0, 1, 1, 1]}
    >>> bins = reference_bins(before)
    >>> found = distances(profile(before, bins).columns[0], profile(after, bins).columns[0])
    >>> found.kolmogorov_smirnov
    Bounds(value=0.25, least=0.25, most=0.25)
    """
    if reference.bins != current.bins:
        raise ValueError(
            f"column {current.name!r} was counted into other cells; count both into one reference's"
        )
    before, after = reference.shares, current.shares
    chi_squared, degrees, p_value = _chi_squared(reference, current)
    numbers = reference.bins.kind == "number" and bool(reference.valid and current.valid)
    return Distances(
        psi=_psi(before, after),
        jensen_shannon=float(jensen_shannon(before, after)),
        chi_squared=chi_squared,
        degrees=degrees,
        p_value=p_value,
        kolmogorov_smirnov=_kolmogorov_smirnov(reference, current) if numbers else None,
        wasserstein=_wasserstein(reference, current) if numbers else None,
    )


def _psi(before: Floats, after: Floats) -> float:
    """Over the cells that any row fell into; an empty one of the two counts as EMPTY."""
    used = (before > 0) | (after > 0)
    if not used.any() or np.isnan(before).any() or np.isnan(after).any():
        return math.nan
    return population_stability(
        *(np.where(shares[used] > 0, shares[used], EMPTY) for shares in (before, after))
    )


def _chi_squared(reference: ColumnProfile, current: ColumnProfile) -> tuple[float, int, float]:
    """Pearson's statistic of the 2 x cells table, its degrees of freedom, and its p-value."""
    table = np.array([[*column.counts, column.invalid] for column in (reference, current)], dtype=np.float64)
    table = table[:, table.sum(0) > 0]
    if not table.sum(1).all():
        return math.nan, 0, math.nan
    if table.shape[1] < 2:
        return 0.0, 0, 1.0
    expected = np.outer(table.sum(1), table.sum(0)) / table.sum()
    statistic, degrees = float(((table - expected) ** 2 / expected).sum()), table.shape[1] - 1
    return statistic, degrees, float(upper_gamma(degrees / 2, statistic / 2))


def _cumulative(column: ColumnProfile) -> Floats:
    """Share of the numbers below each edge, with 0 before and 1 after: shape (cells + 1,)."""
    counts = np.array(column.counts[:-1], dtype=np.float64)
    return np.concatenate([[0.0], np.cumsum(counts) / counts.sum()])


def _kolmogorov_smirnov(reference: ColumnProfile, current: ColumnProfile) -> Bounds:
    """Inside of a cell both shares lie between those at its edges, and one of them may have risen before the other."""
    before, after = _cumulative(reference), _cumulative(current)
    least = float(np.abs(before - after).max())
    if reference.bins.points:
        return Bounds(least, least, least)
    inside = np.maximum(before[1:] - after[:-1], after[1:] - before[:-1])
    return Bounds(least, least, max(least, float(inside.max())))


def _wasserstein(reference: ColumnProfile, current: ColumnProfile) -> Bounds:
    """The area between the two cumulative shares; inside of a cell they may be anything that rises."""
    scale = reference.deviation if reference.deviation > 0 else 1.0
    before, after = _cumulative(reference), _cumulative(current)
    if reference.bins.points:
        value = float((np.diff(_places(reference, current)) * np.abs(before - after)[1:-1]).sum()) / scale
        return Bounds(value, value, value)
    width, gap = np.diff(_ends(reference, current)), before - after
    apart = np.maximum(before[:-1] - after[1:], after[:-1] - before[1:])
    furthest = np.maximum(before[1:] - after[:-1], after[1:] - before[:-1])
    least = max(float(width @ np.maximum(apart, 0.0)), abs(reference.mean - current.mean))
    most = max(float(width @ furthest), least)
    value = min(max(float(width @ _mean_size(gap[:-1], gap[1:])), least), most)
    return Bounds(value / scale, least / scale, most / scale)


def _places(reference: ColumnProfile, current: ColumnProfile) -> Floats:
    """Where the numbers of each cell are taken to be: at the cell's point, those beyond all points at the furthest."""
    ends, points = _ends(reference, current), reference.bins.points
    return np.array([min(ends[0], points[0]), *points, max(ends[-1], points[-1])])


def _mean_size(start: Floats, end: Floats) -> Floats:
    """The mean of |y| on a straight line from start to end."""
    total = np.abs(start) + np.abs(end)
    crossing = np.where(start * end < 0, (start**2 + end**2) / np.where(total > 0, 2 * total, 1.0), total / 2)
    return np.asarray(crossing, dtype=np.float64)


def _ends(reference: ColumnProfile, current: ColumnProfile) -> Floats:
    """The edges of all cells, the outer ones as far as the numbers of both go."""
    lowest = min(x for x in (reference.minimum, current.minimum) if x is not None)
    highest = max(x for x in (reference.maximum, current.maximum) if x is not None)
    edges = np.array(reference.bins.edges, dtype=np.float64)
    if not len(edges):
        return np.array([lowest, highest])
    return np.concatenate([[min(lowest, edges[0])], edges, [max(highest, edges[-1])]])
