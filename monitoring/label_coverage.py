"""Whether fewer rows get a label than before, though labels still come.

The share of rows with a label is compared with what the delays of the weeks before let expect of rows of these ages.
It has fallen where three things hold: so many labels are missing that it is no chance if they come one by one; three
in ten of those due are missing; and twice the share that was ever missing in the weeks before, for labels come in
batches, and a day before the batch many are missing every week.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitoring.label_delay import DUE, FEWEST_DAYS, HISTORY, LONGER

Array = npt.NDArray[np.float64]

BEFORE = 90  # days that say what is usual
LOOKED = 30  # days back to which the beginning of a fall is followed
LEAST_SHARE = 0.3  # of the labels due; less is what the correction for late labels is for
_DEVIATIONS = 6.0  # standard deviations of a Poisson count
_WEEK = 7
_MOST_WEEKS = 6  # of rows that are looked at together; with longer delays 90 days say too little


@dataclass(frozen=True)
class Coverage:
    """How many labels have come of the rows of some days, by a day. due: that were to be expected; came: that came.

    day: at whose beginning it is looked at, in days since 1970; days: of rows before it; most: the largest share of
    labels due that was missing in the weeks before; history, label_days: days of rows before, and those with a label.
    """

    day: int
    days: int
    due: float
    came: int
    most: float
    history: int
    label_days: int

    @property
    def missing(self) -> float:
        """The share of the labels due that has not come; `nan` where none was due."""
        return 1 - self.came / self.due if self.due else math.nan

    @property
    def fallen(self) -> bool:
        enough = self.history >= HISTORY and self.label_days >= FEWEST_DAYS
        absent = self.due - self.came
        shown = absent >= max(DUE, _DEVIATIONS * math.sqrt(self.due))
        return enough and shown and self.missing > max(LONGER * self.most, LEAST_SHARE)

    def __str__(self) -> str:
        return (
            f"{self.came:,} labels came of the rows of {self.days} days, while about {self.due:,.0f} were due: "
            f"{self.missing:.0%} are missing, and never more than {max(self.most, 0):.0%} were in the weeks before"
        )


@dataclass(frozen=True)
class _Counts:
    """Rows by the day on which they were scored, and labels by that day and how many days later they came."""

    first: int
    rows: Array
    labels: Array

    def until(self, day: int) -> tuple[Array, Array]:
        """The rows of the 90 days before a day, and their labels as they were known at its beginning."""
        last = day - self.first
        begin = max(last - BEFORE, 0)
        rows, labels = self.rows[begin:last], self.labels[begin:last]
        ages = np.arange(len(rows), 0, -1)  # whole days since
        return rows, np.where(np.arange(labels.shape[1]) < ages[:, None], labels, 0.0)


def coverages(scored: Array, labelled: Array, now: float) -> tuple[Coverage, ...]:
    """How labels cover the rows, at the beginning of each of the last 30 days, oldest first.

    scored, labelled: shape (n,), in days since 1970, the latter of the first label of a row or `nan`. Each day is
    looked at by what was known then, so its answer stays what it was.
    """
    today = math.floor(now)
    counts = _counts(scored, labelled, today)
    if counts is None:
        return ()
    days = range(max(today - LOOKED + 1, counts.first + 1), today + 1)
    found = (_coverage(counts, day) for day in days)
    return tuple(one for one in found if one is not None)


def fallen_since(found: tuple[Coverage, ...], *, before: bool = False) -> Coverage | None:
    """The day from which on coverage is too low until now; None where it is not.

    What has fallen stays so while three in ten labels are missing, for after some weeks a fall is among what is usual.
    before: whether it had fallen before the first of these days.
    """
    first = found[0] if before and found else None
    for one in found:
        if first is None and one.fallen:
            first = one
        elif first is not None and not one.missing > LEAST_SHARE:
            first = None
    return first


def _counts(scored: Array, labelled: Array, today: int) -> _Counts | None:
    days = np.floor(scored).astype(np.int64)
    chosen = (days >= today - BEFORE - LOOKED) & (days < today)
    if not chosen.any():
        return None
    days, came = days[chosen], np.maximum(labelled[chosen], scored[chosen])
    first, size = int(days.min()), today - int(days.min())
    rows = np.bincount(days - first, minlength=size).astype(float)
    known = ~np.isnan(came) & (came < today)
    place, lag = days[known] - first, np.floor(came[known]).astype(np.int64) - days[known]
    labels = np.bincount(place * size + lag, minlength=size * size).reshape(size, size).astype(float)
    return _Counts(first, rows, labels)


def _coverage(counts: _Counts, day: int) -> Coverage | None:
    rows, labels = counts.until(day)
    size = len(rows)
    weeks = math.ceil((_late(rows, labels) + _WEEK) / _WEEK)
    days = weeks * _WEEK
    if weeks > _MOST_WEEKS or size < 2 * days:
        return None
    shares = _shares(rows[:-days], labels[:-days], size)
    due, came = _due_and_come(rows, labels, shares, days)
    before = due[: size - 2 * days + 1]  # of days that ended before those that are judged began
    missing = 1 - came[: len(before)][before >= 1] / before[before >= 1]
    return Coverage(
        day=day,
        days=days,
        due=float(due[-1]),
        came=int(came[-1]),
        most=float(missing.max()) if len(missing) else 1.0,
        history=size - days,
        label_days=int(labels[:-days].any(axis=1).sum()),
    )


def _late(rows: Array, labels: Array) -> int:
    """Days within which nine in ten labels come, of those that come at all."""
    shares = _shares(rows, labels, len(rows))
    return int(np.searchsorted(shares, 0.9 * shares[-1])) if len(shares) else 0


def _shares(rows: Array, labels: Array, size: int) -> Array:
    """The share of rows with a label after so many whole days, by the Kaplan-Meier estimate; shape (size,).

    rows, labels: of days in their order, the last of them `size - len(rows)` days before the one that looks.
    """
    ages = size - np.arange(len(rows))
    lags = np.arange(labels.shape[1])
    seen = lags < ages[:, None]
    before = np.cumsum(labels, axis=1) - labels
    at_risk = np.where(seen, rows[:, None] - before, 0.0).sum(axis=0)
    hazard = np.where(seen, labels, 0.0).sum(axis=0) / np.maximum(at_risk, 1.0)
    return (1 - np.cumprod(1 - np.clip(hazard, 0, 1)))[:size]


def _due_and_come(rows: Array, labels: Array, shares: Array, days: int) -> tuple[Array, Array]:
    """Labels due, and come by then, of the rows of so many days before each day from the first that has as many.

    Shape (len(rows) - days + 1,), the last of them before the day that looks.
    """
    ages = np.arange(1, days + 1)  # whole days since a row, when it is looked at
    ends = np.arange(days, len(rows) + 1)
    come = np.cumsum(labels, axis=1)
    places = ends[:, None] - ages
    return (rows[places] * shares[ages - 1]).sum(axis=1), come[places, ages - 1].sum(axis=1)
