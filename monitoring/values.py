"""What a column holds: numbers, levels, and what is missing or no number at all."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Columns = Mapping[str, Any]  # a DataFrame, or a dict of column name -> 1-d sequence, or LevelCounts

LARGEST = 1e150  # a number beyond it cannot be squared and is counted as invalid
LONGEST_LEVEL = 200  # characters; a level may be a whole text by mistake


@dataclass(frozen=True)
class LevelCounts:
    """A column of categories that somebody has counted already: each level once, None where a value is missing."""

    levels: Sequence[Any]
    counts: Sequence[int]

    def __len__(self) -> int:
        return sum(self.counts)


def array_of(columns: Columns, name: str) -> NDArray[Any] | LevelCounts:
    values = columns[name]
    if isinstance(values, LevelCounts):
        return values
    array = np.asarray(values) if not isinstance(values, list | tuple) else _from_list(values)
    if array.ndim != 1:
        raise ValueError(
            f"column {name!r} has shape {array.shape}, expected one value a row; is the name given twice?"
        )
    return array


def _from_list(values: Sequence[Any]) -> NDArray[Any]:
    """An array in which a number beside a text stays a number (numpy alone would turn it into text)."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    plain = {type(value) for value in values}
    return array.astype(np.float64) if plain and plain <= {float, int, bool} else array


def as_numbers(values: NDArray[Any]) -> Floats:
    """Values as float64: nan where they are missing, infinite where they are no number."""
    if values.dtype.kind in "biuf":
        with np.errstate(over="ignore"):
            return values.astype(np.float64, copy=False)
    if values.dtype.kind in "mMc":
        return np.full(len(values), np.inf)
    try:
        return values.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        return np.fromiter(map(number_of, values.tolist()), dtype=np.float64, count=len(values))


def number_of(value: Any) -> float:
    """One value as a float: nan where it is missing, infinite where it is no number."""
    if is_missing(value) or (isinstance(value, str) and not value.strip()):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.inf


def is_missing(value: Any) -> bool:
    """None, nan, and pandas' own marks, without importing pandas."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float) and value != value


def count_levels(values: NDArray[Any] | LevelCounts) -> tuple[dict[str, int], int]:
    """How many rows have each level, as text, and how many are missing."""
    counts: Counter[str] = Counter()
    missing = 0
    for value, count in _count_values(values):
        if is_missing(value):
            missing += count
        else:
            counts[level_of(value)] += count
    return dict(counts), missing


def _count_values(values: NDArray[Any] | LevelCounts) -> Iterator[tuple[Any, int]]:
    if isinstance(values, LevelCounts):
        return zip(values.levels, values.counts, strict=True)
    items = values.tolist()
    try:
        return iter(Counter(items).items())
    except TypeError:  # a list or a dict among the values
        plain = (
            item if is_missing(item) or isinstance(item, str | int | float) else str(item) for item in items
        )
        return iter(Counter(plain).items())


def level_of(value: Any) -> str:
    """A level's name; 1, 1.0 and True are one level: a missing value among integers turns them into floats.

    >>> level_of(True), level_of(2.0), level_of("UA")
    ('1', '2', 'UA')
    """
    if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()):
        value = int(value)
    return str(value)[:LONGEST_LEVEL]


def is_number_column(values: NDArray[Any]) -> bool:
    return values.dtype.kind in "biuf" or (values.dtype.kind == "O" and _holds_numbers(values))


def _holds_numbers(values: NDArray[Any]) -> bool:
    """Whether an object array holds numbers and missing values only, and at least one number."""
    kinds = {type(value) for value in values.tolist()}
    kinds = {kind for kind in kinds if kind.__name__ not in ("NoneType", "NAType", "NaTType")}
    return bool(kinds) and all(issubclass(kind, int | float | np.number | np.bool_) for kind in kinds)
