"""Groups of rows on which a model does worse than on the rest: those that were asked for, and the weakest there are.

A loss that is higher in a group may be chance, the more so the more groups are looked at. So the search looks for
weak groups on one half of the rows and believes what the other half confirms, corrected for the number confirmed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.column_values import as_array, kind_of, levels_of, numbers_of
from models.intervals import Resampling

Array = NDArray[Any]
Numbers = NDArray[np.float64]
Mask = NDArray[np.bool_]

LEAST_ROWS = 100  # of a group; half of them find it and half confirm it
BINS = 4  # of numbers, of equal numbers of rows
MOST_BINS = 100
MOST_LEVELS = 32  # of a column as groups of their own, the most frequent; the others are one group
MOST_PAIRED = 30  # columns, by how much the loss differs between their groups: 435 pairs
TRIED = 10  # groups that the second half is asked about; with each more, every one needs more evidence
TOLERANCE = 0.05  # share by which a loss must be higher to matter, that of the loss alarm
ALPHA = 0.05  # how often a search may claim a weak group where there is none
# standard errors by which a pair must be worse than the rest of each of its two columns' groups
_CLEARLY = 2.0


@dataclass(frozen=True)
class SliceWish:
    """Columns whose combinations are groups; bins: of each column, 0 where its values decide.

    at_most: how many times the loss of all rows a group's may be; None for no limit.
    """

    columns: tuple[str, ...]
    bins: tuple[int, ...]
    at_most: float | None = None

    @property
    def name(self) -> str:
        parts = (
            f"{column}: {bins} bins" if bins else column
            for column, bins in zip(self.columns, self.bins, strict=True)
        )
        return " * ".join(parts)


_PART = re.compile(r"(?P<column>.+?)(?:\s*:\s*(?P<bins>\d{1,6})\s*bins?)?", re.DOTALL)
_AT_MOST = re.compile(r"\s*(?P<rest>.*?)\s*,\s*at_most\s+(?P<limit>\d+(?:\.\d+)?)\s*", re.DOTALL)


def parse_slice(text: str) -> SliceWish:
    """The groups that a text names: columns with ` * ` between them, `: N bins` for numbers, `, at_most X`.

    Raises ValueError, which says what was expected.

    >>> parse_slice("origin * distance: 4 bins, at_most 1.3")
    SliceWish(columns=('origin', 'distance'), bins=(0, 4), at_most=1.3)
    >>> parse_slice("origin * distance: 4 bins").name
    'origin * distance: 4 bins'
    """
    limited = _AT_MOST.fullmatch(text)
    limit = float(limited["limit"]) if limited else None
    parts = re.split(r"\s+\*\s+", limited["rest"] if limited else text.strip())
    found = [part for part in map(_column_and_bins, parts) if part is not None]
    if limit == 0 or len(found) < len(parts):
        raise ValueError(
            f'not a slice. Write columns as in "carrier", "origin * weekday" or "distance: 4 bins" (2 to '
            f'{MOST_BINS}), and behind it ", at_most 1.3" for a limit in times of the loss of all rows'
        )
    columns, bins = zip(*found, strict=True)
    if len(set(columns)) < len(columns):
        raise ValueError("names a column twice. Write each column of a combination once")
    return SliceWish(columns, bins, limit)


def _column_and_bins(part: str) -> tuple[str, int] | None:
    match = _PART.fullmatch(part.strip())
    if match is None or "*" in (match["column"][0], match["column"][-1]):
        return None
    bins = int(match["bins"] or 0)
    return (match["column"], bins) if not match["bins"] or 2 <= bins <= MOST_BINS else None


@dataclass(frozen=True, eq=False)
class Grouping:
    """Rows in groups. codes: the group of each row, (n,). labels: of each group, in words."""

    name: str
    codes: NDArray[np.intp]
    labels: tuple[str, ...]


def grouping(name: str, values: Any, bins: int = 0) -> Grouping:
    """The rows by the values of a column: a group for each level, or for each bin of many numbers, or for none.

    bins: of equal numbers of rows; 0 takes a level for each of at most MOST_LEVELS whole numbers, else BINS.
    Raises ValueError for dates, and for bins of what are no numbers.

    >>> grouping("miles", [100, 2000, None, 300, 150], bins=2).labels
    ('miles below 300', 'miles from 300', 'miles missing')
    """
    array = as_array(values)
    kind = kind_of(array)
    if kind == "date":
        raise ValueError("holds dates; expected numbers or names. Slice by hour of day, weekday or month")
    if kind == "number":
        numbers = numbers_of(array)
        distinct = np.unique(numbers[~np.isnan(numbers)])
        if bins or len(distinct) > MOST_LEVELS or (np.floor(distinct) != distinct).any():
            return _binned(name, numbers, bins or BINS)
    elif bins and kind == "text":
        raise ValueError("holds names; expected numbers for bins. Leave out the bins")
    return _by_level(name, array)


def crossed(first: Grouping, second: Grouping) -> Grouping:
    """The combinations of two groupings that occur."""
    both = first.codes * len(second.labels) + second.codes
    occurring, codes = np.unique(both, return_inverse=True)
    pairs = (divmod(int(code), len(second.labels)) for code in occurring)
    labels = tuple(f"{first.labels[one]} and {second.labels[other]}" for one, other in pairs)
    return Grouping(f"{first.name} * {second.name}", codes, labels)


def _by_level(name: str, array: Array) -> Grouping:
    levels = np.array([level if level is not None else "" for level in levels_of(array)], dtype=object)
    distinct, codes, counts = np.unique(levels.astype(str), return_inverse=True, return_counts=True)
    kept = sorted(np.argsort(-counts, kind="stable")[:MOST_LEVELS].tolist())
    places = np.full(len(distinct), len(kept), np.intp)
    places[kept] = np.arange(len(kept))
    labels = [f"{name} = {distinct[place]}" if distinct[place] else f"{name} missing" for place in kept]
    more = [f"{name} = another"] if len(kept) < len(distinct) else []
    return Grouping(name, places[codes], (*labels, *more))


def _binned(name: str, numbers: Numbers, bins: int) -> Grouping:
    missing = np.isnan(numbers)
    present = numbers[~missing]
    edges = np.unique(np.quantile(present, np.arange(1, bins) / bins, method="higher"))
    edges = edges[edges > present.min()]
    codes = np.where(
        missing, len(edges) + 1, np.searchsorted(edges, np.where(missing, 0, numbers), side="right")
    )
    shown = [f"{edge:,.4g}" for edge in edges]
    labels = [f"{name} {low} to {high}" for low, high in pairwise(shown)]
    ends = ([f"{name} below {shown[0]}"], [f"{name} from {shown[-1]}"]) if shown else ([f"{name} known"], [])
    return Grouping(name, codes.astype(np.intp), (*ends[0], *labels, *ends[1], f"{name} missing"))


# --- one group against the rest ---


@dataclass(frozen=True)
class Slice:
    """The loss of a group of rows beside that of all others.

    loss, low, high: mean and interval. rest: mean of all other rows. excess, excess_low, excess_high: loss minus
    rest. times, times_low, times_high: loss over that of all rows; nan where that is not above 0. p: the chance to
    see as much where the group is no worse, adjusted for the number of groups looked at. other: mean loss of
    another model on the very same rows, nan without one.
    """

    name: str
    rows: int
    loss: float
    low: float
    high: float
    rest: float
    excess: float
    excess_low: float
    excess_high: float
    times: float
    times_low: float
    times_high: float
    p: float
    at_most: float | None = None
    other: float = math.nan

    @property
    def over_budget(self) -> bool:
        """Whether the loss is above the limit beyond chance."""
        return self.at_most is not None and self.times_low > self.at_most

    @property
    def weak(self) -> bool:
        """Whether the group does worse than the rest, beyond chance and by more than TOLERANCE."""
        return self.p <= ALPHA and self.excess > TOLERANCE * abs(self.rest)

    @property
    def budget(self) -> str:
        """Where the loss stands against the limit, in words."""
        if self.at_most is None:
            return ""
        if math.isnan(self.times):
            return "not judged: the loss of all rows is not above 0"
        if self.times <= self.at_most:
            return f"within {self.at_most:g} times"
        return f"{'over' if self.over_budget else 'perhaps over'} {self.at_most:g} times"


def declared_slices(
    wish: SliceWish,
    columns: Mapping[str, Any],
    losses: Array,
    plan: Resampling,
    *,
    other: Array | None = None,
    least_rows: int = LEAST_ROWS,
) -> tuple[Slice, ...]:
    """Every group of a wish with enough rows, the weakest first.

    columns: name to n values. losses, other: (n,). p is adjusted for the groups of this wish (Holm).
    Raises ValueError, which names the column, where one cannot be sliced by.
    """
    found = _wished(wish, columns)
    counts = np.bincount(found.codes, minlength=len(found.labels))
    chosen = [code for code in np.flatnonzero(counts >= least_rows).tolist() if counts[code] < len(losses)]
    blocks = plan.block_of_row
    tests = [_test(found.codes == code, losses, blocks, plan.confidence) for code in chosen]
    adjusted = holm([test.p for test in tests])
    slices = [
        _slice(found.labels[code], test, p, found.codes == code, wish.at_most, other)
        for code, test, p in zip(chosen, tests, adjusted, strict=True)
    ]
    return tuple(sorted(slices, key=lambda one: -one.excess))


def compare_with_rest(
    name: str, inside: Mask, losses: Array, plan: Resampling, *, least_rows: int = 2
) -> Slice | None:
    """A group of rows by itself against all others; None where one of the two has fewer than `least_rows`.

    >>> inside = np.arange(40) % 4 == 0
    >>> compare_with_rest("every fourth", inside, np.where(inside, 3.0, 1.0), Resampling(40)).excess
    2.0
    """
    if not least_rows <= inside.sum() <= len(losses) - least_rows:
        return None
    test = _test(inside, losses, plan.block_of_row, plan.confidence)
    return _slice(name, test, test.p, inside, None, None)


def _wished(wish: SliceWish, columns: Mapping[str, Any]) -> Grouping:
    found: Grouping | None = None
    for column, bins in zip(wish.columns, wish.bins, strict=True):
        try:
            one = grouping(column, columns[column], bins)
        except ValueError as problem:
            raise ValueError(f"column {column!r} {problem}") from None
        found = one if found is None else crossed(found, one)
    assert found is not None
    return found


def holm(chances: Sequence[float]) -> list[float]:
    """Chances adjusted for their number, so that one below alpha is false in at most alpha of all families.

    Holm, A Simple Sequentially Rejective Multiple Test Procedure, 1979.

    >>> holm([0.01, 0.5, 0.02])
    [0.03, 0.5, 0.04]
    """
    order = np.argsort(chances, kind="stable")
    adjusted, largest = [1.0] * len(chances), 0.0
    for place, index in enumerate(order.tolist()):
        largest = max(largest, min(1.0, chances[index] * (len(chances) - place)))
        adjusted[index] = largest
    return adjusted


@dataclass(frozen=True)
class _Test:
    """Means inside and outside with intervals, by blocks."""

    rows: int
    inside: tuple[float, float, float]
    rest: float
    excess: tuple[float, float, float]
    times: tuple[float, float, float]
    p: float


def _test(
    inside: Mask, losses: Array, blocks: NDArray[np.intp], confidence: float, tolerance: float = 0.0
) -> _Test:
    """t intervals and a one-sided t test of whether the loss inside is higher by more than a share of the rest's.

    Errors are those of means over blocks of neighbours (what rows of a block share counts once), by the influence
    of each row on the figure; as many degrees of freedom as blocks that the group touches, less one.
    """
    from scipy.special import stdtr, stdtrit

    rows, count = len(losses), int(inside.sum())
    mean, rest, whole = (float(np.mean(losses[mask])) for mask in (inside, ~inside, np.ones(rows, bool)))
    of_group = np.where(inside, losses - mean, 0.0) / count
    of_rest = np.where(inside, 0.0, losses - rest) / (rows - count)
    of_all = (losses - whole) / rows
    freedom = len(np.unique(blocks[inside])) - 1
    reach = float(stdtrit(freedom, 0.5 + confidence / 2)) if freedom > 0 else math.nan

    def between(value: float, influence: Array) -> tuple[float, float, float]:
        error = reach * _error(influence, blocks)
        return value, value - error, value + error

    more = 1.0 + math.copysign(tolerance, rest)
    error = _error(of_group - more * of_rest, blocks)
    height = (mean - more * rest) / error if error > 0 else math.copysign(math.inf, mean - more * rest)
    times = mean / whole if whole > 0 else math.nan
    return _Test(
        count,
        between(mean, of_group),
        rest,
        between(mean - rest, of_group - of_rest),
        between(times, (of_group - times * of_all) / whole if whole > 0 else of_all * math.nan),
        float(stdtr(freedom, -height)) if freedom > 0 and mean > more * rest else 1.0,
    )


def _error(influence: Array, blocks: NDArray[np.intp]) -> float:
    """The standard error of a figure to which each row contributes its influence."""
    sums = np.bincount(blocks, weights=influence)
    return math.sqrt(float(np.square(sums).sum()) * len(sums) / max(len(sums) - 1, 1))


def _slice(
    name: str, test: _Test, p: float, inside: Mask, at_most: float | None, other: Array | None
) -> Slice:
    return Slice(
        name,
        test.rows,
        *test.inside,
        test.rest,
        *test.excess,
        *test.times,
        p,
        at_most,
        float(np.mean(other[inside])) if other is not None else math.nan,
    )


# --- the weakest groups there are ---


@dataclass(frozen=True)
class Search:
    """What a search for weak groups came to.

    looked_at: groups on the first half of the rows. tried: those of them that the second half was asked about.
    rows: of the second half. weak: what it confirmed, the weakest first; their figures are those of the second
    half alone, which did not choose them.
    """

    looked_at: int
    tried: int
    rows: int
    weak: tuple[Slice, ...]


def weakest_slices(
    groupings: Sequence[Grouping],
    losses: Array,
    plan: Resampling,
    *,
    other: Array | None = None,
    least_rows: int = LEAST_ROWS,
    tolerance: float = TOLERANCE,
    alpha: float = ALPHA,
    seed: int = 0,
) -> Search:
    """The groups, by one column or by two, whose loss is clearly higher than that of all other rows.

    losses, other: (n,). Blocks of the plan are drawn into two halves. On the first, all groups of at least
    least_rows / 2 rows are looked at, and the TRIED with the highest lower bound of their excess are kept: no
    echo of another one, and pairs only where both columns add to it. On the second half each is tested for a
    loss that is higher by more than `tolerance` (a share of the rest's), adjusted for their number by Holm: where
    no group is weak, a search claims one in at most `alpha` of all cases.
    """
    half = np.random.default_rng(seed).permutation(plan.blocks) < plan.blocks // 2
    first = half[plan.block_of_row]
    if not 0 < first.sum() < len(losses):
        return Search(0, 0, 0, ())
    look = _Look(groupings, losses, first, max(2, least_rows // 2), tolerance)
    second = np.flatnonzero(~first)
    chosen = {look.name(one): look.mask(one)[second] for one in _unlike(look.candidates(), look)}
    chosen = {name: mask for name, mask in chosen.items() if 2 <= mask.sum() < len(second)}
    blocks = np.unique(plan.block_of_row[second], return_inverse=True)[1]
    tests = [_test(mask, losses[second], blocks, plan.confidence, tolerance) for mask in chosen.values()]
    others = other[second] if other is not None else None
    found = [
        _slice(name, test, p, mask, None, others)
        for (name, mask), test, p in zip(chosen.items(), tests, holm([one.p for one in tests]), strict=True)
        if p <= alpha
    ]
    weak = tuple(sorted(found, key=lambda one: -one.excess))
    return Search(look.looked_at, len(chosen), len(second), weak)


@dataclass(frozen=True)
class _Candidate:
    """A group of one grouping, or of two. score: lower bound of its excess beyond the tolerance."""

    score: float
    groupings: tuple[int, ...]
    codes: tuple[int, ...]


class _Look:
    """Sums over all groups on the first half of the rows."""

    def __init__(
        self, groupings: Sequence[Grouping], losses: Array, first: Mask, least_rows: int, tolerance: float
    ) -> None:
        self.groupings, self.losses, self.first = groupings, losses[first], first
        self.codes = [one.codes[first] for one in groupings]
        self.least_rows, self.tolerance, self.looked_at = least_rows, tolerance, 0
        self.squares = np.square(self.losses)
        self.whole = np.array([len(self.losses), self.losses.sum(), self.squares.sum()])
        self.single = [
            self._sums(codes, len(one.labels)) for codes, one in zip(self.codes, groupings, strict=True)
        ]

    def candidates(self) -> list[_Candidate]:
        """All groups that look worse than the rest by more than the tolerance, the worst first."""
        found: list[_Candidate] = []
        for place, sums in enumerate(self.single):
            scores = self._scores(sums)
            found += [
                _Candidate(scores[code], (place,), (code,)) for code in np.flatnonzero(scores > 0).tolist()
            ]
        for one, other in combinations(self._paired(), 2):
            found += self._pairs(one, other)
        return sorted(found, key=lambda candidate: -candidate.score)

    def mask(self, candidate: _Candidate) -> Mask:
        """The rows of a group among all rows."""
        inside = np.ones(len(self.first), bool)
        for place, code in zip(candidate.groupings, candidate.codes, strict=True):
            inside &= self.groupings[place].codes == code
        return inside

    def name(self, candidate: _Candidate) -> str:
        parts = zip(candidate.groupings, candidate.codes, strict=True)
        return " and ".join(self.groupings[place].labels[code] for place, code in parts)

    def is_weak(self, inside: Mask, rest: Mask) -> bool:
        """Whether some rows are worse than some others by more than the tolerance."""
        sums, others = (
            np.array([[one[mask].sum()] for one in (np.ones(len(self.losses)), self.losses, self.squares)])
            for mask in (inside, rest)
        )
        return bool(self._heights(sums, others)[0] > 0)

    def _sums(self, codes: NDArray[np.intp], groups: int) -> Numbers:
        """Rows, losses and squared losses of each group, (3, groups)."""
        weights = (None, self.losses, self.squares)
        return np.stack([np.bincount(codes, weights=one, minlength=groups) for one in weights]).astype(float)

    def _scores(self, sums: Numbers) -> Numbers:
        """The height of each group above all other rows."""
        heights = self._heights(sums, self.whole[:, None] - sums)
        self.looked_at += int((heights > -math.inf).sum())
        return heights

    def _heights(self, sums: Numbers, rest: Numbers) -> Numbers:
        """Two standard errors below the excess beyond the tolerance; -inf for too few rows."""
        enough = (sums[0] >= self.least_rows) & (rest[0] >= self.least_rows)
        mean, error = _mean_and_error(sums)
        rest_mean, rest_error = _mean_and_error(rest)
        excess = mean - rest_mean - self.tolerance * np.abs(rest_mean)
        return np.where(enough, excess - _CLEARLY * np.hypot(error, rest_error), -math.inf)

    def _paired(self) -> list[int]:
        """The groupings that are looked at two at a time: those between whose groups the loss differs most."""

        def spread(sums: Numbers) -> float:
            with np.errstate(divide="ignore", invalid="ignore"):
                return float(np.nansum(sums[1] ** 2 / sums[0]))

        order = sorted(range(len(self.single)), key=lambda place: -spread(self.single[place]))
        return sorted(order[:MOST_PAIRED])

    def _pairs(self, one: int, other: int) -> Iterator[_Candidate]:
        """Combinations that are worse than the rest, and than the rest of each of the two groups they are of."""
        wide = len(self.groupings[other].labels)
        sums = self._sums(self.codes[one] * wide + self.codes[other], len(self.groupings[one].labels) * wide)
        scores = self._scores(sums)
        for code in np.flatnonzero(scores > 0).tolist():
            codes = divmod(code, wide)
            parents = (self.single[one][:, codes[0]], self.single[other][:, codes[1]])
            if all(_is_worse(sums[:, code], parent - sums[:, code]) for parent in parents):
                yield _Candidate(scores[code], (one, other), codes)


def _mean_and_error(sums: Numbers) -> tuple[Numbers, Numbers]:
    rows = np.maximum(sums[0], 1)
    mean = sums[1] / rows
    spread = np.maximum(sums[2] / rows - mean**2, 0)
    return mean, np.sqrt(spread / np.maximum(rows - 1, 1))


def _is_worse(sums: Numbers, others: Numbers) -> bool:
    """Whether the mean is clearly higher than that of other rows, of which there must be some."""
    if others[0] < 2:
        return False
    mean, error = _mean_and_error(sums)
    other_mean, other_error = _mean_and_error(others)
    return bool(mean - other_mean > _CLEARLY * math.hypot(float(error), float(other_error)))


def _unlike(candidates: Sequence[_Candidate], look: _Look) -> list[_Candidate]:
    """At most TRIED groups, the worst first, each worse than the rest also without the rows of those before it."""
    chosen: list[_Candidate] = []
    left = np.ones(len(look.losses), bool)
    for candidate in candidates:
        mask = look.mask(candidate)[look.first]
        if look.is_weak(mask & left, ~mask & left):
            chosen.append(candidate)
            left &= ~mask
        if len(chosen) == TRIED:
            break
    return chosen
