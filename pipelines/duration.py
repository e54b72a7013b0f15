"""Durations as people write them: "7d", "12h", "30 min"."""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS = {
    "s": timedelta(seconds=1),
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_NAMES = {
    "s": ("s", "sec", "second", "seconds"),
    "min": ("min", "minute", "minutes"),
    "h": ("h", "hour", "hours"),
    "d": ("d", "day", "days"),
    "w": ("w", "week", "weeks"),
}
_UNIT_OF_NAME = {name: unit for unit, names in _NAMES.items() for name in names}
_FORM = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", re.ASCII)


def parse_duration(text: str) -> timedelta:
    """The duration that a number and a unit name; ValueError for anything else.

    Units: s, min, h, d, w, or their names in full. "0" needs no unit.

    >>> parse_duration("7d")
    datetime.timedelta(days=7)
    >>> parse_duration("30 min")
    datetime.timedelta(seconds=1800)
    """
    if text.strip() == "0":
        return timedelta(0)
    match = _FORM.fullmatch(text.lower())
    unit = _UNIT_OF_NAME.get(match[2]) if match else None
    if match is None or unit is None:
        raise ValueError('not a duration. Write a number and a unit, e.g. "7d", "12h" or "30 min"')
    try:
        return float(match[1]) * _UNITS[unit]
    except OverflowError:
        raise ValueError('a duration longer than time itself. Write e.g. "7d"') from None


def write_duration(duration: timedelta) -> str:
    """The shortest text that `parse_duration` reads back as the same duration.

    >>> write_duration(timedelta(days=7)), write_duration(timedelta(minutes=90)), write_duration(timedelta(0))
    ('1w', '90min', '0')
    """
    if not duration:
        return "0"
    for unit in ("w", "d", "h", "min", "s"):
        if duration % _UNITS[unit] == timedelta(0):
            return f"{duration // _UNITS[unit]}{unit}"
    return f"{duration.total_seconds():.6f}s"


def seconds_in_words(seconds: float) -> str:
    """How long something took or will take, as people say it.

    >>> [seconds_in_words(each) for each in (0.0123, 7.24, 89.6, 754, 9000)]
    ['0.012 s', '7.2 s', '90 s', '12 min 34 s', '2 h 30 min']
    """
    if seconds < 100:
        return f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, left = divmod(minutes, 60)
    return f"{hours} h {left} min" if hours else f"{minutes} min {rest} s"
