"""Sequential evidence: what the tests of the monitor have in common.

A test turns each window into a score that is about standard normal while nothing changes and large under harm;
`Detector` adds the scores up so that it may be looked at after every window for ever.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

# a single window cannot be an alarm by itself: at 3.5 its evidence stays below every threshold in use
CLIP = 3.5
# small rates look far back (a slow decline), large ones see a jump (a grid over the shifts worth seeing,
# Shin, Ramdas, Rinaldo 2022, section 4)
RATES = np.array([0.15, 0.3, 0.5, 0.8, 1.2, 1.8, 2.7, 4.0])
# threshold = 0.53 x run length gives that average run length (simulated on independent normal scores)
THRESHOLD_PER_RUN_LENGTH = 0.53
MOST_EVIDENCE = 1e9  # beyond every threshold; without a bound a long harm would take as long to be forgotten


def threshold_for(run_length: float, tests: int = 1) -> float:
    """Evidence at which to raise an alarm, one budget shared evenly by so many tests.

    run_length: average number of windows between false alarms over all the tests.

    >>> threshold_for(1000)
    530.0
    """
    return THRESHOLD_PER_RUN_LENGTH * run_length * tests


def normal_score(statistic: float, freedom: float) -> float:
    """Standard normal value with the tail probability of a Student t statistic, clipped above at `CLIP`.

    >>> round(normal_score(2.0, 1e9), 3), round(normal_score(2.0, 3), 2), normal_score(50.0, 30)
    (2.0, 1.48, 3.5)
    """
    from scipy.special import ndtri, stdtr  # scipy.stats costs four times this import

    if statistic > 0:  # from the upper tail: 1 - tiny rounds to 1, tiny does not
        return min(float(-ndtri(stdtr(freedom, -statistic))), CLIP)
    return max(float(ndtri(stdtr(freedom, statistic))), -40.0)


@dataclass
class Detector:
    """A mixture e-detector of Shiryaev-Roberts type over normal scores.

    For each rate r the evidence follows M <- (M + 1) exp(r q - r^2 / 2); their mean is what is compared with
    the threshold. Under independent standard normal scores the mean stays below A for A windows on average,
    or longer (Shin, Ramdas, Rinaldo, "E-detectors", 2022).

    >>> detector = Detector()
    >>> [round(detector.update(score), 2) for score in (0.0, 3.0, 3.0)]
    [0.53, 31.35, 1715.81]
    >>> detector.start  # the window, counted from 0, at which the change most likely began
    1
    """

    def __post_init__(self) -> None:
        self._evidence = np.zeros(len(RATES))
        self._scores: list[float] = []

    def update(self, score: float) -> float:
        """Take the score of the next window; returns the evidence so far, 0 or more."""
        self._scores.append(score)
        grown = (self._evidence + 1.0) * np.exp(RATES * score - RATES**2 / 2)
        self._evidence = np.minimum(grown, MOST_EVIDENCE)
        return self.evidence

    @property
    def evidence(self) -> float:
        return float(self._evidence.mean())

    @property
    def start(self) -> int:
        """Index of the score from which the likelihood of a rise is largest; the number of scores if none is."""
        best, start = 0.0, len(self._scores)
        for rate in RATES:
            gains = rate * np.array(self._scores) - rate**2 / 2
            tail = np.cumsum(gains[::-1])[::-1]
            if len(tail) and tail.max() > best:
                best, start = float(tail.max()), int(tail.argmax())
        return start
