"""How many of the rows of each day have a label, as the report shows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from monitoring.label_delay import silence
from pipelines.moments import numpy_moment

if TYPE_CHECKING:
    from pipelines.log import LabelTimes, Log

DAYS = 1500  # of rows that are looked at
USUAL = 90  # of them say whether labels have stopped


@dataclass(frozen=True)
class LabelDay:
    """The rows of a day, and how many of them have a label by now. day: "2013-03-04"."""

    day: str
    rows: int
    labelled: int


@dataclass(frozen=True)
class Coverage:
    """By day, days without rows left out; silence: how long hardly a label has come, in words, where they stopped."""

    days: tuple[LabelDay, ...]
    silence: str | None


def read_coverage(log: Log, now: datetime) -> Coverage:
    """How the labels of the last days came, as it is known now."""
    rows = log.label_times(now - timedelta(days=DAYS), now, now)
    return Coverage(by_day(rows), _silence(rows, now))


def by_day(rows: LabelTimes) -> tuple[LabelDay, ...]:
    """The days of n rows, the oldest first."""
    days, place = np.unique(rows.times.astype("datetime64[D]"), return_inverse=True)
    known = ~np.isnat(rows.first_known)
    counts = np.bincount(place, minlength=len(days))
    labelled = np.bincount(place, known, minlength=len(days))
    return tuple(
        LabelDay(str(day), int(count), int(with_label))
        for day, count, with_label in zip(days, counts, labelled, strict=True)
    )


def _silence(rows: LabelTimes, now: datetime) -> str | None:
    day: Any = np.timedelta64(1, "D")
    recent = rows.times >= numpy_moment(now - timedelta(days=USUAL))
    ages = np.maximum((numpy_moment(now) - rows.times[recent]) / day, 0.0)
    labelled = -((numpy_moment(now) - rows.first_known[recent]) / day)
    found = silence(-ages, labelled, 0.0)
    return str(found) if found is not None and found.stopped else None
