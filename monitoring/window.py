"""Windows of time: the rows that are judged together.

A window is half-open, `start <= time < end`, and in UTC; a time without a zone is taken as UTC. Windows
follow each other without a gap, so a time in which nothing arrived is an empty window and not a missing one.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Unit = Literal["minute", "hour", "day", "week", "month"]
Times = Any  # numpy datetime64, a pandas Series or DatetimeIndex, or a sequence of datetimes

FEWEST_ROWS = 500  # a mean loss over 500 rows is known to about 5 % for common losses
MOST_WINDOWS = 1_000_000  # more of them is a wrong time among the rows, not a wish

_SPELLINGS: dict[str, Unit] = {
    "min": "minute", "minute": "minute", "minutes": "minute",
    "h": "hour", "hour": "hour", "hours": "hour",
    "d": "day", "day": "day", "days": "day",
    "w": "week", "week": "week", "weeks": "week",
    "mo": "month", "month": "month", "months": "month",
}  # fmt: skip
_FIXED: dict[str, timedelta] = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}


@dataclass(frozen=True)
class Window:
    """A stretch of time, `start <= time < end`, both in UTC.

    >>> window = Window(datetime(2013, 3, 1, tzinfo=UTC), datetime(2013, 3, 8, tzinfo=UTC))
    >>> str(window)
    '2013-03-01T00:00:00+00:00 to 2013-03-08T00:00:00+00:00'
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        for name, time in (("start", self.start), ("end", self.end)):
            if time.tzinfo is None:
                raise ValueError(f"window {name} {time} has no time zone; give it in UTC")
        if not self.start < self.end:
            raise ValueError(f"window from {self.start} to {self.end} is empty; the end must be later")

    def __str__(self) -> str:
        return f"{self.start.isoformat()} to {self.end.isoformat()}"

    @property
    def days(self) -> float:
        """Its start in days since 1970."""
        return self.start.timestamp() / 86_400

    def __contains__(self, time: datetime) -> bool:
        return self.start <= time < self.end


@dataclass(frozen=True)
class WindowLength:
    """How long a window is: a number of minutes, hours, days, weeks or calendar months.

    >>> WindowLength.parse("7d")
    WindowLength(count=7, unit='day')
    >>> str(WindowLength.parse("week")), str(WindowLength.parse("12h"))
    ('week', '12 hours')
    """

    count: int
    unit: Unit

    @classmethod
    def parse(cls, text: str) -> WindowLength:
        """Read "hour", "day", "week", "month", or a number and a unit such as "7d", "12h", "30min"."""
        match = re.fullmatch(r"\s*(\d{0,6})\s*([A-Za-z]+)\s*", text)
        unit = _SPELLINGS.get(match[2].lower()) if match else None
        if match is None or unit is None or match[1].strip("0") == "" != match[1]:
            raise ValueError(
                f"{text!r} is not the length of a window. Write hour, day, week, month, "
                'or a number and a unit, e.g. "7d", "12h", "30min".'
            )
        return cls(int(match[1] or 1), unit)

    def __str__(self) -> str:
        return self.unit if self.count == 1 else f"{self.count} {self.unit}s"

    def after(self, start: datetime, windows: int) -> datetime:
        """The time that many windows after `start`; months keep the day, or take the month's last.

        >>> WindowLength(1, "month").after(datetime(2013, 1, 31, tzinfo=UTC), 1).date()
        datetime.date(2013, 2, 28)
        """
        if self.unit != "month":
            return start + windows * self.count * _FIXED[self.unit]
        month = start.month - 1 + windows * self.count
        year, month = start.year + month // 12, month % 12 + 1
        return start.replace(year=year, month=month, day=min(start.day, calendar.monthrange(year, month)[1]))

    def windows_until(self, start: datetime, last: datetime) -> int:
        """How many windows from `start` it takes to hold the time `last`."""
        if last < start:
            return 0
        if self.unit != "month":
            return (last - start) // (self.count * _FIXED[self.unit]) + 1
        months = (last.year - start.year) * 12 + last.month - start.month
        count = months // self.count
        return count + 1 if last >= self.after(start, count) else count


def to_utc(times: Times) -> NDArray[np.datetime64]:
    """The same times as numpy datetime64 in microseconds of UTC; a missing time stays `NaT`.

    >>> to_utc(["2013-03-01T02:00+02:00"])
    array(['2013-03-01T00:00:00.000000'], dtype='datetime64[us]')
    """
    if isinstance(times, np.ndarray) and times.dtype.kind == "M":
        return times.astype("datetime64[us]")
    import pandas as pd

    series = pd.Series(times) if not isinstance(times, pd.Series | pd.Index) else times
    index: pd.DatetimeIndex = pd.DatetimeIndex(pd.to_datetime(series, utc=True))
    naive = index.tz_localize(None)
    return cast("NDArray[np.datetime64]", naive.to_numpy().astype("datetime64[us]"))


