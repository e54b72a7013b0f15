"""What the tables of the log look like, and how rows get into them and out again.

Beside its own columns a table has the user's: each under a name of its own, with the name that the user gave
it and the kind of its values in the metadata of the field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol, cast

import numpy as np
import pyarrow as pa

from pipelines.arrival import ArrivingRow
from pipelines.packing import (
    NUMBERS,
    STORAGE,
    TIMESTAMP,
    Kind,
    integers,
    number_lists,
    pack,
    strings,
    times_of,
    timestamps,
    unpack,
)
from pipelines.plain_columns import Array, columns_of, plain, plain_json
from pipelines.waiting import MovingRows

PREDICTIONS = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("time", TIMESTAMP),
        pa.field("known_at", TIMESTAMP),
        pa.field("version", pa.int64()),
        pa.field("prediction", NUMBERS),
        pa.field("caller", pa.string()),
        pa.field("key", pa.string()),
    ]
)
EVENTS = pa.schema(
    [
        pa.field("number", pa.int64()),
        pa.field("key", pa.string()),
        pa.field("kind", pa.string()),
        pa.field("known_at", TIMESTAMP),
        pa.field("author", pa.string()),
        pa.field("payload", pa.string()),
    ]
)
_INPUT = "input_"
_ODD = "odd_"  # beside a column: JSON of the values that do not fit its type
_NAME, _KIND = "losswatch.name", "losswatch.kind"


@dataclass(frozen=True)
class Place:
    """Where a column of the user's lies in a table."""

    field: str
    kind: Kind


def places(schema: Any) -> dict[str, Place]:
    """Where each of the user's columns lies in an Arrow schema, by the user's name for it."""
    found = {}
    for field in schema:
        metadata = field.metadata or {}
        if _KIND.encode() in metadata:
            kind = cast(Kind, metadata[_KIND.encode()].decode())
            found[metadata[_NAME.encode()].decode()] = Place(field.name, kind)
    return found


# --- into a table ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ScoredRows:
    """Scored rows on the way into the table.

    times, known_at: datetime64[us]; versions: int64; predictions: float64 (n, k); all of n rows.
    """

    ids: Sequence[str]
    times: Array
    known_at: Array
    versions: Array
    predictions: Array
    columns: Mapping[str, Array]
    callers: Sequence[str]
    keys: Sequence[str | None]

    def __post_init__(self) -> None:
        rows = len(self.ids)
        lengths = {"times": len(self.times), "predictions": len(self.predictions)}
        lengths |= {name: len(column) for name, column in self.columns.items()}
        wrong = {name: length for name, length in lengths.items() if length != rows}
        if wrong:
            raise ValueError(f"{rows} ids, but another number of rows in {wrong}")
        if len(set(self.ids)) != rows:
            raise ValueError(f"{rows} ids, of which {len(set(self.ids))} differ; every row needs its own")

    def __len__(self) -> int:
        return len(self.ids)

    def table(self, schema: Any) -> Any:
        """The rows as Arrow, for a table that has this schema."""
        own = [
            strings(self.ids),
            timestamps(self.times),
            timestamps(self.known_at),
            integers(self.versions),
            number_lists(self.predictions),
            strings(self.callers),
            strings(self.keys),
        ]
        return with_columns(PREDICTIONS, own, _INPUT, self.columns, schema)


def arrived_rows(rows: Sequence[ArrivingRow]) -> ScoredRows:
    """Rows from SQLite, on the way into the table."""
    return ScoredRows(
        [row.id for row in rows],
        np.array([row.time for row in rows], dtype="datetime64[us]"),
        np.array([row.known_at for row in rows], dtype="datetime64[us]"),
        np.array([row.version for row in rows], dtype=np.int64),
        padded([row.prediction for row in rows]),
        {name: plain(column) for name, column in columns_of([row.inputs for row in rows]).items()},
        [row.caller for row in rows],
        [row.key for row in rows],
    )


def arrived_requests(rows: MovingRows) -> ScoredRows:
    """Rows of requests from SQLite, on the way into the table."""
    return ScoredRows(
        rows.ids,
        np.array(rows.times, dtype="datetime64[us]"),
        rows.known_at,
        rows.versions,
        padded(rows.predictions),
        {name: plain_json(column) for name, column in rows.columns.items()},
        rows.callers,
        rows.keys,
    )


def event_row(known_at: int, **texts: str | None) -> Callable[[Any, int], Any]:
    """What appends one event. known_at: microseconds; texts: key, kind, author and payload, as JSON."""

    def table(_: Any, number: int) -> Any:
        moment = timestamps(np.array([known_at], dtype="datetime64[us]"))
        own = {"number": integers(np.array([number])), "known_at": moment}
        own |= {name: strings([text]) for name, text in texts.items()}
        return pa.Table.from_arrays([own[name] for name in EVENTS.names], schema=EVENTS)

    return table


def with_columns(
    fields: Any, own: Sequence[Any], prefix: str, columns: Mapping[str, Array], schema: Any
) -> Any:
    """A table of its own columns and the user's, these where `schema` has them already or under new names."""
    known, taken = places(schema), {name.lower() for name in schema.names}
    fields, arrays = list(fields), list(own)
    for name, values in columns.items():
        place = known.get(name)
        packed = pack(values, place.kind if place else None)
        if packed is None:
            continue  # a new column without a single value: its type shows when the first one comes
        field = place.field if place else _free(prefix + name, taken)
        taken.add(field.lower())
        fields.append(pa.field(field, STORAGE[packed.kind], metadata={_NAME: name, _KIND: packed.kind}))
        arrays.append(packed.array)
        if packed.odd is not None:
            fields.append(pa.field(_ODD + field, pa.string()))
            arrays.append(packed.odd)
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


