"""How far a figure would move on other rows of the same kind: intervals by drawing the rows again.

One plan of draws (`Resampling`) serves all figures and all models on the same rows, so that differences between
them are paired: a hard row that is drawn twice is drawn twice for both.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Numbers = NDArray[np.float64]

RESAMPLES = 500  # the ends of a 95 % interval then move by about a tenth of its width from seed to seed
CONFIDENCE = 0.95
FEWEST_BLOCKS = 20  # an interval from fewer witnesses is mostly guessed
FEWEST_DRAWS = 40  # with a defined value; from fewer no 95 % can be read
_CHUNK_CELLS = 1_000_000  # draws x blocks in memory at once: 4 MB


@dataclass(frozen=True)
class Interval:
    """A figure and the ends between which it lies with the stated confidence; nan where it is undefined."""

    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def above(self) -> bool:
        """Whether it is above 0 beyond chance."""
        return self.low > 0

    @property
    def below(self) -> bool:
        """Whether it is below 0 beyond chance."""
        return self.high < 0


@dataclass(frozen=True)
class Resampling:
    """How rows are drawn again: blocks of neighbours, with replacement, as many as there are.

    rows: in the order of time, where they have one. length: rows of a block; 1 draws single rows. reason: why
    so, in words. The same plan always gives the same draws.

    >>> plan = Resampling(rows=6, length=3, resamples=2)
    >>> plan.blocks, plan.starts.tolist()
    (2, [0, 3])
    >>> [counts.sum(axis=1).tolist() for counts in plan.counts()]
    [[2.0, 2.0]]
    """

    rows: int
    length: int = 1
    resamples: int = RESAMPLES
    confidence: float = CONFIDENCE
    seed: int = 0
    reason: str = ""

    @property
    def blocks(self) -> int:
        """Into how many blocks of about equal size the rows are cut."""
        return min(self.rows, max(1, round(self.rows / self.length)))

    @property
    def starts(self) -> NDArray[np.intp]:
        """The first row of each block."""
        return np.arange(self.blocks) * self.rows // max(self.blocks, 1)

    @property
    def block_of_row(self) -> NDArray[np.intp]:
        """The block of each row, (rows,)."""
        return np.repeat(np.arange(self.blocks), np.diff(self.starts, append=self.rows))

    def counts(self) -> Iterator[NDArray[np.float32]]:
        """How often each block is drawn, (draws, blocks), some draws at a time."""
        rng, left = np.random.default_rng(self.seed), self.resamples
        together = max(1, _CHUNK_CELLS // max(self.blocks, 1))
        while left > 0 and self.blocks > 0:
            draws = min(together, left)
            drawn = np.empty((draws, self.blocks), np.float32)
            for place in range(draws):
                chosen = rng.integers(0, self.blocks, self.blocks, dtype=np.int32)
                drawn[place] = np.bincount(chosen, minlength=self.blocks)
            yield drawn
            left -= draws

    def by_block(self, values: Array) -> Numbers:
        """Sums of (rows, k) values over each block, (blocks, k)."""
        numbers = np.asarray(values, np.float64)
        return numbers if self.blocks == self.rows else np.add.reduceat(numbers, self.starts, axis=0)

    def sums(self, values: Array) -> Numbers:
        """Sums of (rows, k) values over the rows of each draw, (resamples, k)."""
        blocks = self.by_block(values)
        drawn = [np.asarray(counts @ blocks, np.float64) for counts in self.counts()]
        return np.vstack(drawn) if drawn else np.empty((0, blocks.shape[1]))

    def interval(self, value: float, draws: Array) -> Interval:
        """The percentile interval of a figure from its values in the draws; draws without a value do not count.

        The percentiles stand a little further out than the confidence says, by what Student's distribution of
        as many blocks asks for: Hesterberg, What Teachers Should Know About the Bootstrap, 2015, section 5.3.
        Undefined where most draws have no value.
        """
        known = draws[np.isfinite(draws)]
        if not math.isfinite(value) or len(known) < max(FEWEST_DRAWS, len(draws) // 2) or self.blocks < 2:
            return Interval(value)
        low, high = np.quantile(known, self._tails())
        return Interval(float(value), float(low), float(high))

    def _tails(self) -> tuple[float, float]:
        from scipy.special import ndtr, stdtrit

        freedom = self.blocks - 1
        reach = math.sqrt(self.blocks / freedom) * stdtrit(freedom, 0.5 + self.confidence / 2)
        tail = float(ndtr(-reach))
        return tail, 1.0 - tail


def resampling(
    losses: Array,
    *,
    ordered: bool,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Resampling:
    """The plan that suits these row losses, and why, in words.

    losses: (n,), in the order of time where `ordered`. Neighbours in time often err together (one storm, one
    holiday); then single rows are no independent witnesses, and intervals that take them for such are too narrow.

    >>> resampling(np.arange(100.0) % 7, ordered=False).reason
    'by single rows, for they have no order in time'
    """
    length = block_length(losses) if ordered else 1
    plan = Resampling(len(losses), length, resamples, confidence, seed)
    if not ordered:
        reason = "by single rows, for they have no order in time"
    elif length == 1:
        reason = "by single rows, for the losses of neighbours in time do not go together"
    else:
        reason = (
            f"by {plan.blocks:,} blocks of about {length:,} neighbouring rows, for the losses of neighbours in time "
            "go together, and single rows would make the intervals too narrow"
        )
    return Resampling(len(losses), length, resamples, confidence, seed, reason)


def block_length(values: Array) -> int:
    """Rows of a block that hold most of what neighbours share: 1 where they share nothing.

    The rule of Politis and White, Automatic Block-Length Selection for the Dependent Bootstrap, Econometric
    Reviews 23 (2004), with the correction of Patton, Politis and White (2009), for blocks in a circle. At least
    FEWEST_BLOCKS blocks are left.

    >>> rng = np.random.default_rng(0)
    >>> block_length(rng.normal(size=2000)) <= 3, block_length(np.repeat(rng.normal(size=200), 10)) > 10
    (True, True)
    """
    rows = len(values)
    if rows < 2 * FEWEST_BLOCKS or not np.isfinite(values).all():
        return 1
    spread = float(np.std(values))
    if not 0 < spread < math.inf:
        return 1
    beyond = max(5, math.ceil(math.sqrt(math.log10(rows))))  # lags that must all be quiet
    longest = math.ceil(math.sqrt(rows)) + beyond
    covariance = _autocovariance((values - np.mean(values)) / spread, min(longest + beyond, rows - 1))
    lags = min(2 * max(_last_loud(covariance, rows, beyond), 1), longest, len(covariance) - 1)
    weights = np.clip(2 * (1 - np.arange(1, lags + 1) / lags), 0, 1)  # flat to the half, then down to 0
    weighted = weights * covariance[1 : lags + 1]
    level = covariance[0] + 2 * weighted.sum()
    slope = 2 * (weighted * np.arange(1, lags + 1)).sum()
    if level <= 0:
        return 1
    best = (1.5 * slope**2 / level**2 * rows) ** (1 / 3)
    most = min(math.ceil(3 * math.sqrt(rows)), rows // FEWEST_BLOCKS)
    return min(round(best), most) if best >= 2 else 1


def _autocovariance(values: Numbers, lags: int) -> Numbers:
    """Of lags 0 to `lags`, by one Fourier transform."""
    size = 1 << (len(values) + lags).bit_length()
    power = np.abs(np.fft.rfft(values, size)) ** 2
    return np.asarray(np.fft.irfft(power, size)[: lags + 1] / len(values), np.float64)


def _last_loud(covariance: Numbers, rows: int, beyond: int) -> int:
    """The smallest lag after which `beyond` correlations in a row are within chance."""
    loud = np.abs(covariance[1:] / covariance[0]) >= 2 * math.sqrt(math.log10(rows) / rows)
    quiet = 0
    for lag, is_loud in enumerate(loud.tolist()):
        quiet = 0 if is_loud else quiet + 1
        if quiet == beyond:
            return lag + 1 - beyond
    return len(loud)


def mean_intervals(values: Array, plan: Resampling) -> tuple[Interval, ...]:
    """The means of columns of numbers, one a row, with their intervals. values: (rows, k).

    >>> rows = np.repeat([[0.0, 1.0]], 50, axis=0)
    >>> mean_intervals(rows, Resampling(50))
    (Interval(value=0.0, low=0.0, high=0.0), Interval(value=1.0, low=1.0, high=1.0))
    """
    sums = plan.sums(np.column_stack([values, np.ones(len(values))]))
    means = np.asarray(sums[:, :-1] / sums[:, -1:], np.float64)
    return tuple(
        plan.interval(float(value), draws)
        for value, draws in zip(np.mean(values, axis=0), means.T, strict=True)
    )
