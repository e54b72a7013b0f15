"""Is the feed as a whole broken: the same rows again, no rows, a column stuck or gone for a part of the window?

Of a window a sample of its rows is kept: those with the smallest hashes of their inputs (a bottom-k sketch: Cohen and
Kaplan 2007), so that samples of parts add up to the sample of the whole, copies of a row count as copies, and two
windows keep the same rows where they have them. Every rule asks what the reference's own windows did; where it is not
known, or copies and pauses are usual, the rule is silent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from monitoring.bins import ColumnBins
from monitoring.faults import FEWEST_ROWS, DataFault
from monitoring.row_values import read_levels, read_numbers

Floats = NDArray[np.float64]
Hashes = NDArray[np.uint64]

ALL = "all columns"  # what a fault of the rows names
MOST_SAMPLED = 1024  # rows of a window: a share of 1 % is ten of them
BEFORE = 8  # windows before, in which copies of rows are looked for
# share; times the usual; where they are usual nobody can tell
LEAST_COPIES, MORE_COPIES, USUAL_COPIES = 0.1, 5.0, 0.15
FEWEST_WINDOWS = 8  # whose numbers of rows are known, before few rows are odd
LEAST_USUAL = 30  # rows of the emptiest window that is known: with fewer, none may come by chance
OF_USUAL = 0.1  # share of the rows of the emptiest window; a window with fewer is as good as empty
USUAL_GAPS = 0.1  # share of windows without rows from which they are a rhythm
# of a value that stands still in time; times the usual
RUN_ROWS, RUN_SHARE, RUN_PURE, RUN_MORE = 20, 0.1, 0.95, 3.0
MISSING_RUN = 0.05  # share of the rows in one stretch without a value
OUTSIDE_ROWS, OUTSIDE_SHARE = 5, 0.005  # of one value that is far out of all that was seen
# of the range that was seen, so far outside lies a mark for "unknown"; few values may count on: months, years
APART, APART_OF_FEW = 1.0, 10.0


@dataclass(frozen=True)
class FeedColumn:
    """What a column did in the windows of the reference. apart: how far outside a value is impossible; None of what
    is no number.

    stuck, missing: largest share of a window's rows in one stretch of time with one value, or with none.
    """

    name: str
    low: float | None
    high: float | None
    apart: float | None
    stuck: float
    missing: float


@dataclass(frozen=True)
class FeedReference:
    """What is usual. rows: of the reference's windows; copies: largest share of copies, in windows of so many rows."""

    rows: tuple[int, ...]
    copies: float
    of_rows: float
    columns: tuple[FeedColumn, ...]

    def to_plain(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> FeedReference:
        columns = tuple(FeedColumn(**column) for column in plain["columns"])
        return cls(tuple(plain["rows"]), plain["copies"], plain["of_rows"], columns)


@dataclass(frozen=True)
class Run:
    """A value that stands still in time. share: of the sampled rows; pure: of the rows in its stretch that have it."""

    value: float
    rows: int
    share: float
    pure: float


@dataclass(frozen=True, eq=False)
class FeedSample:
    """The rows of a window with the smallest hashes, ascending. counts: copies of each; times: of its first row, in
    microseconds; values: shape (rows, columns), numbers as they are, levels as numbers of their own, nan where missing.
    """

    names: tuple[str, ...]
    rows: int
    hashes: Hashes
    counts: NDArray[np.int64]
    times: NDArray[np.int64]
    values: Floats

    @property
    def whole(self) -> bool:
        """Whether it holds every row."""
        return len(self.hashes) < MOST_SAMPLED

    def without_values(self) -> FeedSample:
        """What later windows are compared with."""
        return FeedSample((), self.rows, self.hashes, self.counts, self.times[:0], np.zeros((0, 0)))


def feed_sample(columns: Mapping[str, Any], times: NDArray[Any], bins: Sequence[ColumnBins]) -> FeedSample:
    """The sample of some rows. columns: a missing one counts as a constant; times: datetime64, shape (n,)."""
    rows = len(times)
    values = np.full((rows, len(bins)), np.nan)
    for k, column in enumerate(bins):
        if column.name in columns:
            values[:, k] = _as_values(column, columns[column.name])
    return _smallest(
        tuple(column.name for column in bins),
        rows,
        _hashes(values),
        np.ones(rows, np.int64),
        times.astype("datetime64[us]").astype(np.int64),
        values,
    )


def merge_samples(parts: Sequence[FeedSample]) -> FeedSample:
    """The sample of the rows of all parts; at least one."""
    hashes, counts, times = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("hashes", "counts", "times")
    )
    values = np.concatenate([part.values for part in parts])
    return _smallest(parts[0].names, sum(part.rows for part in parts), hashes, counts, times, values)


