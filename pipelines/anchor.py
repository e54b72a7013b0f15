"""Where windows are counted from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from monitoring.window import WindowLength


def floor_to(moment: datetime, length: WindowLength) -> datetime:
    """The last full hour, day or first of a month before a moment; weeks begin on a full day.

    >>> floor_to(datetime(2013, 3, 14, 9, 30, tzinfo=UTC), WindowLength(1, "week"))
    datetime.datetime(2013, 3, 14, 0, 0, tzinfo=datetime.timezone.utc)
    """
    utc = moment.astimezone(UTC).replace(second=0, microsecond=0)
    if length.unit == "minute":
        return utc
    utc = utc.replace(minute=0)
    if length.unit == "hour":
        return utc
    utc = utc.replace(hour=0)
    return utc.replace(day=1) if length.unit == "month" else utc


def ceil_to(moment: datetime, length: WindowLength) -> datetime:
    """The first such moment that is not before this one.

    >>> ceil_to(datetime(2013, 3, 14, 9, 30, tzinfo=UTC), WindowLength(1, "month")).isoformat()
    '2013-04-01T00:00:00+00:00'
    """
    floor = floor_to(moment, length)
    if floor == moment.astimezone(UTC):
        return floor
    step = WindowLength(1, length.unit if length.unit != "week" else "day")
    return max(step.after(floor, 1), floor + timedelta(minutes=1))
