"""The learning curve by rows: what a network reaches when it learns from fewer rows, and whether more would help.

Records and arithmetic alone: who trains gives a run for each number of rows, with any figures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.wording import in_words, written

Array = NDArray[Any]
Numbers = NDArray[np.float64]

# numbers of rows, each half of the one above: a sixteenth of the rows still says where it comes from
STEPS = 5
LEAST_ROWS = 100  # of a run; below, a network learns nothing that says something of more rows
LEAST_SIZES = 3  # as many as the law has numbers
REPEATS = 3  # runs of each number of rows, each on other rows
WORTH = 0.01  # share of the figure that twice as many rows must win to be called a help
DRAWS = 500
# Of error ~ rows ** -exponent: 0.07 to 0.35 in Hestness et al., Deep Learning Scaling Is Predictable, Empirically,
# 2017; up to 1 where a model of the right form is fitted; a little more for both ends.
EXPONENTS = np.geomspace(0.05, 1.5, 100)


@dataclass(frozen=True)
class SizedRun:
    """One training on some of the rows. seen: figures on the rows that were learned from; unseen: on others."""

    rows: int
    seed: int
    seen: Mapping[str, float]
    unseen: Mapping[str, float]


@dataclass(frozen=True)
class CurvePoint:
    """Runs of one number of rows: the mean of a figure, and the lowest and highest of the runs on unseen rows."""

    rows: int
    runs: int
    seen: float
    unseen: float
    lowest: float
    highest: float


@dataclass(frozen=True)
class LearningCurve:
    """One figure by the number of rows that were learned from, the fewest first.

    direction: 1 where more is better, -1 where less is.
    """

    metric: str
    direction: int
    points: tuple[CurvePoint, ...]

    @property
    def gap(self) -> float:
        """By how much the figure is better on learned rows than on unseen ones, with all rows."""
        last = self.points[-1]
        return self.direction * (last.seen - last.unseen)


@dataclass(frozen=True)
class MoreRows:
    """What more rows would win, by the power law through the curve.

    rows, value: now. factor: of the rows. expected: the figure then. gain, low, high: its improvement, with the
    interval from drawing the noise of the runs anew; nan where there are too few numbers of rows for a law. floor:
    what no number of rows gets below (or above).
    """

    metric: str
    direction: int
    rows: int
    factor: float
    value: float
    expected: float
    gain: float
    low: float
    high: float
    floor: float

    @property
    def helps(self) -> bool | None:
        """Whether more rows would help; None where these runs cannot tell."""
        worth = WORTH * abs(self.value)
        if self.low > worth:
            return True
        return False if self.high < worth else None

    @property
    def verdict(self) -> str:
        """Whether more rows would help, in words and numbers."""
        return _verdict(self)


def sizes(rows: int, *, steps: int = STEPS, least: int = LEAST_ROWS) -> tuple[int, ...]:
    """The numbers of rows to learn from: all, a half, a quarter and so on, the fewest first.

    >>> sizes(10_000), sizes(300), sizes(50)
    ((625, 1250, 2500, 5000, 10000), (150, 300), (50,))
    """
    found = [rows // 2**step for step in range(steps)]
    return tuple(sorted({size for size in found if size >= least} or {rows}))


def learning_curve(runs: Sequence[SizedRun], metric: str, direction: int) -> LearningCurve:
    """The curve of one figure over runs of any numbers of rows; runs without a value do not count.

    >>> runs = [SizedRun(rows, 0, {"loss": 0.1}, {"loss": 1 / rows}) for rows in (10, 20)]
    >>> [point.unseen for point in learning_curve(runs, "loss", -1).points]
    [0.1, 0.05]
    """
    points = []
    for rows in sorted({run.rows for run in runs}):
        of_size = [run for run in runs if run.rows == rows and math.isfinite(_of(run.unseen, metric))]
        if not of_size:
            continue
        unseen = [run.unseen[metric] for run in of_size]
        seen = float(np.mean([_of(run.seen, metric) for run in of_size]))
        points.append(CurvePoint(rows, len(of_size), seen, float(np.mean(unseen)), min(unseen), max(unseen)))
    return LearningCurve(metric, direction, tuple(points))


def more_rows(
    runs: Sequence[SizedRun], metric: str, direction: int, *, factor: float = 2.0, seed: int = 0
) -> MoreRows:
    """What `factor` times as many rows would win: figure = floor + slope * rows ** -exponent, by least squares.

    The interval comes from drawing the noise of the runs anew, each draw with a law of its own. A curve that does
    not improve has a slope of 0.
    """
    known = [run for run in runs if math.isfinite(_of(run.unseen, metric))]
    rows = np.array([run.rows for run in known], np.float64)
    values = np.array([run.unseen[metric] for run in known], np.float64)
    if len(np.unique(rows)) < LEAST_SIZES:
        now = float(values[rows == rows.max()].mean()) if len(rows) else math.nan
        count = int(rows.max()) if len(rows) else 0
        return MoreRows(metric, direction, count, factor, now, *[math.nan] * 5)
    most = float(rows.max())
    law, drawn = _fit(rows, values[None], direction), _fit(rows, _drawn(rows, values, seed), direction)
    (gain,), gains = (direction * (one.at(factor * most) - one.at(most)) for one in (law, drawn))
    low, high = np.quantile(gains, [0.025, 0.975])
    now, expected, floor = (float(one[0]) for one in (law.at(most), law.at(factor * most), law.floor))
    return MoreRows(
        metric, direction, int(most), factor, now, expected, float(gain), float(low), float(high), floor
    )


@dataclass(frozen=True, eq=False)
class _Laws:
    """floor + slope * rows ** -exponent, one law for each place of the arrays."""

    floor: Numbers
    slope: Numbers
    exponent: Numbers

    def at(self, rows: float) -> Numbers:
        return np.asarray(self.floor + self.slope * rows**-self.exponent, np.float64)


def _fit(rows: Numbers, values: Numbers, direction: int) -> _Laws:
    """The laws with the least squared error over EXPONENTS; floor and slope follow from the exponent.

    rows: (runs,). values: (laws, runs).
    """
    features = rows[:, None] ** -EXPONENTS
    middle, mean = features.mean(axis=0), values.mean(axis=1, keepdims=True)
    centred, away = features - middle, values - mean
    squares = np.square(centred).sum(axis=0)
    slopes = (away @ centred) / squares
    slopes = np.minimum(slopes, 0.0) if direction > 0 else np.maximum(slopes, 0.0)
    explained = 2 * slopes * (away @ centred) - slopes**2 * squares
    best = explained.argmax(axis=1)
    slope = slopes[np.arange(len(values)), best]
    return _Laws(mean[:, 0] - slope * middle[best], slope, EXPONENTS[best])


def _drawn(rows: Numbers, values: Numbers, seed: int) -> Numbers:
    """The values with their noise drawn anew, (DRAWS, runs): around the means of their numbers of rows.

    The noise is as large as the runs of equal numbers of rows differ, over all of them; where each has one run, as
    they differ from the law.
    """
    places = np.unique(rows, return_inverse=True)[1]
    counts = np.bincount(places)
    means = (np.bincount(places, weights=values) / counts)[places]
    freedom = len(values) - len(counts)
    if freedom < 1:
        laws = [_fit(rows, values[None], direction) for direction in (-1, 1)]
        away = min(np.square(values - [law.at(size)[0] for size in rows]).sum() for law in laws)
        freedom = max(len(values) - LEAST_SIZES, 1)
    else:
        away = np.square(values - means).sum()
    noise = math.sqrt(float(away) / freedom)
    return means + noise * np.random.default_rng(seed).normal(size=(DRAWS, len(values)))


def _of(figures: Mapping[str, float], metric: str) -> float:
    return figures.get(metric, math.nan)


def _verdict(found: MoreRows) -> str:
    name = in_words(found.metric)
    if not math.isfinite(found.gain):
        return (
            f"{name}: too few numbers of rows to say what more would do; {LEAST_SIZES} are needed, each half of the "
            f"one above and none below {LEAST_ROWS}"
        )
    many = "twice as many" if found.factor == 2 else f"{found.factor:g} times as many"
    moves = (
        f"{many} rows as now ({found.rows:,}) would move {name} from {written(found.value)} to about "
        f"{written(found.expected)} (a gain of {written(found.gain, 2)}, {written(found.low, 2)} to "
        f"{written(found.high, 2)})"
    )
    said = {
        True: "more rows would help",
        False: "more rows would hardly help",
        None: "these runs cannot tell",
    }
    return f"{said[found.helps]}: {moves}"