def _as_values(bins: ColumnBins, values: Any) -> Floats:
    if bins.kind == "number":
        return read_numbers(values)
    levels, places = read_levels(values)
    codes = [np.nan if level is None else float(crc32(level.encode("utf-8", "replace"))) for level in levels]
    return np.array(codes, np.float64)[places] if levels else np.zeros(0)


def _hashes(values: Floats) -> Hashes:
    """One number for each row, the same for equal rows (splitmix64: Steele, Lea, Flood 2014)."""
    mixed = np.full(len(values), 0x9E3779B97F4A7C15, np.uint64)
    for column in values.T:
        plain = np.where(np.isnan(column), np.nan, column + 0.0)  # one nan, one zero
        mixed = _mix(mixed ^ np.ascontiguousarray(plain).view(np.uint64))
    return mixed


def _mix(bits: Hashes) -> Hashes:
    bits = bits + np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def _smallest(
    names: tuple[str, ...],
    rows: int,
    hashes: Hashes,
    counts: NDArray[np.int64],
    times: NDArray[np.int64],
    values: Floats,
) -> FeedSample:
    order = np.lexsort((times, hashes))
    kept, first = np.unique(hashes[order], return_index=True)
    total = np.add.reduceat(counts[order], first) if len(first) else counts[:0]
    places = order[first][:MOST_SAMPLED]
    few = slice(None, MOST_SAMPLED)
    return FeedSample(names, rows, kept[few], total[few], times[places], values[places])


# --- what is usual ---


def feed_reference(
    samples: Sequence[FeedSample],
    rows: Sequence[int],
    bins: Sequence[ColumnBins],
    ranges: Sequence[tuple[float | None, float | None]],
) -> FeedReference | None:
    """What the reference's windows did, in order of time. None without any.

    rows: of all its windows but the pieces at both ends. ranges: smallest and largest number of each column.
    """
    usable = [sample for sample in samples if sample.rows >= FEWEST_ROWS]
    if not usable:
        return None
    copies = [_copies(sample, usable[max(k - BEFORE, 0) : k]) for k, sample in enumerate(usable)]
    columns = []
    for k, (column, (low, high)) in enumerate(zip(bins, ranges, strict=True)):
        runs = [_runs(sample, k) for sample in usable]
        # of few values one may stand for long: a season, a holiday, clear skies
        stuck = 1.0 if column.points else max((run.share for run, _ in runs if run is not None), default=0.0)
        missing = max((run.share for _, run in runs if run is not None), default=0.0)
        apart = (
            None if low is None or high is None else (high - low) * (APART_OF_FEW if column.points else APART)
        )
        columns.append(FeedColumn(column.name, low, high, apart, stuck, missing))
    return FeedReference(
        tuple(rows), max(copies), float(np.median([one.rows for one in usable])), tuple(columns)
    )


# --- a window ---


def feed_faults(
    reference: FeedReference | None,
    sample: FeedSample,
    *,
    arrived: int,
    arrived_before: Sequence[int],
    before: Sequence[FeedSample],
) -> tuple[DataFault, ...]:
    """What is broken about the rows of a window as a whole.

    arrived: rows of any version. arrived_before, before: of the windows of this service before it, in order of time.
    """
    if reference is None:
        return ()
    found = [_no_rows(reference, arrived, arrived_before)]
    if sample.rows >= FEWEST_ROWS:
        found.append(_repeated(reference, sample, before))
    return tuple(fault for fault in found if fault is not None)


def column_faults(reference: FeedReference | None, sample: FeedSample) -> tuple[DataFault, ...]:
    """The columns that stood still or were gone for a part of the window, or hold what is impossible."""
    if reference is None or sample.rows < FEWEST_ROWS:
        return ()
    places = {name: place for place, name in enumerate(sample.names)}
    known = (column for column in reference.columns if column.name in places)
    found = (_column_fault(column, sample, places[column.name]) for column in known)
    return tuple(fault for fault in found if fault is not None)


def _no_rows(reference: FeedReference, arrived: int, before: Sequence[int]) -> DataFault | None:
    if len(reference.rows) < FEWEST_WINDOWS:
        return None
    fewest = min(reference.rows)
    gaps = [count for count in before if count < OF_USUAL * fewest]
    if fewest < LEAST_USUAL or (
        len(gaps) > max(USUAL_GAPS * len(before), 2) and len(before) > 2 * FEWEST_WINDOWS
    ):
        return None
    if arrived >= OF_USUAL * fewest:
        return None
    came = f"only {arrived:,} rows" if arrived else "no row"
    return DataFault(ALL, "rows absent", f"{came} came; no window of the reference had fewer than {fewest:,}")


