"""Whether rows have stopped coming: no row where some were due is a finding, not a quiet window.

As for labels (`label_delay`): as many rows were due since the last one that their absence is no chance if they come one
by one, and the silence is twice as long as the longest pause before, for many come in batches and pause at weekends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitoring.label_delay import DUE, FEWEST_DAYS, HISTORY, LEAST, LONGER, longest_pause

Array = npt.NDArray[np.float64]

_MINUTES = 1440.0  # a day; pauses are told apart by the minute


@dataclass(frozen=True)
class RowSilence:
    """How long no row has come. since, days: of the last one, and from it until now; due: rows to be expected.

    longest: of the pauses before, in days; history, row_days: days of rows, and those with any.
    """

    since: float
    days: float
    due: float
    longest: float
    history: float
    row_days: int

    @property
    def stopped(self) -> bool:
        enough = self.history >= HISTORY and self.row_days >= FEWEST_DAYS
        return enough and self.due >= DUE and self.days > max(LONGER * self.longest, LEAST)

    def __str__(self) -> str:
        return (
            f"no row for {_long(self.days)}, while about {self.due:,.0f} were due; the longest pause before was "
            f"{_long(self.longest)}"
        )


def _long(days: float) -> str:
    return f"{days:.1f} days" if days >= 2 else f"{24 * days:.0f} hours"


def row_silence(moments: Array, now: float) -> RowSilence | None:
    """How long no row has come; None where none ever came.

    moments: when rows came, in days on one clock, in any order; those after `now` are passed over.

    >>> hourly = np.arange(0, 30, 1 / 24)
    >>> row_silence(hourly, 30.0).stopped, row_silence(hourly, 31.0).stopped
    (False, True)
    """
    came = moments[moments <= now]
    if not len(came):
        return None
    minutes = np.unique(np.floor(came * _MINUTES)) / _MINUTES
    last, first = float(came.max()), float(came.min())
    history = last - first
    return RowSilence(
        since=last,
        days=now - last,
        due=(now - last) * len(came) / history if history > 0 else 0.0,
        longest=longest_pause(minutes),
        history=history,
        row_days=len(np.unique(np.floor(came))),
    )
