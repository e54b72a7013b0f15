"""When labels come: how many to expect by now, and whether their silence can be chance.

The share of rows that have a label so many days after they were scored is one minus the Kaplan-Meier estimate of the
time to a label, in which a row without one counts for as long as it has waited (Kaplan and Meier 1958; for counts that
are reported late: Kalbfleisch and Lawless, "Inference based on retrospective ascertainment", 1989). It levels off at
the usual coverage, for some rows never get a label.

Labels have stopped where two things hold. As many were due since the last one that their absence is no chance if they
come one by one; and the silence is twice as long as the longest one before, for most come in batches and pause at
weekends. With n pauses before, and pauses of an exponential distribution, the next is twice the longest of them with
probability 2 / ((n + 1) (n + 2)); with pauses that are alike, as those of batches by the clock are, it never is. Hours
of so few labels that all of them together are a hundredth of the labels end no pause: a trickle is silence, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

DUE = 14.0  # labels that were due: none came by chance once in a million silences (exp -14)
TRICKLE, OF_DUE = 0.01, 0.1  # shares of all labels, and of those due, that may come in a silence
LEAST = 0.25  # days; a shorter silence is a server that starts again
LONGER = 2.0  # times the longest pause before: a weekend with two holidays is not twice a weekend
HISTORY = 14.0  # days of labels before a silence can be judged: two weekends are among them
FEWEST_DAYS = 5  # on which labels came
# two long pauses that fill more of the time since the first of them are no outages but a new rhythm
RHYTHM = 0.5


@dataclass(frozen=True)
class DelayCurve:
    """The share of rows with a label within a delay. days: ascending, from 0; shares: from 0 to 1, ascending.

    rows, labelled: on how many it rests.
    """

    days: Array
    shares: Array
    rows: int
    labelled: int

    def within(self, days: Array) -> Array:
        """The share of rows that have a label so many days after they were scored; 0 before 0 days.

        >>> curve = delay_curve(np.array([1.0, 2.0, np.nan, np.nan]), np.array([5.0, 5.0, 5.0, 5.0]))
        >>> curve.within(np.array([0.5, 1.0, 9.0]))
        array([0.  , 0.25, 0.5 ])
        """
        place = np.searchsorted(self.days, days, side="right") - 1
        return np.where(place >= 0, self.shares[np.maximum(place, 0)], 0.0)

    @property
    def coverage(self) -> float:
        """The share of rows that get a label in the end; `nan` of no rows."""
        return float(self.shares[-1]) if self.rows else float("nan")

    def quantile(self, share: float) -> float:
        """Days within which this share of the labels comes that come at all; `nan` where none does."""
        if not self.labelled:
            return float("nan")
        return float(self.days[np.searchsorted(self.shares, share * self.shares[-1] * (1 - 1e-12))])

    def still_expected(self, ages: Array) -> Array:
        """How many labels are to be expected of each row without one that was scored so many days ago, from 0 to 1."""
        if not self.rows:
            return np.full(len(ages), np.nan)
        within = self.within(ages)
        return np.where(within < 1, (self.coverage - within) / np.maximum(1 - within, 1e-12), 0.0)


def delay_curve(delays: Array, ages: Array) -> DelayCurve:
    """When labels come. delays: days until the first label of each row, `nan` where it has none; ages: days since it.

    Both of shape (n,), from 0 on. A row without a label says that it took longer than its age.
    """
    known = ~np.isnan(delays)
    waited = np.where(known, delays, ages)
    days, place = np.unique(waited, return_inverse=True)
    ended = np.bincount(place, known, minlength=len(days))
    left = np.bincount(place, minlength=len(days))
    at_risk = len(waited) - np.concatenate([[0], np.cumsum(left)[:-1]]) if len(days) else np.zeros(0)
    waiting = np.cumprod(1 - ended / at_risk)
    happened = ended > 0
    return DelayCurve(
        np.concatenate([[0.0], days[happened]]),
        np.concatenate([[0.0], 1 - waiting[happened]]),
        len(waited),
        int(known.sum()),
    )


def curve_at(scored: Array, labelled: Array, moment: float) -> DelayCurve:
    """When labels came until a moment. scored, labelled: as for `silence`."""
    before = scored <= moment
    delays = np.where(labelled <= moment, np.maximum(labelled - scored, 0.0), np.nan)
    return delay_curve(delays[before], moment - scored[before])


@dataclass(frozen=True)
class Silence:
    """How long hardly a label has come. since, days: of the last one before, and from it until now; due, came: labels
    that were to be expected meanwhile, and that came; longest: of the pauses before, in days; history, label_days: days
    of labels, and those with any.
    """

    since: float
    days: float
    due: float
    came: int
    longest: float
    history: float
    label_days: int

    @property
    def stopped(self) -> bool:
        enough = self.history >= HISTORY and self.label_days >= FEWEST_DAYS
        missed = self.due >= DUE + 4 * self.came and self.came <= OF_DUE * self.due
        return enough and missed and self.days > max(LONGER * self.longest, LEAST)

    def __str__(self) -> str:
        only = f"only {self.came:,} label{'s' * (self.came > 1)}" if self.came else "no label"
        return (
            f"{only} for {_long(self.days)}, while about {self.due:,.0f} were due; the longest pause before was "
            f"{_long(self.longest)}"
        )


def _long(days: float) -> str:
    """
    >>> _long(0.5), _long(3.26)
    ('12 hours', '3.3 days')
    """
    return f"{days:.1f} days" if days >= 2 else f"{24 * days:.0f} hours"


def silence(scored: Array, labelled: Array, now: float) -> Silence | None:
    """How long hardly a label has come, of rows that were scored at some times; None where none ever came.

    scored, labelled: shape (n,), in days on one clock, the latter of the first label of a row or `nan`. Labels of a row
    that come before it count from the row.
    """
    came = np.sort(np.maximum(labelled, scored)[~np.isnan(labelled)])
    came = came[came <= now]
    if not len(came):
        return None
    moments = np.unique(substantial(came))
    last = float(moments[-1])
    curve = curve_at(scored, labelled, last)
    rows = scored[scored <= now]
    due = float((curve.within(now - rows) - curve.within(last - rows)).sum())
    return Silence(
        since=last,
        days=now - last,
        due=due,
        came=int((came > last).sum()),
        longest=longest_pause(moments),
        history=last - float(moments[0]),
        label_days=len(np.unique(np.floor(moments))),
    )


def substantial(moments: Array) -> Array:
    """The labels of hours that are no trickle. moments: when labels came, in days, ascending.

    Hours of one label, of two and so on are left out, for as long as all that are left out are few.

    >>> moments = np.concatenate([np.full(300, 0.9), np.full(300, 1.9), [2.5], [2.7]])
    >>> substantial(moments).max()
    np.float64(1.9)
    """
    _, place, counts = np.unique(np.floor(24 * moments), return_inverse=True, return_counts=True)
    sizes, hours = np.unique(counts, return_counts=True)
    few = sizes[np.cumsum(sizes * hours) <= TRICKLE * len(moments)]
    return moments[~np.isin(counts[place], few)]


def longest_pause(moments: Array) -> float:
    """The longest pause between labels that was none of an outage, in days. moments: when labels came, ascending.

    A pause of more than twice the longest before it is an outage and does not count; unless such pauses fill most of
    the time from the first of them on: then labels come in a new rhythm.

    >>> longest_pause(np.array([*range(21), 30.0, 31.0])), longest_pause(np.array([*range(21), 27.0, 34.0]))
    (1.0, 7.0)
    """
    longest, begun = 0.0, 0.0
    outages: list[float] = []
    for before, after in pairwise(moments.tolist()):
        pause = after - before
        if before - moments[0] < HISTORY or pause <= LONGER * longest:
            longest = max(longest, pause)
            continue
        begun = begun if outages else before
        outages.append(pause)
        if len(outages) > 1 and sum(outages) > RHYTHM * (after - begun):
            longest, outages = max(outages), []
    return longest