def _repeated(reference: FeedReference, sample: FeedSample, before: Sequence[FeedSample]) -> DataFault | None:
    usual = reference.copies * max(1.0, sample.rows / reference.of_rows)
    if usual > USUAL_COPIES:
        return None
    share = _copies(sample, before[-BEFORE:])
    if share < max(LEAST_COPIES, MORE_COPIES * usual):
        return None
    evidence = f"{share:.0%} of rows are copies of others in this window or the {BEFORE} before; usual are {usual:.1%}"
    return DataFault(ALL, "rows repeated", evidence)


def _copies(sample: FeedSample, before: Sequence[FeedSample]) -> float:
    """Share of the rows that are in the windows before, or further copies of a row of this one."""
    bound = min((one.hashes[-1] for one in (sample, *before) if not one.whole), default=None)
    mine = sample.hashes if bound is None else sample.hashes[sample.hashes <= bound]
    if not len(mine):
        return 0.0
    counts = sample.counts[: len(mine)]
    known = np.zeros(len(mine), bool)
    for one in before:
        known |= np.isin(mine, one.hashes)
    again = np.where(known, counts, counts - 1)
    return float(again.sum() / counts.sum())


def _column_fault(column: FeedColumn, sample: FeedSample, place: int) -> DataFault | None:
    stuck, missing = _runs(sample, place)
    if missing is not None and missing.share >= max(MISSING_RUN, RUN_MORE * column.missing):
        evidence = f"{missing.share:.0%} of rows, all in one stretch of time; usual are {column.missing:.1%}"
        return DataFault(column.name, "missing for a while", evidence)
    if stuck is not None and stuck.share >= max(RUN_SHARE, RUN_MORE * column.stuck):
        evidence = f"{stuck.share:.0%} of rows, one after the other, have the same value; usual are {column.stuck:.1%}"
        return DataFault(column.name, "stuck for a while", evidence)
    return _impossible(column, sample.values[:, place])


def _runs(sample: FeedSample, place: int) -> tuple[Run | None, Run | None]:
    """The most frequent value of a column and its missing values, each where it stands still in time."""
    values = sample.values[np.argsort(sample.times, kind="stable"), place]
    missing = np.isnan(values)
    found = _run(np.nan, missing)
    numbers, counts = np.unique(values[~missing], return_counts=True)
    stuck = None
    if len(numbers) and counts.max() >= RUN_ROWS:
        value = float(numbers[np.argmax(counts)])
        stuck = _run(value, values == value)
    return stuck, found


def _run(value: float, same: NDArray[np.bool_]) -> Run | None:
    """The longest stretch in which nearly all rows are the same; None where it is short."""
    places = np.flatnonzero(same)
    if len(places) < RUN_ROWS:
        return None
    # as a walk that gains in the stretch and loses outside of it: its largest rise is the stretch
    steps = np.where(same, 1 - RUN_PURE, -RUN_PURE)
    walk = np.concatenate([[0.0], np.cumsum(steps)])
    low = np.minimum.accumulate(walk)
    end = int(np.argmax(walk - low))
    start = int(np.argmin(walk[: end + 1]))
    rows = int(same[start:end].sum())
    if rows < RUN_ROWS:
        return None
    return Run(value, rows, rows / len(same), rows / (end - start))


def _impossible(column: FeedColumn, values: Floats) -> DataFault | None:
    """One and the same value, far from all that was seen: a mark for "unknown", such as -999."""
    if column.low is None or column.high is None or not column.apart:
        return None
    finite = values[np.isfinite(values)]
    outside = finite[(finite < column.low - column.apart) | (finite > column.high + column.apart)]
    # a column that counts on, such as the number of a day, is outside as a whole
    if 2 * len(outside) > len(finite):
        return None
    if len(outside) < max(OUTSIDE_ROWS, OUTSIDE_SHARE * len(values)):
        return None
    numbers, counts = np.unique(outside, return_counts=True)
    most = int(np.argmax(counts))
    if counts[most] < 0.9 * len(outside):
        return None
    share = f"{counts[most] / len(values):.1%}"
    evidence = f"{numbers[most]:g} in {share} of rows; seen were {column.low:g} to {column.high:g}"
    return DataFault(column.name, "impossible values", evidence)
