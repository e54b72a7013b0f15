"""Has a column's distribution moved away from the reference: how far, and further than chance takes it?

The distance is Jensen-Shannon's, on the reference's own cells. Its threshold is no fixed 0.1: it comes from
the number of rows in the window (a small sample lies far from its own source) and from how much the windows
of the reference differ from each other (a weekday from a Sunday, one week from the next).

Both are added on a scale where they add up: the *weight* of a distance, which for a normal column whose mean
moves by s standard deviations is about s squared.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from monitoring.gamma import upper_gamma_inverse
from monitoring.profile import ColumnProfile, Profile, merge_all

Floats = NDArray[np.float64]

FEWEST_ROWS = 30  # below it nothing is called shifted: two cells of 20 are empty by chance alone
UNREACHABLE = 1.0  # a threshold above the largest distance there is, sqrt(ln 2) = 0.83
# sizes of a window, up to 1.6 million, for which chance is tabulated
ROWS = tuple(25 * 2**k for k in range(17))

# How far windows may wander beyond what the reference shows. Chosen by simulation, 20 columns with windows of
# 200 and 1,000 rows, 4 to 150 reference windows: independent, daily, weekly, autocorrelated by .5 and .9.
FEW_WINDOWS = 90.0  # times B^-2.5: what B windows cannot have shown; .05 at 20 windows, 2.8 at 4
HIDDEN = 24.0  # times the standard error of the spread between windows: a spread too small to be measured
# standard errors taken off a spread, of one column and of the median column
OWN_DOUBT, JOINT_DOUBT = 2.5, 1.5
# more wandering is to come where windows are alike their neighbours
MEMORY_SPREAD, MEMORY_LARGEST = 8.0, 24.0
MOST_ALIKE = 0.9  # the autocorrelation that is assumed until 20 windows have been seen
WINDOWS_TO_KNOW = 20

# a window of which nine rows in ten lie beyond all that was seen has moved, whatever the rest
MOST_WEIGHT = 12.0

_MOST = 8 * math.log(2)  # largest weight that a share of the distance can have, before it is stretched


@dataclass(frozen=True)
class ColumnThreshold:
    """How far one column may lie from the reference.

    by_chance: weight that a window of `ROWS[k]` rows reaches by sampling alone with the probability allowed.
    between_windows: weight that is allowed on top, for the differences between windows.
    """

    name: str
    by_chance: tuple[float, ...]
    between_windows: float

    def at(self, rows: int) -> float:
        """The distance that a window of so many rows may have; 1, out of reach, below 30 rows."""
        if rows < FEWEST_ROWS:
            return UNREACHABLE
        per_row = np.multiply(self.by_chance, ROWS)  # nearly constant, for chance falls with the rows
        chance = float(np.interp(math.log(rows), np.log(ROWS), per_row)) / rows
        return distance_of(min(chance + self.between_windows, MOST_WEIGHT))


@dataclass(frozen=True)
class ShiftThresholds:
    """The thresholds of all columns, learned from the reference's own windows.

    false_alarms: the probability, for a window in which nothing changed, that any column is called shifted.
    windows: how many windows of the reference it was learned from.
    """

    false_alarms: float
    windows: int
    columns: tuple[ColumnThreshold, ...]

    def at(self, rows: int) -> dict[str, float]:
        """The largest distance that a window of so many rows may have, by column."""
        return {column.name: column.at(rows) for column in self.columns}

    def to_json(self) -> str:
        return json.dumps(asdict(self), allow_nan=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> ShiftThresholds:
        plain = json.loads(text)
        columns = (
            ColumnThreshold(c["name"], tuple(c["by_chance"]), c["between_windows"]) for c in plain["columns"]
        )
        return cls(plain["false_alarms"], plain["windows"], tuple(columns))


@dataclass(frozen=True)
class ColumnShift:
    """How far one column lies from the reference.

    distance: Jensen-Shannon, 0 to 0.83 (natural logarithm); `nan` without rows. psi: population stability
    index, for those who know it. cell: where most of the distance comes from, with its share of the rows.
    """

    name: str
    distance: float
    threshold: float
    psi: float
    cell: str
    reference_share: float
    current_share: float

    @property
    def shifted(self) -> bool:
        return self.distance > self.threshold

    def __str__(self) -> str:
        sign = ">" if self.shifted else "<="
        return (
            f"{self.name}: distance {self.distance:.2f} {sign} {self.threshold:.2f}; "
            f"{self.cell!r} {self.reference_share:.1%} -> {self.current_share:.1%} of rows"
        )


@dataclass(frozen=True)
class ShiftResult:
    """How far each column of a window lies from the reference."""

    rows: int
    columns: tuple[ColumnShift, ...]

    @property
    def enough_rows(self) -> bool:
        return self.rows >= FEWEST_ROWS

    @property
    def shifted_columns(self) -> tuple[ColumnShift, ...]:
        """The columns that moved, the furthest beyond its threshold first."""
        moved = [column for column in self.columns if column.shifted]
        return tuple(sorted(moved, key=lambda column: column.threshold - column.distance))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns that moved, the furthest first."""
        return tuple(column.name for column in self.shifted_columns)

    @property
    def shifted(self) -> bool:
        return bool(self.names)


