"""What a set of rows looks like, as counts against fixed bins: small, mergeable, and free of rows.

The bins are learned once, from the reference rows. Every later set of rows, a window or a partition of one,
is counted into the same bins; to merge two profiles is to add them up, exactly.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal, TypeVar
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from monitoring.first_bits import FirstBits, Space, begin_steps, first_bits, octaves_of

Kind = Literal["number", "category"]
Floats = NDArray[np.float64]
_Key = TypeVar("_Key", int, str)
Columns = Mapping[str, Any]  # a DataFrame, or a dict of column name -> 1-d sequence, or LevelCounts

MOST_LEVELS = 64  # further levels share the cell "other"; below 1 % each they carry no testable shift
MOST_DISTINCT = 32  # a number with no more distinct values than this gets a cell for each
LARGEST = 1e150  # a number beyond it cannot be squared and is counted as invalid
STEPS_AN_OCTAVE = 8  # of the histogram of magnitudes: one step is 9 %
LONGEST_LEVEL = 200  # characters; a level may be a whole text by mistake
COMPARED = 48  # edges up to which it is quicker to compare every number with each than to sort the numbers
FEWEST_COUNTED = 1000  # numbers; of fewer it takes no longer to compare each with every edge
ROOM = 0.1  # of a cell, by which an edge may be moved to where numbers are counted quickly
_FEWER, _CUT = 1, 45  # magnitudes are of numbers of whose mantissa 7 bits are left


@dataclass(frozen=True)
class LevelCounts:
    """A column of categories that somebody has counted already: each level once, None where a value is missing."""

    levels: Sequence[Any]
    counts: Sequence[int]

    def __len__(self) -> int:
        return sum(self.counts)


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
    return tuple(_column_bins(str(name), _array(columns, name), bins) for name in columns)


def profile(columns: Columns, bins: Sequence[ColumnBins]) -> Profile:
    """Count rows into the reference's cells.

    columns: every column has shape (n,). One that is not there is counted as absent, further ones are left.
    """
    arrays = {column.name: _array(columns, column.name) for column in bins if column.name in columns}
    rows = _row_count(columns, arrays)
    space = _Space(rows)
    return Profile(
        rows, tuple(_column_profile(column, arrays.get(column.name), rows, space) for column in bins)
    )


def cell_numbers(columns: Columns, bins: ColumnBins, rows: int) -> NDArray[np.intp]:
    """The cell that each row of one column falls into, shape (rows,): missing is `bins.cells`, invalid one more.

    ValueError for a column that somebody has counted already: of it no row is left.

    >>> cell_numbers({"x": [0.5, None, 7.0]}, ColumnBins("x", "number", edges=(1.0, 5.0)), 3)
    array([0, 3, 2])
    """
    if bins.name not in columns:
        return np.full(rows, bins.cells, dtype=np.intp)
    values = _array(columns, bins.name)
    if isinstance(values, LevelCounts):
        raise ValueError(
            f"column {bins.name!r} comes as counts of levels; to be joined with others it must be rows"
        )
    if len(values) != rows:
        raise ValueError(
            f"column {bins.name!r} has {len(values)} rows, expected {rows}; every column needs one value a row"
        )
    return _level_cells(values, bins) if bins.kind == "category" else _number_cells(values, bins)


def merge(first: Profile, second: Profile) -> Profile:
    """The profile of the rows of both.

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


def _column_bins(name: str, values: NDArray[Any] | LevelCounts, bins: int) -> ColumnBins:
    if not isinstance(values, LevelCounts) and values.dtype.kind in "mM":
        raise ValueError(
            f"column {name!r} holds times; leave it out, or turn it into numbers such as the hour"
        )
    if not isinstance(values, LevelCounts) and _is_number_column(values):
        numbers = _as_numbers(values)
        ordered = np.sort(numbers[np.abs(numbers) < LARGEST])
        centre = _middle(ordered) if len(ordered) else 0.0
        distinct = ordered[np.diff(ordered, prepend=-np.inf) > 0]
        points = tuple(distinct.tolist()) if len(distinct) <= MOST_DISTINCT else ()
        edges = _edges_between(distinct) if points else _edges(ordered, distinct, bins)
        return ColumnBins(name, "number", edges=edges, centre=centre, points=points)
    counts, _ = _count_levels(values)
    most_first = sorted(counts, key=lambda level: (-counts[level], level))
    return ColumnBins(name, "category", levels=tuple(most_first[:MOST_LEVELS]))


def _is_number_column(values: NDArray[Any]) -> bool:
    return values.dtype.kind in "biuf" or (values.dtype.kind == "O" and _holds_numbers(values))


def _holds_numbers(values: NDArray[Any]) -> bool:
    """Whether an object array holds numbers and missing values only, and at least one number."""
    kinds = {type(value) for value in values.tolist()}
    kinds = {kind for kind in kinds if kind.__name__ not in ("NoneType", "NAType", "NaTType")}
    return bool(kinds) and all(issubclass(kind, int | float | np.number | np.bool_) for kind in kinds)


