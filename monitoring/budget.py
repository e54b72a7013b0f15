"""One budget of false alarms, and how the tests of the monitor share it.

The user says how often a false alarm is accepted, "1 per year" or "1 per 1000 windows": over all columns, slices and
tests together, while nothing changes. A test is given its share as a run length, the average number of windows
between two false alarms of its own. Rates add up: tests of run lengths L1 and L2 have 1/L1 + 1/L2 false alarms a window
at most, however they depend on each other, so the shares of all parts add up to 1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from monitoring.window import WindowLength

Part = Literal["loss", "recovery", "inputs", "slices"]

# half for the loss, which is what an alarm is about. The recoverable loss uses little of its share: with nothing to
# recover its evidence shrinks. Inputs alone alert nobody, and slices are looked at more closely where the loss of all
# rows is silent. Half a share costs a test log(2) of evidence, one window in ten at a rise of one standard deviation
SHARES: Mapping[Part, float] = MappingProxyType(
    {"loss": 1 / 2, "recovery": 1 / 4, "inputs": 1 / 8, "slices": 1 / 8}
)
LEAST_RUN_LENGTH = 10.0  # windows; a monitor that may be wrong more often says nothing

_HOURS = {"minute": 1 / 60, "hour": 1.0, "day": 24.0, "week": 168.0, "month": 730.5, "year": 8766.0}
_FORM = re.compile(r"\s*(\d[\d,]*(?:\.\d+)?)\s+per\s+(?:(\d[\d,]*)\s+)?([a-z]+?)s?\s*", re.ASCII)
HOW = 'Write e.g. "1 per year", "2 per month" or "1 per 1000 windows"'


@dataclass(frozen=True)
class FalseAlarms:
    """How many false alarms are accepted. each: of the unit, "window", "hour", "day", "week", "month" or "year".

    >>> FalseAlarms.parse("2 per 3 months")
    FalseAlarms(count=2.0, each=3.0, unit='month')
    >>> FalseAlarms.parse("1 per 1,000 windows").in_windows
    1000.0
    """

    count: float
    each: float
    unit: str

    @classmethod
    def parse(cls, text: str) -> FalseAlarms:
        """What a text such as "1 per year" says; ValueError for anything else."""
        match = _FORM.fullmatch(text.lower())
        if match is None or match[3] not in ("window", *_HOURS):
            raise ValueError(f"not a number of false alarms. {HOW}")
        count, each = (float(number.replace(",", "")) for number in (match[1], match[2] or "1"))
        if not count or not each:
            raise ValueError(f"a rate of nothing, which no test can keep. {HOW}")
        return cls(count, each, match[3])

    @property
    def in_windows(self) -> float | None:
        """Windows between two of them; None where they are counted in time."""
        return self.each / self.count if self.unit == "window" else None

    @property
    def hours(self) -> float | None:
        """Hours between two of them; None where they are counted in windows."""
        return self.each / self.count * _HOURS[self.unit] if self.unit in _HOURS else None


@dataclass(frozen=True)
class Budget:
    """run_length: windows between two false alarms, on average, over everything that may raise one.

    >>> budget = Budget(1000.0)
    >>> budget.of("loss"), budget.of("inputs")
    (2000.0, 8000.0)
    """

    run_length: float

    def of(self, part: Part) -> float:
        """The run length that one part has to keep, in windows."""
        return self.run_length / SHARES[part]


def budget_of(false_alarms: str, window: WindowLength | None = None) -> Budget:
    """The budget that a text gives to windows of this length; ValueError where either says nothing.

    window: may be missing where the text counts in windows. Never more than one false alarm in
    `LEAST_RUN_LENGTH` windows, whatever is written.

    >>> budget_of("1 per year", WindowLength.parse("day"))
    Budget(run_length=365.25)
    >>> budget_of("1 per year", WindowLength.parse("month")).run_length
    12.0
    """
    rate = FalseAlarms.parse(false_alarms)
    windows, hours = rate.in_windows, rate.hours
    if windows is None and hours is not None:
        if window is None:
            raise ValueError(
                f"{false_alarms!r} counts in time, and the length of a window is not known here. "
                'Write it in windows, e.g. "1 per 1000 windows"'
            )
        windows = hours / (window.count * _HOURS[window.unit])
    return Budget(max(windows or 0.0, LEAST_RUN_LENGTH))