def compare(reference: Profile, current: Profile, thresholds: ShiftThresholds) -> ShiftResult:
    """Measure how far every column of the current rows lies from the reference.

    >>> from monitoring.bins import reference_bins
    >>> from monitoring.profile import profile
    >>> weeks = [{"x": np.random.default_rng(k).normal(size=200)} for k in range(21)]
    >>> bins = reference_bins({"x": np.concatenate([week["x"] for week in weeks[:20]])})
    >>> blocks = [profile(week, bins) for week in weeks[:20]]
    >>> thresholds = calibrate(blocks)
    >>> compare(merge_all(blocks), profile(weeks[20], bins), thresholds).names
    ()
    >>> compare(merge_all(blocks), profile({"x": weeks[20]["x"] + 1}, bins), thresholds).names
    ('x',)
    """
    allowed = thresholds.at(current.rows)
    if reference.bins != current.bins:
        raise ValueError("the profiles were counted into other bins; count both against one reference's")
    if unknown := [name for name in current.names if name not in allowed]:
        raise ValueError(
            f"no threshold for {', '.join(unknown)}; calibrate on profiles that have these columns"
        )
    pairs = zip(reference.columns, current.columns, strict=True)
    return ShiftResult(current.rows, tuple(_column_shift(r, c, allowed[c.name]) for r, c in pairs))


def calibrate(blocks: Sequence[Profile], *, false_alarms: float = 1 / 1000) -> ShiftThresholds:
    """Learn from the reference's own windows how far a window lies from the rest when nothing has changed.

    blocks: profiles of the reference cut into windows like those to be judged, in order of time; blocks under
    30 rows are left aside. 20 or more give sharp thresholds, under 8 only gross shifts will be seen.
    false_alarms: accepted probability per window, over all columns together.
    """
    if not 0 < false_alarms < 1:
        raise ValueError(f"false_alarms = {false_alarms}: a probability per window is expected, e.g. 0.001")
    if not any(block.rows for block in blocks):
        raise ValueError(
            f"none of the {len(blocks)} windows of the reference has a row; give its own windows"
        )
    usable = _usable(blocks)
    whole = merge_all(usable)
    columns = range(len(whole.columns))
    each = false_alarms / max(1, len(columns))
    spreads = [_spread(_count_matrix([block.columns[k] for block in usable])) for k in columns]
    between = _between_windows(spreads, len(usable), each)
    chances = _by_chance([_counts(column) for column in whole.columns], each)
    thresholds = [ColumnThreshold(whole.names[k], chances[k], float(between[k])) for k in columns]
    return ShiftThresholds(false_alarms, len(usable), tuple(thresholds))


