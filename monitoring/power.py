"""What a window could have shown: the smallest rise of the loss and the smallest shift that would have been found.

A quiet window of few rows says little, and should say so. The evidence of n windows whose scores are shifted by d
standard deviations grows like exp(n d^2 / 2) (the best rate of the mixture), so a threshold A is reached in half of the
cases within n windows at d = sqrt(2 log A / n), and in four of five with 0.84 / sqrt(n) more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from monitoring.loss_alarm import LossLevel, LossReference
from monitoring.shift import UNREACHABLE, weight_of

WINDOWS = 5  # within which a change should be found
SURE = 0.84  # normal quantile of four in five


@dataclass(frozen=True)
class Power:
    """The smallest lasting changes that windows such as this one would have shown within `WINDOWS`, four times in five.

    rise: of the loss over its reference, as a share (in units of the loss where it may be negative); None without
    labelled rows. shift: of the middle column, in standard deviations of a normal mean; None with too few rows.
    """

    rise: float | None
    shift: float | None
    relative: bool = True

    def __str__(self) -> str:
        if self.rise is None and self.shift is None:
            return "too few rows to show anything"
        rise = f"{self.rise:+.0%}" if self.rise is not None and self.relative else f"{self.rise or 0:+.3g}"
        told = [f"a rise of the loss from {rise} on"] if self.rise is not None else []
        told += [f"a column moved by {self.shift:.2g} standard deviations"] if self.shift is not None else []
        return f"would have been found within {WINDOWS} windows: {', '.join(told)}"


def power(
    reference: LossReference,
    level: LossLevel | None,
    *,
    threshold: float,
    tolerance: float,
    distances: Mapping[str, float],
) -> Power:
    """What a window could have shown.

    level: of its loss, None where it has too few labelled rows. threshold: of the evidence for a risen loss. distances:
    the distance that each column may have at its rows.
    """
    reachable = sorted(one for one in distances.values() if one < UNREACHABLE)
    middle = reachable[len(reachable) // 2] if reachable else None
    shift = math.sqrt(float(weight_of(middle))) if middle is not None else None
    if level is None or not math.isfinite(level.variance):
        return Power(None, shift, reference.logarithmic)
    return Power(_smallest_rise(reference, level, threshold, tolerance), shift, reference.logarithmic)


def _smallest_rise(reference: LossReference, level: LossLevel, threshold: float, tolerance: float) -> float:
    deviation = math.sqrt(level.variance + reference.spread**2)
    needed = (math.sqrt(2 * math.log(max(threshold, 2.0))) + SURE) / math.sqrt(WINDOWS) * deviation
    if reference.logarithmic:
        return math.exp(math.log1p(tolerance) + 2 * reference.error + needed) - 1
    return tolerance * abs(reference.level) + 2 * reference.error + needed
