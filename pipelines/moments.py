"""Moments in UTC, between Python, numpy and whole microseconds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import numpy as np

from pipelines.plain_columns import Array, moments


def aware(moment: datetime) -> datetime:
    """The moment, in UTC; `ValueError` where it has no zone."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone; use datetime(..., tzinfo=UTC)")
    return moment.astimezone(UTC)


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970 of an aware moment.

    >>> microseconds(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))
    1000000
    """
    since = aware(moment) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def moment_of(time: Any) -> datetime:
    """A numpy moment as an aware one."""
    return cast(datetime, np.datetime64(time, "us").astype(object)).replace(tzinfo=UTC)


def numpy_moment(moment: datetime) -> np.datetime64:
    """An aware moment as a numpy one, in UTC.

    >>> numpy_moment(datetime(2013, 3, 1, tzinfo=UTC))
    np.datetime64('2013-03-01T00:00:00.000000')
    """
    return np.datetime64(aware(moment).replace(tzinfo=None), "us")


def utc(times: Any) -> Array:
    """Moments of any kind as datetime64[us] in UTC; `ValueError` where one is missing."""
    found = moments(times)
    if np.isnat(found).any():
        raise ValueError(f"{int(np.isnat(found).sum())} of {len(found)} times are missing or no moments")
    return found
