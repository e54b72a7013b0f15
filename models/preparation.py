"""How rows become inputs, where a project asks for another way than the usual one; see `models.schema`.

Each column here is learned on training rows, saved with the schema and applied in numpy, by training, server and
monitor alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from statistics import NormalDist
from typing import Any, ClassVar, Literal
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from models.column_values import levels_of, moments_of, numbers_of

Numbers = NDArray[np.float64]
Inputs = NDArray[np.float32]
Takes = Literal["number", "category", "date"]

QUANTILES = 200  # points of a quantile scale: half a percent of the rows between two, scores up to 2.81
IQR_OF_DEVIATION = 1.349  # the middle half of a normal distribution, in standard deviations
FURTHEST = 8.0  # deviations that a trend may reach, as any number
YEAR = 365.25  # days
DAY_PARTS: Mapping[str, float] = {"hour": 1.0, "weekday": 7.0, "day of year": YEAR}  # name -> period in days


@dataclass(frozen=True)
class PrepareConfig:
    """[prepare]"""

    scaling: Literal["standard", "robust", "quantile"] = field(
        default="standard",
        metadata={
            "doc": "how numbers are brought to one scale: by mean and standard deviation, by median and quartiles, or "
            "by their rank among training rows",
        },
    )
    missing: Literal["median", "mean", "constant"] = field(
        default="median",  # a few absurd values do not move it
        metadata={"doc": "what takes the place of a missing number: of training rows, or `missing_constant`"},
    )
    missing_constant: float = field(
        default=0.0, metadata={"doc": 'the number that stands for none with missing = "constant"'}
    )
    missing_indicator: bool = field(
        default=True,
        metadata={
            "doc": "whether one more input says that a number is missing, where training rows had missing ones"
        },
    )
    encoding: Literal["one_hot", "hashing", "embedding"] = field(
        default="one_hot",
        metadata={
            "doc": "how categories of more than 64 levels become inputs: one each for the most frequent, or all "
            "of them shared out among `hash_inputs`, or an embedding that the network learns"
        },
    )
    hash_inputs: int = field(
        default=64,  # as many as one-hot encoding takes at most
        metadata={"doc": "inputs of a category that is hashed", "range": (2, 4096)},
    )
    embedding_levels: int = field(
        default=1000,  # 4 kB a row in memory
        metadata={
            "doc": "levels of a category that is embedded, the most frequent; 4 bytes each a row in memory",
            "range": (65, 16384),
        },
    )
    embedding_size: int = field(
        default=8,
        metadata={
            "doc": "numbers that the network learns for each level of an embedded category",
            "range": (1, 512),
        },
    )
    categories: tuple[str, ...] = field(
        default=(),
        metadata={
            "doc": "columns of numbers that are names, however many there are: stations, customers",
            "example": '["station"]',
        },
    )
    dates: tuple[str, ...] = field(
        default=(),
        metadata={
            "doc": "columns of dates or times: hour, weekday and day of the year as sine and cosine, and a trend",
        },
    )
    cycles: Mapping[str, float] = field(
        default_factory=dict,
        metadata={
            "doc": "numbers that begin again, each with its period, e.g. {hour = 24, wind_direction = 360}",
            "example": "{hour = 24}",
        },
    )

    def __post_init__(self) -> None:
        for name, period in self.cycles.items():
            if isinstance(period, bool) or not isinstance(period, int | float) or not 0 < period < math.inf:
                raise ValueError(f"cycles: the period of {name!r} is {period!r}; expected a number above 0")
        lists = {"dates": {*self.dates}, "cycles": {*self.cycles}, "categories": {*self.categories}}
        for (first, some), (second, others) in combinations(lists.items(), 2):
            if both := sorted(some & others):
                raise ValueError(
                    f"{both[0]!r} is named in {first} and in {second}. Take it out of one of them"
                )

    @property
    def named(self) -> tuple[str, ...]:
        """The columns that must be there."""
        return (*self.dates, *self.cycles, *self.categories)


@dataclass(frozen=True)
class QuantileColumn:
    """A number as the normal score of its rank among training rows; a value beyond them counts as the outermost.

    points: values of training rows, rising; scores: their normal scores, between -2.81 and 2.81. replacement: takes the
    place of a missing value. indicator: whether one more input says that it is missing.
    """

    takes: ClassVar[Takes] = "number"

    name: str
    points: tuple[float, ...]
    scores: tuple[float, ...]
    replacement: float
    indicator: bool

    @classmethod
    def fit(cls, name: str, numbers: Numbers, replacement: float, *, indicator: bool) -> QuantileColumn:
        """numbers: without missing ones, of two different values at least."""
        shares = (np.arange(QUANTILES) + 0.5) / QUANTILES
        values = np.quantile(numbers, shares, method="nearest")
        points, first, counts = np.unique(values, return_index=True, return_counts=True)
        # a value that many rows share has their middle rank
        middle = shares[first] + (counts - 1) / 2 / QUANTILES
        scores = tuple(NormalDist().inv_cdf(share) for share in middle.tolist())
        return cls(name, tuple(points.tolist()), scores, replacement, indicator)

    @property
    def input_names(self) -> tuple[str, ...]:
        return (self.name, f"{self.name} is missing") if self.indicator else (self.name,)

    def check(self, values: Any) -> None:
        numbers_of(values)

    def fill(self, inputs: Inputs, values: Any) -> None:
        numbers = numbers_of(values)
        missing = np.isnan(numbers)
        inputs[:, 0] = np.interp(np.where(missing, self.replacement, numbers), self.points, self.scores)
        if self.indicator:
            inputs[:, 1] = missing


@dataclass(frozen=True)
class CyclicColumn:
    """A number that begins again after a period, as sine and cosine: 23 o'clock lies beside 0. Missing is (0, 0)."""

    takes: ClassVar[Takes] = "number"

    name: str
    period: float
    indicator: bool

    @property
    def input_names(self) -> tuple[str, ...]:
        both = (f"{self.name} sine", f"{self.name} cosine")
        return (*both, f"{self.name} is missing") if self.indicator else both

    def check(self, values: Any) -> None:
        numbers_of(values)

    def fill(self, inputs: Inputs, values: Any) -> None:
        numbers = numbers_of(values)
        missing = np.isnan(numbers)
        _fill_cycle(inputs, numbers, self.period, missing)
        if self.indicator:
            inputs[:, 2] = missing


