"""Columns as a user sends them, as plain arrays and lists: what needs no table library.

The scoring server reads requests with it; `packing` takes columns on into tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from operator import itemgetter
from types import NoneType
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

OF_JSON = {str, int, float, bool, NoneType}


def missing(value: Any) -> bool:
    """Whether a single value is one of the marks for "no value": None, nan, NaT, pandas' NA."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return bool(isinstance(value, float | np.floating) and np.isnan(value))


def plain(values: Any) -> Array:
    """A column of any origin as one flat array of bools, numbers, datetime64 or objects.

    values: an array, a pandas Series or Categorical, a list; shape (n,). A missing value in objects is None.

    >>> plain([1, None, 3])
    array([1, None, 3], dtype=object)
    """
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    array: Array = values if isinstance(values, np.ndarray) else objects_of(list(values))
    if array.ndim != 1:
        raise ValueError(f"a column has one dimension, this one has shape {array.shape}")
    if array.dtype.kind in "biufM":
        return array
    objects = array.tolist()
    types = types_of(objects)
    if types <= {str, NoneType}:  # by far the most frequent, and 20 times as quick
        return objects_of(objects)
    if types <= OF_JSON:  # nan is unlike itself, and nothing else among these is
        return objects_of([value if value == value else None for value in objects])
    return objects_of([None if missing(value) else value for value in objects])


def plain_json(values: Sequence[Any]) -> Array:
    """A column out of JSON, as `plain` gives it, but that numbers or bools, all of one kind, are an array of them.

    >>> plain_json([1.5, 2.0]), plain_json([True]), plain_json([1, None])
    (array([1.5, 2. ]), array([ True]), array([1, None], dtype=object))
    """
    types = types_of(values)
    if types == {float}:
        return np.array(values, np.float64)
    if types == {bool}:
        return np.array(values, np.bool_)
    if types == {int}:
        with suppress(OverflowError):
            return np.array(values, np.int64)
    return objects_of(values) if types <= {str, NoneType} else plain(values)


def types_of(values: Iterable[Any]) -> set[type]:
    """The types of some values."""
    return set(map(type, values))


def objects_of(values: Sequence[Any]) -> Array:
    """Values as they are, in an array of objects, shape (n,)."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def columns_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Rows as columns; None where a row lacks one.

    >>> columns_of([{"a": 1, "b": "x"}, {"a": 2}])
    {'a': [1, 2], 'b': ['x', None]}
    """
    names = dict.fromkeys(rows[0]) if rows else {}
    if len(names) > 1 and set(map(len, rows)) == {len(names)}:
        with suppress(KeyError):  # as many names, but others
            columns = zip(*map(itemgetter(*names), rows), strict=True)
            return dict(zip(names, map(list, columns), strict=True))
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def moments(values: Any) -> Array:
    """Moments of any kind as datetime64[us] in UTC, NaT where there is none; without a zone it is UTC.

    >>> moments([datetime(2013, 3, 1, 12, tzinfo=UTC), None])
    array(['2013-03-01T12:00:00.000000', 'NaT'], dtype='datetime64[us]')
    """
    array = plain(values)
    if array.dtype.kind == "M":
        return array.astype("datetime64[us]")
    return np.array([_naive(value) for value in array], dtype="datetime64[us]")


def _naive(value: Any) -> Any:
    if isinstance(value, datetime):
        return np.datetime64(value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value, "us")
    return value if isinstance(value, np.datetime64) else np.datetime64("NaT", "us")
