"""Streams of row losses with a known truth, for `benchmarks.detection`; numpy alone, for the peers read it, too.

Every family gives losses of unit mean in windows of so many rows; a rise is laid over them afterwards. `LISTED` are
seven plain ones. `OTHERS` were used for nothing but the final report. What was chosen about the alarm was chosen on
`TUNING`, on `LISTED` and on seeds from `TUNING_SEED` on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Rows = Callable[[np.random.Generator, tuple[int, int]], Array]  # (windows, rows) of unit mean
Factor = Callable[[np.random.Generator, int], Array]  # of every window

TUNING_SEED = 10_000
FIRST_DAY = 19_723.0  # 2024-01-01, a Monday, in days since 1970


@dataclass(frozen=True)
class Family:
    """rows: losses of the rows, or, where `rate` is given, a number from 0 to 1 for each, which is an error below the
    rate. factor: by which losses or the rate of a window are multiplied. blocks: windows of the reference.

    hourly: whether windows are hours of a calendar. varying: whether their rows vary from a quarter to four times.
    """

    rows: Rows
    factor: Factor | None = None
    blocks: int = 100
    hourly: bool = False
    varying: bool = False
    rate: float | None = None

    def start(self, window: int) -> float | None:
        """Of a window, in days since 1970."""
        return FIRST_DAY + window / 24 if self.hourly else None

    def made(self, rng: np.random.Generator, windows: int, rows: int) -> tuple[list[Array], Array]:
        """The rows of each window, and the factor of each."""
        counts = np.full(windows, rows)
        if self.varying:
            counts = np.maximum(rows * 4.0 ** rng.uniform(-1, 1, windows), 30).astype(int)
        made = self.rows(rng, (windows, int(counts.max())))
        factor = np.ones(windows) if self.factor is None else self.factor(rng, windows)
        return [made[place, : counts[place]] for place in range(windows)], factor

    def losses(self, rows: Array, factor: float) -> Array:
        """Losses of the rows of a window, in which they are so many times what they are."""
        return rows * factor if self.rate is None else (rows < self.rate * factor) / self.rate


# --- rows ---


def chi2(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    return rng.standard_normal(shape) ** 2


def lognormal(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    return np.exp(1.5 * rng.standard_normal(shape) - 1.5**2 / 2)


def t3(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    return rng.standard_t(3, shape) ** 2 / 3


def chances(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    return rng.random(shape)


def gamma(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    return rng.standard_gamma(0.3, shape) / 0.3


# --- windows ---


def resembling(
    phi: float, size: float, freedom: float | None = None
) -> Callable[[np.random.Generator, int], Array]:
    """Windows that resemble the one before: autocorrelation phi, standard deviation `size` of the log."""

    def factor(rng: np.random.Generator, windows: int) -> Array:
        noise = rng.standard_normal(windows)
        if freedom is not None:
            noise = rng.standard_t(freedom, windows) / np.sqrt(freedom / (freedom - 2))
        now, levels = noise[0], np.empty(windows)
        for place in range(windows):
            now = phi * now + np.sqrt(1 - phi**2) * noise[place] if place else now
            levels[place] = now
        return np.exp(size * levels)

    return factor


def season(daily: float, weekend: float) -> Factor:
    """Hours: a wave of the day, and other weekends."""

    def factor(rng: np.random.Generator, windows: int) -> Array:
        days = np.arange(windows) / 24
        return (1 + daily * np.sin(2 * np.pi * days)) * np.where(days % 7 >= 5, 1 + weekend, 1.0)

    return factor


def outliers(share: float, least: float, most: float) -> Factor:
    def factor(rng: np.random.Generator, windows: int) -> Array:
        return np.where(rng.random(windows) < share, rng.uniform(least, most, windows), 1.0)

    return factor


def runs(length: int, size: float) -> Factor:
    """So many windows share their level: random days of hours."""

    def factor(rng: np.random.Generator, windows: int) -> Array:
        levels = rng.standard_normal(windows // length + 1)
        return np.repeat(np.exp(size * levels), length)[:windows]

    return factor


def clustering(rng: np.random.Generator, windows: int) -> Array:
    """Volatility that clusters: GARCH(1, 1), 10 % at rest."""
    variance, shock, levels = 1.0, 0.0, np.empty(windows)
    for place in range(windows):
        variance = 0.05 + 0.15 * shock**2 + 0.8 * variance
        shock = np.sqrt(variance) * rng.standard_normal()
        levels[place] = shock
    return np.exp(0.1 * levels)


def regimes(rng: np.random.Generator, windows: int) -> Array:
    """Two levels, 8 % apart, for 30 windows each on average."""
    switches = np.cumsum(rng.random(windows) < 1 / 30)
    return np.where(switches % 2, 1.08, 1.0)


def holidays(rng: np.random.Generator, windows: int) -> Array:
    """A season of hours with days off at random, 3 of 100, on which the loss is a quarter lower."""
    off = np.repeat(rng.random(windows // 24 + 1) < 0.03, 24)[:windows]
    return season(0.3, -0.15)(rng, windows) * np.where(off, 0.75, 1.0)


TWO_WEEKS = 15 * 24  # hours; of a week seen once no weekday can be told from a change
LISTED: Mapping[str, Family] = {
    "chi2": Family(chi2),
    "lognorm": Family(lognormal),
    "t3": Family(t3),
    "err10": Family(chances, rate=0.1),
    "season": Family(chi2, season(0.3, -0.15), blocks=TWO_WEEKS, hourly=True),
    "ar.5": Family(chi2, resembling(0.5, 0.1)),
    "ar.9": Family(chi2, resembling(0.9, 0.1)),
}
OTHERS: Mapping[str, Family] = {
    "outlier windows": Family(chi2, outliers(0.02, 1.3, 3.0)),
    "random days of hours": Family(chi2, runs(24, 0.1)),
    "clustering volatility": Family(chi2, clustering),
    "ar.8, heavy tails": Family(chi2, resembling(0.8, 0.1, freedom=4)),
    "varying rows": Family(lognormal, varying=True),
    "season with holidays": Family(chi2, holidays, blocks=TWO_WEEKS, hourly=True),
    "two regimes": Family(chi2, regimes),
}
TUNING: Mapping[str, Family] = {
    "gamma": Family(gamma),
    "ar.7": Family(gamma, resembling(0.7, 0.15)),
    "lognorm ar.8": Family(lognormal, resembling(0.8, 0.06)),
    "tail windows": Family(chi2, resembling(0.0, 0.09, freedom=4)),
    "spikes": Family(chi2, outliers(0.01, 1.2, 2.0)),
    "runs of 6": Family(chi2, runs(6, 0.08)),
    "another season": Family(gamma, season(0.15, 0.1), blocks=TWO_WEEKS, hourly=True),
}
FAMILIES: Mapping[str, Family] = {**LISTED, **OTHERS, **TUNING}


def stream(name: str, seed: int, windows: int, rows: int) -> tuple[list[Array], Array]:
    """The rows of each window of a family, and the factor of each; the same whatever else is made."""
    place = list(FAMILIES).index(name)
    return FAMILIES[name].made(np.random.default_rng([seed, place]), windows, rows)


def abrupt(rise: float, windows: int) -> Array:
    """Factors of windows from the change on."""
    return np.full(windows, 1 + rise)


def ramp(rise: float, length: int, windows: int) -> Array:
    """Factors of windows from the change on: higher by the same from window to window, then level."""
    return 1 + rise * np.minimum(np.arange(1, windows + 1) / length, 1.0)
