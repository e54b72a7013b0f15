"""A moment as people write it: "2013-03-01" or "2013-03-01T06:00:00+02:00"."""

from __future__ import annotations

from datetime import UTC, date, datetime, time


def parse_moment(text: str) -> datetime:
    """The moment in UTC, one without a zone taken as UTC; ValueError for anything else.

    >>> parse_moment("2013-03-01T06:00+02:00").isoformat()
    '2013-03-01T04:00:00+00:00'
    """
    try:
        return to_utc(datetime.fromisoformat(text.strip()))
    except ValueError:
        raise ValueError("not a date. Write e.g. 2013-03-01 or 2013-03-01T06:00:00") from None


def to_utc(moment: date) -> datetime:
    """A date or time as a moment in UTC; ValueError where the zone leads out of the calendar."""
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time())
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:
        raise ValueError("a date outside the calendar. Write e.g. 2013-03-01") from None
