"""Columns as a user sends them, as Arrow columns and back again, with nothing lost on the way.

Numbers of every kind lie in one column of doubles, text in one of strings, moments in one of timestamps; what
a column was at first (whole numbers, true and false) stands in the metadata of its field. A value that does
not fit the column that is already there, text among numbers for instance, goes as JSON into a second column
beside it, so that one bad row cannot stop the log and other readers still find one type to a column.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from types import NoneType
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from pipelines.plain_columns import OF_JSON, Array, missing, moments, objects_of, plain, types_of

Kind = Literal["number", "integer", "boolean", "text", "time"]

TIMESTAMP = pa.timestamp("us", "UTC")
NUMBERS = pa.list_(pa.float64())
STORAGE = {
    "number": pa.float64(),
    "integer": pa.float64(),
    "boolean": pa.float64(),
    "text": pa.string(),
    "time": TIMESTAMP,
}
_EXACT = 2**53  # the largest whole number up to which every whole number is a double


@dataclass(frozen=True)
class Packed:
    """A column ready to be written. odd: JSON of the values that do not fit `kind`; None where all fit."""

    kind: Kind
    array: Any
    odd: Any | None


def kind_of(values: Array) -> Kind | None:
    """What a plain column is; None where it holds no value at all, and so does not say.

    >>> kind_of(plain(["AA", None])), kind_of(plain([True, None])), kind_of(plain([None]))
    ('text', 'boolean', None)
    """
    by_dtype: dict[str, Kind] = {"b": "boolean", "i": "integer", "u": "integer", "f": "number", "M": "time"}
    if values.dtype.kind in by_dtype:
        return by_dtype[values.dtype.kind]
    found = {_kind_of_type(one) for one in types_of(values) if one is not NoneType}
    if not found:
        return None
    if found <= {"integer", "number"}:
        return "number" if "number" in found else "integer"
    return found.pop() if len(found) == 1 else "text"


def _kind_of_type(one: type) -> Kind:
    if issubclass(one, bool | np.bool_):
        return "boolean"
    if issubclass(one, int | np.integer):
        return "integer"
    if issubclass(one, float | np.floating):
        return "number"
    return "time" if issubclass(one, datetime | np.datetime64) else "text"


def pack(values: Any, kind: Kind | None = None) -> Packed | None:
    """A column as Arrow, of the kind that the table holds already, or of its own; None where it is empty.

    >>> packed = pack([1, 2.5, "two"], "number")
    >>> packed.array.to_pylist(), packed.odd.to_pylist()
    ([1.0, 2.5, None], [None, None, '"two"'])
    """
    if isinstance(values, np.ndarray) and values.dtype == object and kind in (None, "text"):
        types = types_of(values.tolist())
        if str in types and types <= {str, NoneType}:  # by far the most frequent of objects
            return Packed("text", strings(values), None)
    array = plain(values)
    own = kind_of(array)
    if own is None:
        return None if kind is None else Packed(kind, pa.nulls(len(array), STORAGE[kind]), None)
    kind = kind or own
    if kind == "text" and types_of(array) <= {str, NoneType}:
        return Packed(kind, strings(array), None)
    if kind == "text":
        return _packed(kind, array, [isinstance(value, str) for value in array], strings)
    if kind == "time":
        fits = [own == "time" or isinstance(value, datetime) for value in array]
        return _packed(kind, array, fits, _moments)
    if array.dtype.kind in "bf" or (array.dtype.kind in "iu" and _exact(array)):
        return Packed(kind, doubles(array.astype(np.float64)), None)
    if types_of(array) <= OF_JSON - {str}:
        numbers = array.astype(np.float64)  # None becomes nan
        if not np.any(np.abs(numbers) >= _EXACT):
            return Packed(kind, doubles(numbers), None)
    return _packed(kind, array, [_is_double(value) for value in array], _numbers)


def _exact(array: Array) -> bool:
    return not len(array) or (int(array.max()) <= _EXACT and int(array.min()) >= -_EXACT)


def _is_double(value: Any) -> bool:
    if isinstance(value, bool | np.bool_ | float | np.floating):
        return True
    return isinstance(value, int | np.integer) and -_EXACT <= int(value) <= _EXACT


def _packed(kind: Kind, array: Array, fits: Sequence[bool], to_arrow: Any) -> Packed:
    fitting = objects_of([value if fit else None for value, fit in zip(array, fits, strict=True)])
    rest = [None if fit or value is None else _json(value) for value, fit in zip(array, fits, strict=True)]
    odd = None if all(value is None for value in rest) else strings(rest)
    return Packed(kind, to_arrow(fitting), odd)


def _json(value: Any) -> str:
    if hasattr(value, "item"):
        value = value.item()
    return json.dumps(value, default=str)


def _numbers(values: Array) -> Any:
    return doubles(
        np.array([np.nan if value is None else float(value) for value in values], dtype=np.float64)
    )


def _moments(values: Array) -> Any:
    return timestamps(moments(values))


# Arrays are built from buffers: `pyarrow.array` imports pandas, which costs the server a second and 60 MB.


def _valid(mask: Array) -> Any:
    return pa.py_buffer(np.packbits(mask, bitorder="little"))


def doubles(values: Array) -> Any:
    """float64, shape (n,); nan becomes null."""
    values = np.ascontiguousarray(values, dtype=np.float64)
    return pa.Array.from_buffers(pa.float64(), len(values), [_valid(~np.isnan(values)), pa.py_buffer(values)])


def integers(values: Array) -> Any:
    """int64, shape (n,), none missing."""
    values = np.ascontiguousarray(values, dtype=np.int64)
    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(values)])


def strings(values: Sequence[str | None] | Array) -> Any:
    """Text, None where it is missing. A lone surrogate, which UTF-8 cannot hold, becomes a question mark."""
    given: Sequence[Any] = values.tolist() if isinstance(values, np.ndarray) else values
    if len(given) and given[0] == given[-1] and given.count(given[0]) == len(given):
        return _repeated(given[0], len(given))
    valid, found = None, given
    if None in given:
        valid = _valid(np.array([value is not None for value in given], dtype=bool))
        found = [value or "" for value in given]
    data = "".join(found).encode("utf-8", "replace")
    lengths = np.fromiter(map(len, found), np.int64, len(found))
    if len(data) != lengths.sum():  # not one byte for each letter
        lengths[:] = [len(text.encode("utf-8", "replace")) for text in found]
    offsets = np.zeros(len(found) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    buffers = [valid, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.string(), len(found), buffers)


def _repeated(text: str | None, rows: int) -> Any:
    """The same text in each row, as who asks most often is, or None."""
    if text is None:
        return pa.nulls(rows, pa.string())
    data = text.encode("utf-8", "replace")
    offsets = np.arange(rows + 1, dtype=np.int32) * np.int32(len(data))
    return pa.Array.from_buffers(pa.string(), rows, [None, pa.py_buffer(offsets), pa.py_buffer(data * rows)])


def timestamps(values: Array) -> Any:
    """datetime64, shape (n,); NaT becomes null."""
    stamps = np.ascontiguousarray(values, dtype="datetime64[us]")
    buffers = [_valid(~np.isnat(stamps)), pa.py_buffer(stamps.view(np.int64))]
    return pa.Array.from_buffers(TIMESTAMP, len(stamps), buffers)


def number_lists(values: Array) -> Any:
    """float64, shape (n, k), as n lists of k numbers."""
    rows, width = values.shape
    offsets = (
        np.arange(0, (rows + 1) * width, width, dtype=np.int32) if width else np.zeros(rows + 1, np.int32)
    )
    offsets = pa.Array.from_buffers(pa.int32(), rows + 1, [None, pa.py_buffer(offsets)])
    return pa.ListArray.from_arrays(offsets, doubles(values.reshape(-1)))


def unpack(column: Any, odd: Any | None, kind: Kind) -> Array:
    """A column as it was sent: bools, whole numbers, doubles with nan, datetime64, or objects with None.

    column, odd: Arrow, shape (n,). Whole numbers with one missing come back as doubles, as from pandas.
    """
    values = _unpacked(column, kind)
    if odd is None or odd.null_count == len(odd):
        return values
    mixed = objects_of([None if missing(value) else value for value in values.tolist()])
    for place, text in enumerate(odd.to_pylist()):
        if text is not None:
            mixed[place] = json.loads(text)
    return mixed


def _unpacked(column: Any, kind: Kind) -> Array:
    if kind == "time":
        return times_of(column)
    values: Array = column.to_numpy(zero_copy_only=False)
    if kind == "text":
        return values.astype(object)
    values = values.astype(np.float64)
    whole = bool(np.isfinite(values).all()) and bool((values == np.floor(values)).all())
    if kind == "integer" and whole:
        return values.astype(np.int64)
    if kind == "boolean" and bool(np.isin(values[~np.isnan(values)], (0.0, 1.0)).all()):
        return _booleans(values)
    return values


def _booleans(values: Array) -> Array:
    if not np.isnan(values).any():
        return values.astype(bool)
    return objects_of([None if np.isnan(value) else bool(value) for value in values])


def times_of(column: Any) -> Array:
    """An Arrow column of moments as datetime64[us] in UTC, NaT where null."""
    moments: Array = column.cast(pa.timestamp("us")).to_numpy(zero_copy_only=False)
    return moments.astype("datetime64[us]")
