"""When a cron line is due next; in UTC."""

from __future__ import annotations

from datetime import datetime, timedelta

_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_DAYS = 366 * 8 + 1  # after which a line that was never due never is: 29 February


def next_after(line: str, moment: datetime) -> datetime | None:
    """The first minute after a moment at which a cron line is due; None where it never is, on 30 February.

    line: five fields, as `schedule.monitor` is checked. Where both a day of the month and a weekday are written, one of
    them is enough, as cron has it.

    >>> from datetime import UTC
    >>> next_after("5 * * * *", datetime(2024, 2, 29, 10, 5, 1, tzinfo=UTC)).isoformat()
    '2024-02-29T11:05:00+00:00'
    >>> next_after("0 3 * * 1", datetime(2024, 2, 29, tzinfo=UTC)).isoformat()
    '2024-03-04T03:00:00+00:00'
    """
    written = line.split()
    minutes, hours, days, months, weekdays = (
        _values(text, *limits) for text, limits in zip(written, _RANGES, strict=True)
    )
    weekdays = {day % 7 for day in weekdays}  # 7 is Sunday, as 0 is
    either = not written[2].startswith("*") and not written[4].startswith("*")
    first = moment.replace(second=0, microsecond=0) + timedelta(minutes=1)
    times = [(hour, minute) for hour in sorted(hours) for minute in sorted(minutes)]
    for number in range(_DAYS):
        day = first.replace(hour=0, minute=0) + timedelta(days=number)
        on = (day.day in days, day.isoweekday() % 7 in weekdays)
        if day.month in months and (any(on) if either else all(on)):
            for hour, minute in times:
                due = day.replace(hour=hour, minute=minute)
                if due >= first:
                    return due
    return None


def _values(text: str, least: int, most: int) -> set[int]:
    """The numbers that a field names.

    >>> sorted(_values("1-3,10/20", 0, 59)), sorted(_values("*/20", 0, 59))
    ([1, 2, 3, 10, 30, 50], [0, 20, 40])
    """
    found: set[int] = set()
    for part in text.split(","):
        reach, _, step = part.partition("/")
        first, _, last = reach.partition("-")
        if first == "*":
            begin, end = least, most
        else:
            begin = int(first)
            end = int(last) if last else most if step else begin
        found |= set(range(begin, end + 1, int(step or 1)))
    return found
