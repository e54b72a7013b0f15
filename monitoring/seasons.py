"""Calendar terms: what the hour, the weekday and the time of the year explain of a series of windows.

A term is used only where the reference covers its period twice: of a season seen once nobody can tell it from a change.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitoring.window import Window

Floats = npt.NDArray[np.float64]

DAY, WEEK, YEAR = 1.0, 7.0, 365.2425  # days
MOST_HARMONICS = 3  # of a day; a curve with three humps
YEARLY_HARMONICS = 2
WINDOWS_PER_TERM = 2  # of a reference at least; with fewer a term follows the noise


@dataclass(frozen=True)
class Seasons:
    """Which calendar terms describe windows. daily, yearly: harmonics; weekly: a term for each weekday but one.

    >>> Seasons(daily=1, weekly=True).count
    8
    """

    daily: int = 0
    weekly: bool = False
    yearly: int = 0

    @property
    def count(self) -> int:
        return 2 * self.daily + 6 * self.weekly + 2 * self.yearly

    def terms(self, windows: Sequence[Window]) -> Floats:
        """The terms of each window, at its middle: shape (windows, count), each between -1 and 1."""
        return self.terms_at(middles(windows))

    def terms_at(self, middle: Floats) -> Floats:
        """The terms at these moments, in days since 1970 in UTC: shape (moments, count)."""
        parts = [_harmonics(middle, DAY, self.daily)]
        if self.weekly:
            parts.append(_weekdays(middle))
        parts.append(_harmonics(middle, YEAR, self.yearly))
        return np.concatenate(parts, axis=1)


def seasons_of(windows: Sequence[Window]) -> Seasons:
    """The terms that these windows of a reference, in the order of time, can teach.

    >>> from datetime import UTC, datetime, timedelta
    >>> begin, hour = datetime(2024, 1, 1, tzinfo=UTC), timedelta(hours=1)
    >>> seasons_of([Window(begin + k * hour, begin + (k + 1) * hour) for k in range(72)])
    Seasons(daily=3, weekly=False, yearly=0)
    """
    if not windows:
        return Seasons()
    length = float(np.median([_days((one.end - one.start).total_seconds()) for one in windows]))
    return seasons_at(middles(windows), length)


def seasons_at(middle: Floats, length: float) -> Seasons:
    """The same for windows of this length in days, by their middles in days since 1970 in UTC, ascending."""
    if not len(middle):
        return Seasons()
    covered = float(middle[-1] - middle[0]) + length
    left = len(middle) // WINDOWS_PER_TERM - 1
    daily = min(MOST_HARMONICS, math.floor(DAY / length / 2), left // 2) if covered >= 2 * DAY else 0
    left -= 2 * daily
    weekly = length < WEEK and covered >= 2 * WEEK and left >= 6
    left -= 6 * weekly
    yearly = YEARLY_HARMONICS if covered >= 2 * YEAR and left >= 2 * YEARLY_HARMONICS else 0
    return Seasons(daily, weekly, yearly)


def middles(windows: Sequence[Window]) -> Floats:
    """The middle of each window, in days since 1970 in UTC."""
    return np.array([_days((one.start.timestamp() + one.end.timestamp()) / 2) for one in windows])


def _days(seconds: float) -> float:
    return seconds / 86_400


def _harmonics(days: Floats, period: float, count: int) -> Floats:
    angles = 2 * np.pi * np.outer(days / period, np.arange(1, count + 1))
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


def _weekdays(days: Floats) -> Floats:
    """Six columns, one for each weekday but the first; 1970-01-01 was a Thursday."""
    weekday = (np.floor(days).astype(np.int64) + 3) % 7
    return np.asarray(weekday[:, None] == np.arange(1, 7), dtype=np.float64)