@dataclass(frozen=True)
class DateColumn:
    """A date or time, as cycles and as a trend, in standard deviations from the mean moment; missing is all 0.

    cycles: those of DAY_PARTS that differ among training rows; the day of the year from a year of rows on, for in less
    it is the trend once more. mean, scale, low, high: days since 1970; a later moment counts as the last that was seen.
    """

    takes: ClassVar[Takes] = "date"

    name: str
    cycles: tuple[str, ...]
    mean: float
    scale: float
    low: float
    high: float
    indicator: bool

    @classmethod
    def fit(cls, name: str, values: Any, *, indicator: bool) -> DateColumn:
        """Raises ValueError where a value is no time, or none is there."""
        days = _days(values)
        present = days[~np.isnan(days)]
        if not len(present):
            raise ValueError("has no time in any row; leave it out of dates")
        low, high = float(present.min()), float(present.max())
        cycles = [part for part, period in DAY_PARTS.items() if np.ptp(present % period) > 1e-9]
        if high - low < YEAR and "day of year" in cycles:
            cycles.remove("day of year")
        if not np.any(present % 1.0):
            cycles = [part for part in cycles if part != "hour"]
        scale = float(present.std())
        return cls(
            name,
            tuple(cycles),
            float(present.mean()),
            scale,
            low,
            high,
            indicator and len(present) < len(days),
        )

    @property
    def input_names(self) -> tuple[str, ...]:
        waves = tuple(f"{self.name} {part} {wave}" for part in self.cycles for wave in ("sine", "cosine"))
        trend = (*waves, f"{self.name} trend")
        return (*trend, f"{self.name} is missing") if self.indicator else trend

    def check(self, values: Any) -> None:
        moments_of(values)

    def fill(self, inputs: Inputs, values: Any) -> None:
        days = _days(values)
        missing = np.isnan(days)
        for place, part in enumerate(self.cycles):
            _fill_cycle(inputs[:, 2 * place : 2 * place + 2], days, DAY_PARTS[part], missing)
        if self.scale > 0:
            known = np.clip(np.where(missing, self.mean, days), self.low, self.high)
            trend = (known - self.mean) / self.scale
            inputs[:, 2 * len(self.cycles)] = np.clip(trend, -FURTHEST, FURTHEST)
        if self.indicator:
            inputs[:, -1] = missing

    def widened(self, values: Any) -> DateColumn:
        """The same with a trend that reaches these moments, too."""
        days = _days(values)
        days = days[~np.isnan(days)]
        if not len(days):
            return self
        return replace(self, low=min(self.low, float(days.min())), high=max(self.high, float(days.max())))