class Part(Protocol):
    """Some rows on the way into a table."""

    def __len__(self) -> int: ...

    def table(self, schema: Any, /) -> Any: ...


class Together:
    """Parts that land in one commit, each as Arrow as soon as it is read: as rows they take three times the memory.

    Each finds the columns that those before it have brought.
    """

    def __init__(self, read: Callable[[int], Part], schema: Any) -> None:
        """read: a part by its number, again where that is needed; schema: of the table as it is now."""
        self._read, self._begun, self._schema = read, schema, schema
        self._numbers: list[int] = []
        self._tables: list[Any] = []

    def add(self, number: int) -> None:
        """Reads a part."""
        self._numbers.append(number)
        self._take(number)

    def _take(self, number: int) -> None:
        table = self._read(number).table(self._schema)
        for field in table.schema:
            if field.name not in self._schema.names:
                self._schema = self._schema.append(field)
        self._tables.append(table)

    def __len__(self) -> int:
        """How many rows there are."""
        return sum(map(len, self._tables))

    @property
    def bytes(self) -> int:
        """What they take in memory."""
        return sum(table.nbytes for table in self._tables)

    @property
    def last(self) -> int:
        """The number of the last part."""
        return self._numbers[-1]

    def table(self, schema: Any) -> Any:
        """All of them as one Arrow table, for a table that has this schema."""
        if not schema.equals(self._begun, check_metadata=True):  # somebody has brought a column meanwhile
            self._begun = self._schema = schema
            self._tables = []
            for number in self._numbers:
                self._take(number)
        return joined(*self._tables)


def joined(*tables: Any) -> Any:
    """The rows of several Arrow tables; null where one lacks a column."""
    return pa.concat_tables(tables, promote_options="default")


def _free(name: str, taken: set[str]) -> str:
    """The name, or one like it: Delta takes "Temp" and "temp" for the same."""
    number, free = 1, name
    while free.lower() in taken:
        number += 1
        free = f"{name}_{number}"
    return free


def given(column: Array) -> Array:
    """Whether a value is there, bool (n,), of a plain column."""
    if column.dtype == object:
        return np.array([value is not None for value in column], dtype=bool)
    return np.asarray(column == column)  # nan and NaT are not equal to themselves


def matrix(predictions: Any) -> Array:
    """Predictions as float64 (n, k), from (n, k) or (n,)."""
    values = np.asarray(predictions, dtype=np.float64)
    if values.ndim not in (1, 2):
        raise ValueError(f"predictions of shape {values.shape}, expected (n, k) or (n,)")
    return values if values.ndim == 2 else values[:, np.newaxis]


def padded(predictions: Sequence[Sequence[float | None]]) -> Array:
    """Rows of numbers as float64 (n, k), nan after the end of a shorter row and where a number is missing."""
    widths = set(map(len, predictions))
    if widths == {1}:
        return np.array(list(chain.from_iterable(predictions)), np.float64).reshape(-1, 1)
    width = max(widths, default=1)
    if width == 1:
        return np.array([row[0] if row else None for row in predictions], np.float64).reshape(-1, 1)
    filled = np.full((len(predictions), width), np.nan)
    for place, row in enumerate(predictions):
        filled[place, : len(row)] = row
    return filled


# --- out of a table ----------------------------------------------------------------------------------


def wanted(columns: Sequence[str] | None) -> Callable[[Any], list[str]]:
    """Which columns of a schema hold these inputs, and what belongs to every row; None for all inputs."""

    def names(schema: Any) -> list[str]:
        known = places(schema)
        fields = [known[name].field for name in (known if columns is None else columns) if name in known]
        odd = [_ODD + field for field in fields if _ODD + field in schema.names]
        own = [name for name in PREDICTIONS.names if name in schema.names]  # a table of before lacks the key
        return [*own, *fields, *odd]

    return names


def inputs_of(table: Any, columns: Sequence[str] | None) -> dict[str, Array]:
    """The user's columns of a table as they were received: all, or those named, of None where none ever came."""
    known = places(table.schema)
    return {
        name: values_of(table, known[name]) if name in known else np.full(len(table), None, dtype=object)
        for name in (known if columns is None else columns)
    }


def values_of(table: Any, place: Place) -> Array:
    """One of the user's columns, as `packing.unpack` gives it."""
    odd = _ODD + place.field
    return unpack(table[place.field], table[odd] if odd in table.schema.names else None, place.kind)


def in_order(table: Any) -> Any:
    """The rows by time, then by id; of an id that is there twice only the one that was known first."""
    ids = np.asarray(table["id"].to_pylist(), dtype=str)
    times, known_at = times_of(table["time"]), times_of(table["known_at"])
    order = np.lexsort((known_at, ids, times))
    if len(set(ids.tolist())) < len(ids):
        first = np.lexsort((times, known_at))
        _, place = np.unique(ids[first], return_index=True)
        order = order[np.isin(order, first[place])]
    return table.take(integers(order))


def predictions_of(column: Any) -> Array:
    """An Arrow column of lists of numbers as float64 (n, k), nan where a list is shorter."""
    flat = column.combine_chunks()
    lengths = flat.value_lengths().to_numpy(zero_copy_only=False)
    if not len(lengths):
        return np.zeros((0, 1))
    if (lengths == lengths[0]).all():
        values: Array = flat.flatten().to_numpy(zero_copy_only=False)
        return values.astype(np.float64).reshape(len(lengths), int(lengths[0]))
    return padded(column.to_pylist())