def chance_thresholds(reference: Profile, *, least: float, false_alarms: float = 1 / 1000) -> ShiftThresholds:
    """How far rows drawn at random from the same source lie from the reference, and `least` on top.

    least: the smallest shift worth a word, in standard deviations of a normal mean: of millions of rows chance moves
    next to nothing. false_alarms: accepted probability per comparison, over all columns together.
    """
    each = false_alarms / max(1, len(reference.columns))
    chances = _by_chance([_counts(column) for column in reference.columns], each)
    columns = (
        ColumnThreshold(column.name, chance, least**2)
        for column, chance in zip(reference.columns, chances, strict=True)
    )
    return ShiftThresholds(false_alarms, 1, tuple(columns))


def _usable(blocks: Sequence[Profile]) -> list[Profile]:
    """The windows to learn from; where all are small, one of all rows, that says nothing of differences.

    A last window with less than half of the usual rows is one that the end of the reference cut off: two days
    in place of a week have other weekdays.
    """
    large = [block for block in blocks if block.rows >= FEWEST_ROWS]
    if len(large) > 2 and large[-1].rows < np.median([block.rows for block in large]) / 2:
        large.pop()
    return large or [merge_all(blocks)]


# --- distances ----------------------------------------------------------------------------------------------


def jensen_shannon(reference: Floats, current: Floats) -> Floats:
    """Jensen-Shannon distance of shares, natural logarithm, over the last axis; an empty cell is no trouble.

    >>> float(jensen_shannon(np.array([0.5, 0.5, 0.0]), np.array([0.5, 0.0, 0.5])))
    0.589
    """
    middle = (reference + current) / 2
    divergence = (_relative_entropy(reference, middle) + _relative_entropy(current, middle)).sum(-1) / 2
    return np.asarray(np.sqrt(np.clip(divergence, 0, math.log(2))), dtype=np.float64)


def population_stability(reference: Floats, current: Floats) -> float:
    """Population stability index of shares without empty cells.

    >>> population_stability(np.array([0.5, 0.5]), np.array([0.4, 0.6]))
    0.0405
    """
    return float(((reference - current) * np.log(reference / current)).sum())


def weight_of(distance: Floats | float) -> Floats:
    """The weight of a Jensen-Shannon distance: about s squared for a normal mean moved by s deviations."""
    share = np.minimum(np.square(distance) / math.log(2), 1 - 1e-9)
    return np.asarray(-_MOST * np.log1p(-share), dtype=np.float64)


def distance_of(weight: float) -> float:
    """The Jensen-Shannon distance of a weight; always below the largest, sqrt(ln 2).

    >>> float(distance_of(weight_of(0.3)))
    0.3
    """
    return math.sqrt(math.log(2) * min(-math.expm1(-weight / _MOST), 1 - 1e-9))


def _relative_entropy(part: Floats, whole: Floats) -> Floats:
    safe = np.where(part > 0, part, 1.0)
    return np.asarray(part * np.log(safe / np.where(part > 0, whole, 1.0)), dtype=np.float64)


def _column_shift(reference: ColumnProfile, current: ColumnProfile, threshold: float) -> ColumnShift:
    before, after = reference.shares, current.shares
    middle = (before + after) / 2
    parts = _relative_entropy(before, middle) + _relative_entropy(after, middle)
    most = int(np.argmax(parts))
    return ColumnShift(
        name=current.name,
        distance=float(jensen_shannon(before, after)),
        threshold=threshold,
        psi=population_stability(_smoothed(reference), _smoothed(current)) if current.rows else math.nan,
        cell=(*current.bins.labels, "invalid")[most],
        reference_share=float(before[most]),
        current_share=float(after[most]),
    )


def _counts(column: ColumnProfile) -> Floats:
    return np.array([*column.counts, column.invalid], dtype=np.float64)