def _middle(ordered: Floats) -> float:
    """The median of sorted numbers."""
    return float((ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2)


def _edges(ordered: Floats, distinct: Floats, bins: int) -> tuple[float, ...]:
    """Inner edges of the cells, strictly increasing: quantiles of sorted numbers, the higher of two neighbours."""
    if not len(ordered):
        return ()
    inner = ordered[np.ceil((len(ordered) - 1) * (np.arange(1, bins) / bins)).astype(np.intp)]
    repeated = inner[1:][np.diff(inner) == 0]  # a value that fills a whole cell: it gets a cell of its own
    beyond = [distinct[0], np.nextafter(distinct[-1], np.inf)]  # two empty cells for what was never seen
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


# --- counting -----------------------------------------------------------------------------------------------


def _array(columns: Columns, name: str) -> NDArray[Any] | LevelCounts:
    values = columns[name]
    if isinstance(values, LevelCounts):
        return values
    array = np.asarray(values) if not isinstance(values, list | tuple) else _from_list(values)
    if array.ndim != 1:
        raise ValueError(
            f"column {name!r} has shape {array.shape}, expected one value a row; is the name given twice?"
        )
    return array


def _from_list(values: Sequence[Any]) -> NDArray[Any]:
    """An array in which a number beside a text stays a number (numpy alone would turn it into text)."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    plain = {type(value) for value in values}
    return array.astype(np.float64) if plain and plain <= {float, int, bool} else array


def _row_count(columns: Columns, arrays: Mapping[str, NDArray[Any] | LevelCounts]) -> int:
    lengths = {name: len(array) for name, array in arrays.items()}
    if not lengths:
        return next((len(columns[name]) for name in columns), 0)
    if len({*lengths.values()}) > 1:
        raise ValueError(f"columns of different lengths: {lengths}; every column needs one value a row")
    return next(iter(lengths.values()))


class _Space:
    """Memory for steps in between, for all columns of a batch: the system clears what each would take anew."""

    def __init__(self, rows: int) -> None:
        self._numbers, self._flags, self.bits = np.empty(rows), np.empty(rows, np.bool_), Space(rows)

    def numbers(self, count: int) -> Floats:
        return self._numbers[:count]

    def flags(self, count: int) -> NDArray[np.bool_]:
        return self._flags[:count]


def _column_profile(
    bins: ColumnBins, values: NDArray[Any] | LevelCounts | None, rows: int, space: _Space
) -> ColumnProfile:
    if values is None:
        return ColumnProfile(bins, (*[0] * bins.cells, rows), absent=rows)
    if bins.kind == "category":
        return _category_profile(bins, values)
    if isinstance(values, LevelCounts):  # text where numbers were
        values = np.repeat(np.array(values.levels, dtype=object), values.counts)
    return _number_profile(bins, values, space)


def _number_profile(bins: ColumnBins, values: NDArray[Any], space: _Space) -> ColumnProfile:
    numbers = np.ascontiguousarray(_as_numbers(values))
    good, missing, ends = _usable(numbers, space)
    counted = first_bits(good, space.bits) if len(good) >= FEWEST_COUNTED else None
    below = _below(good, bins.edges, counted, space)
    magnitudes = _magnitudes(good, counted, space)
    away = np.subtract(good, bins.centre, out=space.numbers(len(good)))
    total = float(away.sum())
    # not `away @ away`: the threads that it wakes wait for more of it on the CPU
    total_square = float(np.square(away, out=away).sum())
    return ColumnProfile(
        bins,
        (*_between(below, len(good)), missing),
        invalid=len(numbers) - len(good) - missing,
        total=total,
        total_square=total_square,
        minimum=ends[0],
        maximum=ends[1],
        magnitudes=magnitudes,
    )


def _between(below: NDArray[np.int64], rows: int) -> list[int]:
    """How many numbers lie before, between and behind edges. below: each of them."""
    if not len(below):
        return [rows]
    return [int(below[0]), *np.subtract(below[1:], below[:-1]).tolist(), rows - int(below[-1])]


def _usable(numbers: Floats, space: _Space) -> tuple[Floats, int, tuple[float | None, float | None]]:
    """The numbers that can be squared, how many are missing, and the smallest and the largest."""
    if not len(numbers):
        return numbers, 0, (None, None)
    least, most = float(numbers.min()), float(numbers.max())
    if least > -LARGEST and most < LARGEST:  # false where one is nan
        return numbers, 0, (least, most)
    sizes, flags = space.numbers(len(numbers)), space.flags(len(numbers))
    missing = int(np.count_nonzero(np.isnan(numbers, out=flags)))
    # false for nan and for infinite numbers
    usable = np.less(np.abs(numbers, out=sizes), LARGEST, out=flags)
    good = numbers[usable]
    return good, missing, (float(good.min()), float(good.max())) if len(good) else (None, None)


def _below(
    numbers: Floats, edges: Sequence[float], counted: FirstBits | None, space: _Space
) -> NDArray[np.int64]:
    """How many of the numbers lie below each edge. counted: the same numbers by their first bits."""
    if counted is None:
        return _below_each(numbers, edges, space)
    found, known = counted.below(tuple(edges))
    if not known.all():
        found[~known] = _below_each(numbers, np.array(edges)[~known].tolist(), space)
    return found


def _below_each(numbers: Floats, edges: Sequence[float], space: _Space) -> NDArray[np.int64]:
    if len(edges) > COMPARED:
        return np.searchsorted(np.sort(numbers), np.array(edges), side="left").astype(np.int64)
    flags = space.flags(len(numbers))
    return np.array([np.count_nonzero(np.less(numbers, edge, out=flags)) for edge in edges], dtype=np.int64)


def _magnitudes(numbers: Floats, counted: FirstBits | None, space: _Space) -> tuple[tuple[int, int], ...]:
    """Counted by the first bits of the numbers themselves: a logarithm of every one would cost most of a profile."""
    if counted is not None:
        counts = counted.sizes()
        steps = octaves_of(STEPS_AN_OCTAVE, _FEWER)[counted.lowest : counted.lowest + counted.width]
    else:
        away = np.abs(numbers, out=space.numbers(len(numbers)))
        bits, counts = np.unique(away.view(np.int64) >> _CUT << _CUT, return_counts=True)
        counts = counts[bits > 0]
        steps = np.floor(np.log2(bits[bits > 0].view(np.float64)) * STEPS_AN_OCTAVE).astype(np.int16)
    if not len(steps):
        return ()
    first = int(steps[0])
    rows = np.bincount(steps - first, weights=counts).astype(np.int64)
    kept = np.flatnonzero(rows)
    return tuple(zip((kept + first).tolist(), rows[kept].tolist(), strict=True))


def _number_cells(values: NDArray[Any], bins: ColumnBins) -> NDArray[np.intp]:
    numbers = _as_numbers(values)
    cells = np.searchsorted(np.array(bins.edges), numbers, side="right")
    missing = np.isnan(numbers)
    cells[missing] = bins.cells
    cells[~missing & ~(np.abs(numbers) < LARGEST)] = bins.cells + 1
    return cells.astype(np.intp, copy=False)


def _level_cells(values: NDArray[Any], bins: ColumnBins) -> NDArray[np.intp]:
    known = {level: place for place, level in enumerate(bins.levels)}
    seen: dict[Any, int] = {}  # a value is read once: text takes long to compare

    def cell(value: Any) -> int:
        return bins.cells if _is_missing(value) else known.get(_level(value), len(known))

    items = values.tolist()
    try:
        for value in set(items):
            seen[value] = cell(value)
        return np.array([seen.get(value, bins.cells) for value in items], dtype=np.intp)
    except TypeError:  # a list or a dict among the values
        return np.array([cell(value) for value in items], dtype=np.intp)


def _category_profile(bins: ColumnBins, values: NDArray[Any] | LevelCounts) -> ColumnProfile:
    counts, missing = _count_levels(values)
    known = [counts.pop(level, 0) for level in bins.levels]
    return ColumnProfile(bins, (*known, sum(counts.values()), missing), unseen=_fewest_hashes(counts))


def _fewest_hashes(counts: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """The 64 levels with the smallest hash: a level kept of the whole is kept of every part that has it."""
    kept = sorted(counts, key=lambda level: (crc32(level.encode("utf-8", "surrogatepass")), level))
    return tuple((level, counts[level]) for level in kept[:MOST_LEVELS])


# --- reading values -----------------------------------------------------------------------------------------


def _as_numbers(values: NDArray[Any]) -> Floats:
    """Values as float64: nan where they are missing, infinite where they are no number."""
    if values.dtype.kind in "biuf":
        with np.errstate(over="ignore"):
            return values.astype(np.float64, copy=False)
    if values.dtype.kind in "mMc":
        return np.full(len(values), np.inf)
    try:
        return values.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        return np.fromiter(map(_number, values.tolist()), dtype=np.float64, count=len(values))


def _number(value: Any) -> float:
    """One value as a float: nan where it is missing, infinite where it is no number."""
    if _is_missing(value) or (isinstance(value, str) and not value.strip()):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.inf


def _is_missing(value: Any) -> bool:
    # pandas' own, without importing pandas
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float) and value != value


def _count_levels(values: NDArray[Any] | LevelCounts) -> tuple[dict[str, int], int]:
    """How many rows have each level, as text, and how many are missing."""
    counts: Counter[str] = Counter()
    missing = 0
    for value, count in _count_values(values):
        if _is_missing(value):
            missing += count
        else:
            counts[_level(value)] += count
    return dict(counts), missing


def _count_values(values: NDArray[Any] | LevelCounts) -> Iterator[tuple[Any, int]]:
    if isinstance(values, LevelCounts):
        return zip(values.levels, values.counts, strict=True)
    items = values.tolist()
    try:
        return iter(Counter(items).items())
    except TypeError:  # a list or a dict among the values
        plain = (
            item if _is_missing(item) or isinstance(item, str | int | float) else str(item) for item in items
        )
        return iter(Counter(plain).items())


def _level(value: Any) -> str:
    """A level's name; 1, 1.0 and True are one level: a missing value among integers turns them into floats."""
    if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()):
        value = int(value)
    return str(value)[:LONGEST_LEVEL]


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
