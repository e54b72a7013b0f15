"""What a set of rows looks like, as counts against fixed bins: small, mergeable, and free of rows.

The bins are learned once, from the reference rows. Every later set of rows, a window or a partition of one,
is counted into the same bins; to merge two profiles is to add them up, exactly.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from monitoring.bins import MOST_LEVELS, ColumnBins
from monitoring.counting import BatchSpace, NumberCounts
from monitoring.values import (
    LARGEST,
    Columns,
    Floats,
    LevelCounts,
    array_of,
    as_numbers,
    count_levels,
    is_missing,
    level_of,
)

_Key = TypeVar("_Key", int, str)


@dataclass(frozen=True)
class ColumnProfile:
    """One column of a set of rows, counted.

    counts: shape (cells + 1,), the last is the number of missing values. invalid: rows with text or an
    infinite number in a number column, counted nowhere else. absent: rows that came without the column, also
    counted as missing. total, total_square: sums of `x - centre` and of its square over the valid numbers.
    magnitudes: pairs (floor(8 log2 |x|), rows) over the numbers that are not 0, with |x| cut to 7 bits.
    unseen: pairs (level, rows) of levels that have no cell; at most 64 of them, chosen by their hash so that
    merging stays exact.
    """

    bins: ColumnBins
    counts: tuple[int, ...]
    invalid: int = 0
    absent: int = 0
    total: float = 0.0
    total_square: float = 0.0
    minimum: float | None = None
    maximum: float | None = None
    magnitudes: tuple[tuple[int, int], ...] = ()
    unseen: tuple[tuple[str, int], ...] = ()

    @property
    def name(self) -> str:
        return self.bins.name

    @property
    def rows(self) -> int:
        return sum(self.counts) + self.invalid

    @property
    def missing(self) -> int:
        return self.counts[-1]

    @property
    def valid(self) -> int:
        """Rows with a value that can be used."""
        return sum(self.counts[:-1])

    @property
    def mean(self) -> float:
        """Mean of the valid numbers; `nan` where there are none."""
        return self.bins.centre + self.total / self.valid if self._numbers else math.nan

    @property
    def deviation(self) -> float:
        """Standard deviation of the valid numbers; `nan` where there are none."""
        if not self._numbers:
            return math.nan
        return math.sqrt(max(0.0, self.total_square / self.valid - (self.total / self.valid) ** 2))

    @property
    def shares(self) -> Floats:
        """Share of the rows in each cell, shape (cells + 2,): cells, missing, invalid; `nan` without rows."""
        counted = np.array([*self.counts, self.invalid], dtype=np.float64)
        return counted / self.rows if self.rows else np.full(len(counted), np.nan)

    @property
    def _numbers(self) -> bool:
        return self.bins.kind == "number" and self.valid > 0


@dataclass(frozen=True)
class Profile:
    """A set of rows, counted column by column; columns in the order of the bins.

    >>> from monitoring.bins import reference_bins
    >>> bins = reference_bins({"carrier": ["AA", "UA", "UA"]})
    >>> profile({"carrier": ["UA", "DL", None]}, bins).column("carrier").counts
    (1, 0, 1, 1)
    """

    rows: int
    columns: tuple[ColumnProfile, ...]

    @property
    def bins(self) -> tuple[ColumnBins, ...]:
        return tuple(column.bins for column in self.columns)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> ColumnProfile:
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"no column {name!r} in this profile; it has {', '.join(self.names)}")

    def to_json(self) -> str:
        return json.dumps(asdict(self), allow_nan=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Profile:
        plain = json.loads(text)
        return cls(plain["rows"], tuple(_column_from_plain(column) for column in plain["columns"]))


def profile(columns: Columns, bins: Sequence[ColumnBins]) -> Profile:
    """Count rows into the reference's cells.

    columns: every column has shape (n,). One that is not there is counted as absent, further ones are left.
    """
    return profile_all([columns], bins)


def profile_all(
    batches: Iterable[Columns], bins: Sequence[ColumnBins], space: BatchSpace | None = None
) -> Profile:
    """Count the rows of all batches into the reference's cells; see `profile`. space: see `Counting`."""
    counting = Counting(bins, space)
    for columns in batches:
        counting.add(columns)
    return counting.profile()