def _smoothed(column: ColumnProfile) -> Floats:
    return _smooth(_counts(column))


def _smooth(counts: Floats) -> Floats:
    """Shares with half a row added to every cell, so that none is 0."""
    return np.asarray((counts + 0.5) / (counts.sum() + 0.5 * len(counts)), dtype=np.float64)


# --- what chance alone does ---------------------------------------------------------------------------------


def _by_chance(columns: Sequence[Floats], probability: float) -> list[tuple[float, ...]]:
    """Of each column, the weight that a sample of `ROWS[k]` rows from the reference exceeds with the given probability.

    columns: counts of each. The weight is a sum over cells, close to a gamma variable with the same mean and variance;
    the reference, a sample itself, adds its part.
    """
    if not columns:
        return []
    rows = np.array(ROWS, dtype=np.float64)
    moments = [_chance_moments(_smooth(counts), rows) for counts in columns]
    mean, variance = (np.array(one) for one in zip(*moments, strict=True))
    tail = upper_gamma_inverse(mean**2 / variance, probability) * variance / mean
    drawn = np.array([max(1.0, counts.sum()) for counts in columns])
    return [tuple(one) for one in (tail * (1 + rows / drawn[:, None])).tolist()]


def _chance_moments(shares: Floats, rows: Floats) -> tuple[Floats, Floats]:
    """Mean and variance of the weight between shares and a sample of them; shape of `rows`.

    A cell with fewer than 50 expected rows is summed over its binomial distribution; in a fuller one the
    weight is Pearson's. Cells count as independent, and the variance is then scaled to that of chi-squared.
    """
    mean = (1 - shares) / rows[:, None]
    variance = 2 * mean**2
    sizes, cells = np.nonzero(shares * rows[:, None] < 50)
    mean[sizes, cells], variance[sizes, cells] = _binomial_moments(shares[cells], rows[sizes])
    free = ((1 - shares) ** 2).sum()
    scale = max(1.0, (len(shares) - 1) / free) if free > 0 else 1.0
    return mean.sum(-1), variance.sum(-1) * scale


def _binomial_moments(share: Floats, rows: Floats) -> tuple[Floats, Floats]:
    """Mean and variance of the weight of single cells, each with its share and its rows, shape (n,)."""
    share, rows = share[:, None], rows[:, None]
    places = np.arange(160.0)
    count = np.minimum(places, rows)
    # to choose 1, 2, ... of the rows
    ways = np.log(np.maximum(rows - places[1:] + 1, 1.0) / places[1:]).cumsum(-1)
    log_ways = np.concatenate([np.zeros_like(share), ways], axis=1)
    with np.errstate(under="ignore"):
        chance = np.exp(log_ways + count * np.log(share) + (rows - count) * np.log1p(-share))
    chance[places > rows] = 0
    middle = (share + count / rows) / 2
    part = 4 * (_relative_entropy(share, middle) + _relative_entropy(count / rows, middle))
    mean = (chance * part).sum(-1)
    return mean, np.maximum((chance * part**2).sum(-1) - mean**2, 1e-300)


# --- what the reference's own windows do --------------------------------------------------------------------


@dataclass(frozen=True)
class _Spread:
    """How much the reference's windows differ from each other in one column, beyond chance."""

    weight: float  # mean weight between a window and the rest, less what chance gives
    doubt: float  # its standard error, were there no differences
    largest: float  # the largest weight between a window and the rest
    neighbours: float  # covariance of a window with the next one
    own: float  # variance of a window, on the same scale, less what chance gives


def _count_matrix(columns: Sequence[ColumnProfile]) -> Floats:
    return np.stack([_counts(column) for column in columns])