def cut(times: Times, start: datetime | np.datetime64, length: WindowLength | str) -> list[Window]:
    """Cut the time from `start` to the last row into windows, without gaps.

    Rows before `start` and rows without a time are left aside; a window without rows is in the list, for
    silence has to be seen too. Weeks begin where `start` does; months end on the calendar's own days.

    >>> [str(w.end.date()) for w in cut(["2013-03-01", "2013-04-20"], datetime(2013, 3, 1), "month")]
    ['2013-04-01', '2013-05-01']
    """
    length = WindowLength.parse(length) if isinstance(length, str) else length
    start = _aware(start)
    utc = to_utc(times)
    utc = utc[~np.isnat(utc)]
    if not len(utc):
        return []
    count = length.windows_until(start, _aware(utc.max().astype(datetime)))
    if count > MOST_WINDOWS:
        raise ValueError(
            f"{count:,} windows of one {length} between {start} and the last time, {utc.max()}: "
            "look for a wrong time among the rows, or choose longer windows"
        )
    bounds = [length.after(start, k) for k in range(count + 1)]
    return [Window(left, right) for left, right in pairwise(bounds)]


def locate(times: Times, windows: Sequence[Window]) -> NDArray[np.intp]:
    """The number of the window that holds each row, -1 for none; windows in order of time.

    times: shape (n,). Returns shape (n,).

    >>> windows = cut(["2013-03-01", "2013-03-20"], datetime(2013, 3, 1), "week")
    >>> locate(["2013-03-07", "2013-03-08", "2012-01-01"], windows)
    array([ 0,  1, -1])
    """
    utc = to_utc(times)
    starts = np.array([_numpy(window.start) for window in windows], dtype="datetime64[us]")
    ends = np.array([_numpy(window.end) for window in windows], dtype="datetime64[us]")
    if not len(starts):
        return np.full(len(utc), -1, dtype=np.intp)
    place = np.searchsorted(starts, utc, side="right") - 1
    inside = (place >= 0) & (utc < ends[place]) & ~np.isnat(utc)
    return np.where(inside, place, -1).astype(np.intp)


def rows_by_window(times: Times, windows: Sequence[Window]) -> list[NDArray[np.intp]]:
    """The row numbers of each window, in the rows' own order; one array a window.

    >>> windows = cut(["2013-03-01", "2013-03-20"], datetime(2013, 3, 1), "week")
    >>> [list(map(int, rows)) for rows in rows_by_window(["2013-03-08", "2013-03-01", "2013-03-09"], windows)]
    [[1], [0, 2], []]
    """
    place = locate(times, windows)
    order = np.argsort(place, kind="stable").astype(np.intp)
    first = np.searchsorted(place[order], np.arange(len(windows) + 1))
    return [order[first[k] : first[k + 1]] for k in range(len(windows))]


def default_window(times: Times) -> WindowLength:
    """The shortest of hour, day, week and month with at least 500 rows in the median window, else a month.

    >>> str(default_window(np.arange("2013-01-01", "2013-12-31", 600, dtype="datetime64[s]")))
    'week'
    """
    utc = to_utc(times)
    utc = utc[~np.isnat(utc)]
    if not len(utc):
        raise ValueError("no row has a time, so no window can be chosen; name the time column")
    shorter: tuple[Unit, ...] = ("hour", "day", "week")
    for unit in shorter:
        if _median_rows((utc - utc.min()) // np.timedelta64(_FIXED[unit])) >= FEWEST_ROWS:
            return WindowLength(1, unit)
    return WindowLength(1, "month")


def _median_rows(place: NDArray[np.int64]) -> float:
    """Median number of rows over the places 0 to max, the empty ones included."""
    counts = np.sort(np.unique(place, return_counts=True)[1])[::-1]
    places = int(place.max()) + 1
    middle = [(places - 1) // 2, places // 2]  # counted from the fullest; behind the last one stand the empty
    return float(np.mean([counts[k] if k < len(counts) else 0 for k in middle]))


def _aware(time: datetime | np.datetime64 | pd.Timestamp) -> datetime:
    """A Python datetime in UTC; without a zone it is taken as UTC."""
    if isinstance(time, np.datetime64):
        time = cast("datetime", time.astype("datetime64[us]").astype(datetime))
    time = time.to_pydatetime(warn=False) if hasattr(time, "to_pydatetime") else time
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _numpy(time: datetime) -> np.datetime64:
    return np.datetime64(_aware(time).replace(tzinfo=None), "us")