class Counting:
    """Rows that are counted batch after batch: what is the same for every batch is done once, at the end.

    >>> from monitoring.bins import reference_bins
    >>> counting = Counting(reference_bins({"carrier": ["AA", "UA", "UA"]}))
    >>> counting.add({"carrier": ["UA", "DL"]})
    >>> counting.add({"carrier": [None]})
    >>> counting.profile().column("carrier").counts
    (1, 0, 1, 1)
    """

    def __init__(self, bins: Sequence[ColumnBins], space: BatchSpace | None = None) -> None:
        """space: may be shared by several that count in turn."""
        self._rows = 0
        self._columns = [_Numbers(one) if one.kind == "number" else _Levels(one) for one in bins]
        self._space = space or BatchSpace()

    def add(self, columns: Columns) -> None:
        """Counts a batch; see `profile`. ValueError where its columns are of different lengths."""
        names = [column.bins.name for column in self._columns]
        arrays = {name: array_of(columns, name) for name in names if name in columns}
        rows = _row_count(columns, arrays)
        self._rows += rows
        for column in self._columns:
            values = arrays.get(column.bins.name)
            if values is None:
                column.absent += rows
            else:
                column.add(values, self._space)

    def profile(self) -> Profile:
        """All rows so far."""
        return Profile(self._rows, tuple(column.profile() for column in self._columns))


def cell_numbers(columns: Columns, bins: ColumnBins, rows: int) -> NDArray[np.intp]:
    """The cell that each row of one column falls into, shape (rows,): missing is `bins.cells`, invalid one more.

    ValueError for a column that somebody has counted already: of it no row is left.

    >>> cell_numbers({"x": [0.5, None, 7.0]}, ColumnBins("x", "number", edges=(1.0, 5.0)), 3)
    array([0, 3, 2])
    """
    if bins.name not in columns:
        return np.full(rows, bins.cells, dtype=np.intp)
    values = array_of(columns, bins.name)
    if isinstance(values, LevelCounts):
        raise ValueError(
            f"column {bins.name!r} comes as counts of levels; to be joined with others it must be rows"
        )
    if len(values) != rows:
        raise ValueError(
            f"column {bins.name!r} has {len(values)} rows, expected {rows}; every column needs one value a row"
        )
    return _level_cells(values, bins) if bins.kind == "category" else _number_cells(values, bins)


def beside(profiles: Sequence[Profile]) -> Profile:
    """The columns of several profiles of the same rows, one after the other.

    >>> from monitoring.bins import reference_bins
    >>> parts = [{"x": [1.0, 2.0]}, {"carrier": ["AA", "UA"]}]
    >>> beside([profile(part, reference_bins(part)) for part in parts]).names
    ('x', 'carrier')
    """
    rows = {part.rows for part in profiles}
    if len(rows) != 1:
        raise ValueError(f"profiles of {sorted(rows)} rows are not of the same rows")
    return Profile(rows.pop(), tuple(column for part in profiles for column in part.columns))


def merge(first: Profile, second: Profile) -> Profile:
    """The profile of the rows of both.

    >>> from monitoring.bins import reference_bins
    >>> bins = reference_bins({"x": [1.0, 2.0]})
    >>> both = merge(profile({"x": [1.0]}, bins), profile({"x": [2.0]}, bins))
    >>> both == profile({"x": [1.0, 2.0]}, bins)
    True
    """
    return merge_all((first, second))


def merge_all(profiles: Iterable[Profile]) -> Profile:
    """The profile of the rows of all; at least one is needed."""
    parts = list(profiles)
    if not parts:
        raise ValueError("no profile to merge; give at least one")
    bins = parts[0].bins
    for part in parts[1:]:
        if part.bins != bins:
            differing = sorted({b.name for b in {*bins} ^ {*part.bins}})
            raise ValueError(
                f"profiles with other bins cannot be merged; they differ in {', '.join(differing) or 'order'}. "
                "Count both against the bins of one reference."
            )
    if len(parts) == 1:
        return parts[0]
    columns = zip(*(part.columns for part in parts), strict=True)
    return Profile(sum(part.rows for part in parts), tuple(_merged(column) for column in columns))


# --- learning the cells -------------------------------------------------------------------------------------


# --- counting -----------------------------------------------------------------------------------------------


def _row_count(columns: Columns, arrays: Mapping[str, NDArray[Any] | LevelCounts]) -> int:
    lengths = {name: len(array) for name, array in arrays.items()}
    if not lengths:
        return next((len(columns[name]) for name in columns), 0)
    if len({*lengths.values()}) > 1:
        raise ValueError(f"columns of different lengths: {lengths}; every column needs one value a row")
    return next(iter(lengths.values()))