def _spread(counts: Floats) -> _Spread:
    """counts: shape (windows, cells), rows of each reference window in each cell."""
    windows, rows = len(counts), counts.sum(-1)
    total = counts.sum(0)
    mean, variance = _chance_by_window(_smooth(total), rows)
    if windows < 2:
        return _Spread(0.0, float(np.sqrt(variance[0])), 0.0, 0.0, 0.0)
    rest = total - counts
    weights = weight_of(jensen_shannon(counts / rows[:, None], rest / rest.sum(-1, keepdims=True)))
    noise = 1 + rows / rest.sum(-1)
    shares = total / total.sum()
    away = (counts / rows[:, None] - shares) / np.sqrt(np.where(shares > 0, shares, 1.0))
    return _Spread(
        weight=float((weights - mean * noise).mean()),
        doubt=float(np.sqrt((variance * noise**2).sum()) / windows),
        largest=float(weights.max()),
        neighbours=float((away[1:] * away[:-1]).sum(-1).mean()),
        own=float((away**2).sum(-1).mean() - mean.mean()),
    )


def _chance_by_window(shares: Floats, rows: Floats) -> tuple[Floats, Floats]:
    """Mean and variance of the weight that chance gives to each window, shape of `rows`."""
    sizes: Floats = np.unique(np.round(np.geomspace(rows.min(), rows.max(), 9))).astype(np.float64)
    mean, variance = _chance_moments(shares, sizes)
    at, known = np.log(rows), np.log(sizes)
    return np.exp(np.interp(at, known, np.log(mean))), np.exp(np.interp(at, known, np.log(variance)))


def _between_windows(spreads: Sequence[_Spread], windows: int, probability: float) -> Floats:
    """Weight that each column is allowed for the differences between windows."""
    from statistics import NormalDist

    doubt = np.array([spread.doubt for spread in spreads])
    spread = _certain_spread(spreads)
    alike = _likeness(spreads, spread, windows)
    memory = (1 + alike) / (1 - alike)
    by_spread = (
        NormalDist().inv_cdf(1 - probability / 2) ** 2 * (1 + MEMORY_SPREAD * memory / windows) * spread
    )
    largest = np.array([one.largest for one in spreads])
    by_largest = (2 + MEMORY_LARGEST * memory / windows) * largest
    unseen = FEW_WINDOWS * windows**-2.5 + HIDDEN * doubt
    return np.asarray(unseen + np.minimum(by_spread, by_largest), dtype=np.float64)


def _certain_spread(spreads: Sequence[_Spread]) -> Floats:
    """The spread between windows that is surely there: in the column itself, or in the middle one of all.

    A column may by luck have differed little so far; it gets the middle column's, unless its own is far smaller.
    """
    weight = np.array([spread.weight for spread in spreads])
    doubt = np.array([spread.doubt for spread in spreads])
    if not len(spreads):
        return weight
    joint = np.median(weight) - JOINT_DOUBT * 1.25 * np.median(doubt) / math.sqrt(len(spreads))
    by_luck = np.minimum(joint, 3 * np.maximum(weight + 3 * doubt, 0.0))
    return np.asarray(np.maximum(weight - OWN_DOUBT * doubt, np.maximum(by_luck, 0.0)), dtype=np.float64)


def _likeness(spreads: Sequence[_Spread], certain: Floats, windows: int) -> Floats:
    """Upper estimate of how alike a window is to the next, 0 to 0.9; no higher is told from a trend."""
    neighbours = np.array([spread.neighbours for spread in spreads])
    own = np.array([max(spread.own, spread.doubt) for spread in spreads])
    sure = certain > 0
    pooled = neighbours[sure].sum() / own[sure].sum() if sure.any() else 0.0
    alike = np.maximum(np.where(sure, neighbours / own, 0.0), pooled)
    # its bias in short series, and one standard error
    alike = alike + (1 + 3 * alike) / windows + windows**-0.5
    unknown = MOST_ALIKE * min(1.0, WINDOWS_TO_KNOW / windows) ** 2
    return np.asarray(np.clip(np.maximum(alike, unknown), 0.0, MOST_ALIKE), dtype=np.float64)
