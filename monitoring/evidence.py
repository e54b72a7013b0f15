"""Sequential evidence: what the tests of the monitor have in common.

A test turns each window into a score that is about standard normal while nothing changes and large under harm;
`Detector` adds the scores up so that it may be looked at after every window for ever.
"""

from __future__ import annotations

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


class Detectors:
    """Mixture e-detectors of Shiryaev-Roberts type over normal scores, one a stream; the streams go in step.

    For each rate r the evidence follows M <- (M + 1) exp(r q - r^2 / 2); their mean is what is compared with
    the threshold. Under independent standard normal scores the mean stays below A for A windows on average,
    or longer (Shin, Ramdas, Rinaldo, "E-detectors", 2022).
    """

    def __init__(self, streams: tuple[int, ...] = ()) -> None:
        shape = (*streams, len(RATES))
        self._evidence = np.zeros(shape)
        self._likelihood = np.zeros(shape)  # of a rise from its best start until now, as a logarithm
        self._starts = np.zeros(shape, dtype=np.intp)
        self._count = 0

    def update(self, scores: Array) -> None:
        """Take the scores of the next window, shape (streams)."""
        gain = RATES * scores[..., None] - RATES**2 / 2
        self._evidence = np.minimum((self._evidence + 1.0) * np.exp(gain), MOST_EVIDENCE)
        self._starts = np.where(self._likelihood > 0, self._starts, self._count)
        self._likelihood = np.maximum(self._likelihood, 0.0) + gain
        self._count += 1

    @property
    def evidence(self) -> Array:
        """Evidence so far, 0 or more, shape (streams)."""
        return np.asarray(self._evidence.mean(axis=-1))

    @property
    def starts(self) -> npt.NDArray[np.intp]:
        """Index of the score from which the likelihood of a rise is largest; the number of scores if none is."""
        best = self._likelihood.argmax(axis=-1)[..., None]
        start = np.take_along_axis(self._starts, best, axis=-1)
        risen = np.take_along_axis(self._likelihood, best, axis=-1) > 0
        return np.asarray(np.where(risen, start, self._count)[..., 0])


class Detector:
    """The detector of a single stream, see `Detectors`.

    >>> detector = Detector()
    >>> [round(detector.update(score), 2) for score in (0.0, 3.0, 3.0)]
    [0.53, 31.35, 1715.81]
    >>> detector.start  # the window, counted from 0, at which the change most likely began
    1
    """

    def __init__(self) -> None:
        self._detectors = Detectors()

    def update(self, score: float) -> float:
        """Take the score of the next window; returns the evidence so far, 0 or more."""
        self._detectors.update(np.asarray(score, dtype=np.float64))
        return self.evidence

    @property
    def evidence(self) -> float:
        return float(self._detectors.evidence)

    @property
    def start(self) -> int:
        """Index of the score from which the likelihood of a rise is largest; the number of scores if none is."""
        return int(self._detectors.starts)