class _Numbers:
    """A column of numbers. absent: rows that came without it."""

    def __init__(self, bins: ColumnBins) -> None:
        self.bins, self.absent = bins, 0
        self._counts = NumberCounts(bins.edges, bins.centre)

    def add(self, values: NDArray[Any] | LevelCounts, space: BatchSpace) -> None:
        if isinstance(values, LevelCounts):  # text where numbers were
            values = np.repeat(np.array(values.levels, dtype=object), values.counts)
        self._counts.add(values, space)

    def profile(self) -> ColumnProfile:
        counts = self._counts
        return ColumnProfile(
            self.bins,
            (*_between(counts.below(), counts.rows), counts.missing + self.absent),
            invalid=counts.invalid,
            absent=self.absent,
            total=counts.total,
            total_square=counts.total_square,
            minimum=counts.least if counts.rows else None,
            maximum=counts.most if counts.rows else None,
            magnitudes=counts.magnitudes(),
        )


class _Levels:
    """A column of categories. absent: rows that came without it."""

    def __init__(self, bins: ColumnBins) -> None:
        self.bins, self.absent = bins, 0
        self._counts: Counter[str] = Counter()
        self._missing = 0

    def add(self, values: NDArray[Any] | LevelCounts, space: BatchSpace) -> None:
        counts, missing = count_levels(values)
        self._counts.update(counts)
        self._missing += missing

    def profile(self) -> ColumnProfile:
        known = [self._counts[level] for level in self.bins.levels]
        levels = set(self.bins.levels)
        unseen = {level: count for level, count in self._counts.items() if level not in levels}
        return ColumnProfile(
            self.bins,
            (*known, sum(unseen.values()), self._missing + self.absent),
            absent=self.absent,
            unseen=_fewest_hashes(unseen),
        )


def _between(below: NDArray[np.int64], rows: int) -> list[int]:
    """How many numbers lie before, between and behind edges. below: each of them."""
    if not len(below):
        return [rows]
    return [int(below[0]), *np.subtract(below[1:], below[:-1]).tolist(), rows - int(below[-1])]


def _number_cells(values: NDArray[Any], bins: ColumnBins) -> NDArray[np.intp]:
    numbers = as_numbers(values)
    cells = np.searchsorted(np.array(bins.edges), numbers, side="right")
    missing = np.isnan(numbers)
    cells[missing] = bins.cells
    cells[~missing & ~(np.abs(numbers) < LARGEST)] = bins.cells + 1
    return cells.astype(np.intp, copy=False)


def _level_cells(values: NDArray[Any], bins: ColumnBins) -> NDArray[np.intp]:
    known = {level: place for place, level in enumerate(bins.levels)}
    seen: dict[Any, int] = {}  # a value is read once: text takes long to compare

    def cell(value: Any) -> int:
        return bins.cells if is_missing(value) else known.get(level_of(value), len(known))

    items = values.tolist()
    try:
        for value in set(items):
            seen[value] = cell(value)
        return np.array([seen.get(value, bins.cells) for value in items], dtype=np.intp)
    except TypeError:  # a list or a dict among the values
        return np.array([cell(value) for value in items], dtype=np.intp)


def _fewest_hashes(counts: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """The 64 levels with the smallest hash: a level kept of the whole is kept of every part that has it."""
    kept = sorted(counts, key=lambda level: (crc32(level.encode("utf-8", "surrogatepass")), level))
    return tuple((level, counts[level]) for level in kept[:MOST_LEVELS])


# --- merging and reading back -------------------------------------------------------------------------------


def _merged(columns: Sequence[ColumnProfile]) -> ColumnProfile:
    """One column of several sets of rows, in their order: sums of floats depend on it."""
    return ColumnProfile(
        columns[0].bins,
        tuple(map(sum, zip(*(column.counts for column in columns), strict=True))),
        invalid=sum(column.invalid for column in columns),
        absent=sum(column.absent for column in columns),
        total=sum(column.total for column in columns),
        total_square=sum(column.total_square for column in columns),
        minimum=min((column.minimum for column in columns if column.minimum is not None), default=None),
        maximum=max((column.maximum for column in columns if column.maximum is not None), default=None),
        magnitudes=tuple(sorted(_added(column.magnitudes for column in columns).items())),
        unseen=_fewest_hashes(_added(column.unseen for column in columns)),
    )


def _added(counted: Iterable[Iterable[tuple[_Key, int]]]) -> dict[_Key, int]:
    total: dict[_Key, int] = {}
    for pairs in counted:
        for key, rows in pairs:
            total[key] = total.get(key, 0) + rows
    return total


def _column_from_plain(plain: Mapping[str, Any]) -> ColumnProfile:
    lists = ("edges", "levels", "points")
    bins = {**plain["bins"], **{name: tuple(plain["bins"].get(name, ())) for name in lists}}
    return ColumnProfile(
        **{
            **plain,
            "bins": ColumnBins(**bins),
            "counts": tuple(plain["counts"]),
            "magnitudes": tuple((step, count) for step, count in plain["magnitudes"]),
            "unseen": tuple((level, count) for level, count in plain["unseen"]),
        }
    )
