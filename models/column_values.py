"""The values of one column, whatever holds them, as numbers or as levels of a category.

A column is a numpy array, a pandas Series of any dtype, or a list. Missing are None, NaN and pandas' NA and
NaT; in a category also the empty text, which a CSV file cannot tell from a missing one.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Hashable, Mapping
from decimal import Decimal
from numbers import Real
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["number", "text", "date", "empty"]

# pandas' own, known by name so that pandas need not be there
_MISSING_NAMES = (
    "NoneType",
    "NAType",
    "NaTType",
)
_LONGEST_SHOWN = 40  # characters of a value that a message repeats


def as_array(values: Any) -> NDArray[Any]:
    """The column as a 1-d array; a list keeps its Python values.

    Raises ValueError where it is not one value a row.
    """
    array = np.array(values, dtype=object) if isinstance(values, (list, tuple)) else np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"has shape {array.shape}; expected one value a row (is the name there twice?)")
    return array


def kind_of(values: Any) -> Kind:
    """What the values are; one text among numbers makes a column text, true and false are numbers.

    >>> kind_of([1, None, 2.5]), kind_of(["a", 1]), kind_of([None])
    ('number', 'text', 'empty')
    """
    array = as_array(values)
    kinds: dict[str, Kind] = {
        "b": "number",
        "i": "number",
        "u": "number",
        "f": "number",
        "M": "date",
        "m": "date",
    }
    if array.dtype.kind != "O":
        kind = kinds.get(array.dtype.kind, "text")
        return "empty" if kind == "number" and bool(np.all(array != array)) else kind
    items = array.tolist()
    met = set(map(type, items))
    if str in met and met <= {str, float, type(None)}:  # most columns of names, without a look at each value
        return "text"
    types = {type(value) for value in items if not is_missing(value)}
    if not types:
        return "empty"
    if all(_is_number_type(one) for one in types):
        return "number"
    dates = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)
    return "date" if any(issubclass(one, dates) for one in types) else "text"


def is_missing(value: Any) -> bool:
    """Whether a single value stands for nothing.

    >>> is_missing(None), is_missing(float("nan")), is_missing(0)
    (True, True, False)
    """
    if type(value).__name__ in _MISSING_NAMES:
        return True
    if isinstance(value, (np.datetime64, np.timedelta64)):
        return bool(np.isnat(value))
    return isinstance(value, (float, np.floating)) and math.isnan(value)


def numbers_of(values: Any) -> NDArray[np.float64]:
    """The column as float64, nan where missing; true is 1 and false is 0.

    Raises ValueError, which says how many and where, for text (also "1.5"), dates and infinite values.

    >>> numbers_of([1, None, True])
    array([ 1., nan, 1.])
    """
    array = as_array(values)
    if array.dtype.kind in "biuf":
        numbers = array.astype(np.float64)
    elif array.dtype.kind == "O" or len(array) == 0:
        numbers = _numbers_of_objects(array.tolist())
    else:
        what = "dates" if array.dtype.kind in "Mm" else "text"
        raise ValueError(f"holds {what}, such as {shown(array[:1].tolist())}; expected numbers")
    infinite = np.flatnonzero(np.isinf(numbers))
    if len(infinite):
        raise ValueError(
            f"is infinite in {_rows(infinite, numbers)}; expected finite numbers, or none where they are unknown"
        )
    return numbers


def moments_of(values: Any) -> NDArray[np.datetime64]:
    """The column as moments in UTC, datetime64[us], NaT where missing; a time without a zone is in UTC.

    Dates, datetimes and texts in ISO 8601; raises ValueError, which says how many and where, for anything else.

    >>> moments_of(["2013-01-01T05:00", "2013-01-01 06:00+01:00", None])
    array(['2013-01-01T05:00:00.000000', '2013-01-01T05:00:00.000000', 'NaT'], dtype='datetime64[us]')
    """
    array = as_array(values)
    if array.dtype.kind == "M":
        return array.astype("datetime64[us]")
    if array.dtype.kind not in "OUT" and len(array):
        raise ValueError(f"holds numbers, such as {shown(array[:1].tolist())}; expected times")
    items = array.tolist()
    moments: list[Any] = [_moment_of(item) for item in items]
    wrong = [row for row, moment in enumerate(moments) if moment is _NO_MOMENT]
    if wrong:
        raise ValueError(
            f"is no time in {_rows(wrong, items)}, {shown(items[wrong[0]])}; expected e.g. 2013-01-31T05:00"
        )
    return np.array(moments, dtype="datetime64[us]")


def level_of(value: Any) -> str | None:
    """The name of a value as a level of a category; None where it is missing.

    A whole number has the same name however it is stored, since a file with a missing value turns 3 into 3.0.

    >>> level_of("EWR"), level_of(3), level_of(3.0), level_of(0.5), level_of(True), level_of("")
    ('EWR', '3', '3', '0.5', 'True', None)
    """
    if isinstance(value, str):
        return str(value) or None
    if is_missing(value):
        return None
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (int, float, np.integer, np.floating)):
        number = float(value)
        return str(int(value)) if number.is_integer() else repr(number)
    return str(value)


def levels_of(values: Any) -> list[str | None]:
    """The level of every row."""
    array = as_array(values)
    if array.dtype.kind in "biuf":
        distinct, positions = np.unique(array, return_inverse=True)
        names = [level_of(value) for value in distinct.tolist()]
        return [names[position] for position in positions.tolist()]
    items = array.tolist()
    if set(map(type, items)) <= {str, type(None)}:
        return [item or None for item in items]
    return [level_of(item) for item in items]


def codes_of(values: Any, levels: Mapping[str, int], *, other: int, missing: int) -> NDArray[np.int64]:
    """The code of every row's level: `other` for levels that are not in `levels`, `missing` for none.

    >>> codes_of(["a", "x", None], {"a": 0}, other=1, missing=2)
    array([0, 1, 2])
    """
    array = as_array(values)
    if array.dtype.kind in "biuf":
        distinct, positions = np.unique(array, return_inverse=True)
        return _codes(distinct.tolist(), levels, other, missing)[positions]
    if array.dtype.kind in "Mm":
        array = array.astype(str)
    return _codes(array.tolist(), levels, other, missing)


def whole_levels(levels: Mapping[str, int]) -> dict[Hashable, int]:
    """The codes of levels that are whole numbers, by the number.

    >>> whole_levels({"7": 0, "EWR": 1, "08": 2})
    {7: 0}
    """
    return {int(level): code for level, code in levels.items() if _is_whole(level)}


def shown(value: object) -> str:
    """A value in a message: on one line and not long."""
    if isinstance(value, list) and len(value) == 1:
        return shown(value[0])
    text = ascii(value)
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "..."


def _codes(items: list[Any], levels: Mapping[str, int], other: int, missing: int) -> NDArray[np.int64]:
    """One look into a dictionary a row; only what it does not know is looked at closely."""
    known: dict[Hashable, int] = {None: missing}
    known.update(whole_levels(levels))
    known.update(levels)
    try:
        codes = [known.get(item, -1) for item in items]
    except TypeError:  # a list or a dict among the values
        codes = [-1] * len(items)
    result = np.array(codes, dtype=np.int64)
    for row in np.flatnonzero(result < 0).tolist():
        level = level_of(items[row])
        result[row] = missing if level is None else levels.get(level, other)
    return result


def _numbers_of_objects(items: list[Any]) -> NDArray[np.float64]:
    types = set(map(type, items))
    absent = {one for one in types if one.__name__ in _MISSING_NAMES}
    wrong = {one for one in types if one not in absent and not _is_number_type(one)}
    if wrong:
        rows = [row for row, item in enumerate(items) if type(item) in wrong]
        raise ValueError(f"is no number in {_rows(rows, items)}, {shown(items[rows[0]])}; expected numbers")
    if absent - {type(None)}:
        items = [None if type(item) in absent else item for item in items]
    try:
        return np.array(items, dtype=np.float64)
    except OverflowError:  # a whole number beyond 1e308
        return np.array([_as_float(item) for item in items])


def _is_whole(level: str) -> bool:
    return level.isascii() and level.removeprefix("-").isdigit() and str(int(level)) == level


def _as_float(item: Any) -> float:
    try:
        return math.nan if item is None else float(item)
    except OverflowError:
        return math.inf


def _is_number_type(one: type) -> bool:
    return issubclass(one, (Real, Decimal, np.bool_))


_NO_MOMENT = object()


def _moment_of(item: Any) -> Any:
    """A datetime in UTC without a zone, None where missing, _NO_MOMENT for anything else."""
    if item is None or is_missing(item) or item == "":
        return None
    if isinstance(item, str):
        try:
            item = datetime.datetime.fromisoformat(item.strip())
        except ValueError:
            return _NO_MOMENT
    if isinstance(item, np.datetime64):
        return item.astype("datetime64[us]").astype(datetime.datetime)
    if isinstance(item, datetime.datetime):
        try:
            return item if item.tzinfo is None else item.astimezone(datetime.UTC).replace(tzinfo=None)
        except OverflowError:  # the first of January of the year 1, east of Greenwich
            return _NO_MOMENT
    if isinstance(item, datetime.date):
        return datetime.datetime(item.year, item.month, item.day)
    return _NO_MOMENT


def _rows(rows: Any, values: Any) -> str:
    return f"{len(rows):,} of {len(values):,} rows, first in row {int(rows[0])} (from 0)"
