"""The values of a column row by row: as numbers, or as levels, whatever they came as."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitoring.values import Floats, is_missing, level_of, number_of


def holds_names(values: Any) -> bool:
    """Whether a column holds names: anything that is neither a number nor missing; or nothing at all.

    >>> holds_names(["UA", None]), holds_names([1.0, None]), holds_names(np.array([True]))
    (True, False, False)
    """
    array = as_array(values)
    if array.dtype.kind in "biuf":
        return False
    present = [value for value in array.tolist() if not is_missing(value)]
    return not present or not all(isinstance(value, int | float | np.number | np.bool_) for value in present)


def as_array(values: Any) -> NDArray[Any]:
    """One value a row; a number beside a text stays a number (numpy alone would turn it into text)."""
    if not isinstance(values, list | tuple):
        return np.asarray(values)
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array.astype(np.float64) if all(type(value) in (float, int, bool) for value in values) else array


def read_numbers(values: Any) -> Floats:
    """Values as float64: nan where they are missing, infinite where they are no number.

    >>> read_numbers([1, "2", None, "lost"])
    array([ 1.,  2., nan, inf])
    """
    array = as_array(values)
    if array.dtype.kind in "biuf":
        return array.astype(np.float64)
    return np.fromiter(map(number_of, array.tolist()), dtype=np.float64, count=len(array))


def read_levels(values: Any) -> tuple[list[str | None], NDArray[np.intp]]:
    """The distinct levels as text, None for missing, and the place among them of each row.

    1, 1.0 and True are one level: a missing value among integers turns them into floats.

    >>> read_levels(["UA", None, "DL", "UA"])
    (['UA', None, 'DL'], array([0, 1, 2, 0]))
    """
    places: dict[str | None, int] = {}
    known: dict[Any, int] = {}
    codes = np.empty(len(values), np.intp)
    for row, value in enumerate(as_array(values).tolist()):
        key = value if isinstance(value, str) else (type(value).__name__, str(value))
        if key not in known:
            known[key] = places.setdefault(None if is_missing(value) else level_of(value), len(places))
        codes[row] = known[key]
    return list(places), codes