@dataclass(frozen=True)
class HashedColumn:
    """A category of many levels, shared out among few inputs: each level is 1 or -1 in one of them.

    The sign makes two levels that share an input differ half of the time, and what they add up to right on average
    (Weinberger et al. 2009). A level that training rows did not have has its place, too. Missing has an input.
    """

    takes: ClassVar[Takes] = "category"

    name: str
    inputs: int

    @property
    def input_names(self) -> tuple[str, ...]:
        return (*(f"{self.name} hash {place}" for place in range(self.inputs)), f"{self.name} is missing")

    def check(self, values: Any) -> None:
        levels_of(values)

    def fill(self, inputs: Inputs, values: Any) -> None:
        levels = levels_of(values)
        places = {level: self._place(level) for level in set(levels)}
        place, sign = np.array([places[level] for level in levels], np.int64).reshape(-1, 2).T
        inputs[np.arange(len(levels)), place] = sign

    def _place(self, level: str | None) -> tuple[int, int]:
        """The input of a level and its sign."""
        if level is None:
            return self.inputs, 1
        number = crc32(level.encode("utf-8", "surrogatepass"))
        return (number >> 1) % self.inputs, 1 - 2 * (number & 1)


OtherColumn = QuantileColumn | CyclicColumn | DateColumn | HashedColumn
OTHER_KINDS: Mapping[str, type[OtherColumn]] = {
    "quantile": QuantileColumn,
    "cycle": CyclicColumn,
    "date": DateColumn,
    "hashed": HashedColumn,
}


def other_column(kind: str, record: Mapping[str, Any]) -> OtherColumn:
    """The column that was written as JSON; a list becomes a tuple again."""
    build: Any = OTHER_KINDS[kind]
    column: OtherColumn = build(
        **{key: tuple(value) if isinstance(value, list) else value for key, value in record.items()}
    )
    return column


def replacement_of(numbers: Numbers, prepare: PrepareConfig) -> float:
    """What takes the place of a missing number. numbers: those that are there."""
    if prepare.missing == "constant":
        return prepare.missing_constant
    if prepare.missing == "mean":
        largest = float(np.abs(numbers).max()) or 1.0
        return float((numbers / largest).mean() * largest)
    return float(np.median(numbers))


def robust_centre_and_scale(numbers: Numbers) -> tuple[float, float]:
    """Median, and the distance of the quartiles as a standard deviation; scale 0 where these are one value.

    >>> robust_centre_and_scale(np.array([0.0, 1.0, 2.0, 3.0, 1000.0]))[0]
    2.0
    """
    low, middle, high = np.quantile(numbers, [0.25, 0.5, 0.75])
    return float(middle), float(high / IQR_OF_DEVIATION - low / IQR_OF_DEVIATION)


def _fill_cycle(inputs: Inputs, numbers: Numbers, period: float, missing: NDArray[np.bool_]) -> None:
    angle = 2 * np.pi * np.mod(np.where(missing, 0.0, numbers), period) / period
    inputs[:, 0] = np.where(missing, 0.0, np.sin(angle))
    inputs[:, 1] = np.where(missing, 0.0, np.cos(angle))


def _days(values: Any) -> Numbers:
    """Days since 1970-01-01, nan where missing. 1970-01-01 was a Thursday, so weeks begin there with one."""
    moments = moments_of(values)
    days = moments.astype(np.int64) / 86_400e6
    days[np.isnat(moments)] = np.nan
    return days
