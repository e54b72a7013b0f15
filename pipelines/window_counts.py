"""The columns of every judged window as counts, kept beside the log so that no report reads a row twice.

They are what a profile counts, cell by cell, and follow from the log: the file may be removed at any time, and what
it lacks is counted again. Rows that have left the log stay counted.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from monitoring.bins import ColumnBins
from monitoring.profile import ColumnProfile, Profile, merge, profile
from pipelines.bundle import BrokenBundle
from pipelines.moments import numpy_moment
from pipelines.service import bundle_of, known_levels, reference_of
from pipelines.watched_columns import watched_columns

if TYPE_CHECKING:
    from pipelines.stores import Stores

logger = logging.getLogger(__name__)

Array = npt.NDArray[Any]
FILE = "window-counts.db"  # in a project's state
_TABLE = (
    "create table if not exists counts (number integer, since text, bins text, rows integer, counts blob, "
    "primary key (number, since, bins))"
)


@dataclass(frozen=True)
class CountedWindow:
    """Which rows of a window a verdict was about: of `version`, from `since` on, known when it was `due`."""

    number: int
    start: datetime
    end: datetime
    version: int
    since: datetime
    due: datetime


@dataclass(frozen=True, eq=False)
class WindowCells:
    """Rows of a window as counts. counts: the cells of all columns one after another, int64; of each column those of
    its bins, then missing, then invalid values.
    """

    rows: int
    counts: Array
    bins: tuple[ColumnBins, ...]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, WindowCells):
            return NotImplemented
        same = (self.rows, self.bins) == (other.rows, other.bins)
        return same and bool(np.array_equal(self.counts, other.counts))

    def profile(self) -> Profile:
        """As a profile of cells only: no sums, no extremes, no levels that the reference does not know."""
        columns, place = [], 0
        for one in self.bins:
            cells = self.counts[place : place + cells_of_column(one)].tolist()
            columns.append(ColumnProfile(one, tuple(cells[:-1]), invalid=cells[-1]))
            place += len(cells)
        return Profile(self.rows, tuple(columns))


def cells_of(counted: Profile) -> WindowCells:
    """The cells of a profile."""
    counts = [count for column in counted.columns for count in (*column.counts, column.invalid)]
    return WindowCells(counted.rows, np.array(counts, np.int64), counted.bins)


def cells_of_column(bins: ColumnBins) -> int:
    """How many counts a column has: its cells, missing and invalid values."""
    return bins.cells + 2


def window_counts(stores: Stores, windows: Sequence[CountedWindow]) -> dict[int, WindowCells]:
    """The counts of windows by their numbers, into the bins of each one's version; what is not kept yet is counted.

    windows: in order of time. A version whose files cannot be read has no windows here.
    """
    found: dict[int, WindowCells] = {}
    for version, group in groupby(windows, key=lambda window: window.version):
        bins = _bins(stores, version)
        if bins is not None:
            found |= _of_version(stores, list(group), bins)
    return found


def _bins(stores: Stores, version: int) -> tuple[ColumnBins, ...] | None:
    try:
        return reference_of(stores, version).profile.bins
    except (BrokenBundle, OSError, KeyError, ValueError) as error:
        logger.warning("version %d: its inputs cannot be shown: %s", version, error)
        return None


def _of_version(
    stores: Stores, windows: Sequence[CountedWindow], bins: tuple[ColumnBins, ...]
) -> dict[int, WindowCells]:
    path, name = stores.project.state / FILE, _fingerprint(bins)
    kept = {window.number: counts for window, counts in _kept(path, windows, name, bins)}
    for _, stretch in groupby(
        (window for window in windows if window.number not in kept), key=lambda window: window.since
    ):
        counted = dict(_counted(stores, list(stretch), bins))
        kept |= counted
        _keep(path, [window for window in windows if window.number in counted], name, counted)
    return kept


# --- counting ---


def _counted(
    stores: Stores, windows: Sequence[CountedWindow], bins: tuple[ColumnBins, ...]
) -> Iterator[tuple[int, WindowCells]]:
    """Windows of one service, in order of time, counted part by part; what became known later is left aside.

    Rows come in order of time, so that only the windows of one part are open at once.
    """
    nothing, whole, done = profile({one.name: [] for one in bins}, bins), dict[int, Profile](), 0
    starts = np.array([numpy_moment(window.start) for window in windows])
    ends = np.array([numpy_moment(window.end) for window in windows])
    dues = np.array([numpy_moment(window.due) for window in windows])
    version, since = windows[0].version, numpy_moment(windows[0].since)
    schema = bundle_of(stores, version).schema
    parts = stores.log.parts(
        windows[0].start,
        windows[-1].end,
        known_until=max(window.due for window in windows),
        columns=schema.column_names,
        levels=known_levels(stores, version),
    )
    for rows in parts:
        place = np.searchsorted(starts, rows.times, side="right") - 1
        inside = (place >= 0) & (rows.times < ends[place]) & (rows.known_at <= dues[place])
        inside &= (rows.versions == version) & (rows.times >= since)
        for one in np.unique(place[inside]):
            chosen = np.flatnonzero(inside & (place == one))
            columns = {name: column[chosen] for name, column in rows.columns.items()}
            part = profile(watched_columns(schema, columns, rows.times[chosen]), bins)
            whole[int(one)] = merge(whole.get(int(one), nothing), part)
        while done < max(whole, default=0):
            yield windows[done].number, cells_of(whole.pop(done, nothing))
            done += 1
    for last in range(done, len(windows)):
        yield windows[last].number, cells_of(whole.get(last, nothing))


# --- keeping ---


def _fingerprint(bins: tuple[ColumnBins, ...]) -> str:
    return hashlib.sha256(repr(bins).encode("utf-8", "backslashreplace")).hexdigest()[:32]


def _kept(
    path: Path, windows: Sequence[CountedWindow], name: str, bins: tuple[ColumnBins, ...]
) -> Iterator[tuple[CountedWindow, WindowCells]]:
    if not path.is_file():
        return
    size = sum(map(cells_of_column, bins))
    try:
        with closing(sqlite3.connect(path, timeout=10)) as file:
            query = "select number, since, rows, counts from counts where bins = ?"
            rows = {(number, since): (n, blob) for number, since, n, blob in file.execute(query, (name,))}
    except sqlite3.DatabaseError as error:
        logger.warning("%s cannot be read and is made anew: %s", path, error)
        path.unlink(missing_ok=True)
        return
    for window in windows:
        number, blob = rows.get((window.number, window.since.isoformat()), (0, None))
        counts = _unpacked(blob)
        if counts is not None and len(counts) == size:
            yield window, WindowCells(number, counts, bins)


def _unpacked(blob: bytes | None) -> Array | None:
    try:
        return None if blob is None else np.frombuffer(zlib.decompress(blob), "<i8")
    except (zlib.error, ValueError):
        return None


def _keep(
    path: Path, windows: Sequence[CountedWindow], name: str, counted: Mapping[int, WindowCells]
) -> None:
    """Writes counts down; where that cannot be done they are counted again by the next report."""
    rows = [
        (
            window.number,
            window.since.isoformat(),
            name,
            counted[window.number].rows,
            zlib.compress(counted[window.number].counts.astype("<i8").tobytes(), 1),
        )
        for window in windows
    ]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=10)) as file, file:
            file.execute(_TABLE)
            file.executemany("insert or replace into counts values (?, ?, ?, ?, ?)", rows)
    except (sqlite3.Error, OSError) as error:
        logger.warning("%s cannot be written: %s", path, error)
