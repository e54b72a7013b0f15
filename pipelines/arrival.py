"""What arrives, as records, and as it is packed into a row of SQLite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

COLUMNS = "known_at, version, caller, own, content"  # of a packed request, as `unpacked` wants them
_AT_ONCE = 1000  # rows up to which a request is packed in one step
_ENDS = tuple(f"-{row:05x}" for row in range(_AT_ONCE))  # of the ids that the server makes


class Conflict(Exception):
    """An id came again with another body."""


class Busy(Exception):
    """Another thread is writing; try again in a moment."""


@dataclass(frozen=True)
class ArrivingRow:
    """One scored row. time, known_at: microseconds since 1970 in UTC; inputs: JSON values by column.

    key: the user's own name for what the row is about; several rows may have the same.
    """

    id: str
    time: int
    known_at: int
    version: int
    prediction: tuple[float, ...]
    inputs: Mapping[str, Any]
    caller: str = ""
    key: str | None = None


class Arrival(NamedTuple):
    """The scored rows of one request.

    times: one each, known_at: of all, microseconds since 1970 in UTC; predictions: some numbers each, None where
    one is missing; columns: the values of all rows by name; own: whether the client named the ids, so that they may
    have come before; keys: the user's own names for what the rows are about, None where there are none; start: what
    the ids are made from, where they are those of `ids_from`.
    """

    ids: Sequence[str]
    times: Sequence[int]
    predictions: Sequence[Sequence[float | None]]
    columns: Mapping[str, Sequence[Any]]
    known_at: int
    version: int
    caller: str
    own: bool
    keys: Sequence[str | None] | None = None
    start: str | None = None

    def inputs(self, place: int) -> dict[str, Any]:
        """The inputs of one row."""
        return {name: values[place] for name, values in self.columns.items()}

    def key(self, place: int) -> str | None:
        """The user's own name for what a row is about."""
        return None if self.keys is None else self.keys[place]

    def take(self, places: Sequence[int]) -> Arrival:
        """Some of the rows."""
        return self._replace(
            ids=[self.ids[place] for place in places],
            times=[self.times[place] for place in places],
            predictions=[self.predictions[place] for place in places],
            columns={name: [values[place] for place in places] for name, values in self.columns.items()},
            keys=None if self.keys is None else [self.keys[place] for place in places],
            start=None,
        )


class Stored(NamedTuple):
    """The rows of a request of which some came before: these have the answer that they had then."""

    predictions: list[Sequence[float | None]]
    versions: list[int]


@dataclass(frozen=True)
class ArrivingLabel:
    """One truth that became known. value: a number, a text or a bool; known_at: as in `ArrivingRow`.

    id: of a prediction, or, where `keyed`, the user's own key; moment: when it was found out, in microseconds, where
    that was said; caller: who said it.
    """

    id: str
    value: Any
    known_at: int
    moment: int | None = None
    keyed: bool = False
    caller: str = ""


def packed(number: int, arrival: Arrival) -> tuple[Any, ...]:
    """What a request is in its table, all columns. number: by which it lies there."""
    ids, times, predictions, columns, known_at, version, caller, own, keys, start = arrival
    first, last = min(times), max(times)
    # what all rows have in common is written once: of many rows that is a third of the bytes
    parts: tuple[Any, ...] = (start or ids, first if first == last else times, predictions, columns)
    parts = parts if keys is None else (*parts, keys)
    content = orjson.dumps(parts) if len(ids) <= _AT_ONCE else _in_steps(parts)
    return number, len(ids), first, last, known_at, version, caller, own, content


def _in_steps(parts: Sequence[Any]) -> bytes:
    """The same JSON, column by column: no step keeps other threads waiting for long."""
    written = []
    for part in parts:
        if isinstance(part, Mapping):
            columns = [b"%b:%b" % (orjson.dumps(name), orjson.dumps(values)) for name, values in part.items()]
            written.append(b"{%b}" % b",".join(columns))
        else:
            written.append(orjson.dumps(part))
    return b"[%b]" % b",".join(written)


def arrival_of(row: ArrivingRow) -> Arrival:
    """A row as a request of its own, whose id the client named."""
    columns = {name: [value] for name, value in sorted(row.inputs.items())}
    return Arrival(
        [row.id],
        [row.time],
        [row.prediction],
        columns,
        row.known_at,
        row.version,
        row.caller,
        own=True,
        keys=None if row.key is None else [row.key],
    )


def unpacked(found: Sequence[Any]) -> Arrival:
    """A request from the `COLUMNS` of its table."""
    known_at, version, caller, own, content = found
    ids, times, predictions, columns, keys, start = content_of(orjson.loads(content))
    return Arrival(ids, times, predictions, columns, known_at, version, caller, bool(own), keys, start)


class Content(NamedTuple):
    """What was packed of the rows of a request; the fields are those of `Arrival`."""

    ids: list[str]
    times: list[int]
    predictions: list[Sequence[float | None]]
    columns: dict[str, list[Any]]
    keys: list[str | None] | None
    start: str | None


def content_of(parts: Sequence[Any]) -> Content:
    """The content of a packed request, once its JSON is read."""
    ids, times, predictions, columns, *keys = parts
    rows, start = len(predictions), ids if isinstance(ids, str) else None
    return Content(
        ids if start is None else ids_from(start, rows),
        times if isinstance(times, list) else [times] * rows,
        predictions,
        columns,
        keys[0] if keys else None,
        start,
    )


def ids_from(start: str, rows: int) -> list[str]:
    """The ids of a request's rows, as the server makes them.

    >>> ids_from("18f3", 2)
    ['18f3-00000', '18f3-00001']
    """
    if rows <= _AT_ONCE:
        return [start + end for end in _ENDS[:rows]]
    return [f"{start}-{row:05x}" for row in range(rows)]


def start_of(id: str) -> str:
    """What an id was made from if it is one of `ids_from`."""
    return id.rpartition("-")[0]


def rows_of(arrival: Arrival) -> Iterator[ArrivingRow]:
    """The rows of a request, one by one."""
    for place, id in enumerate(arrival.ids):
        prediction: Any = tuple(arrival.predictions[place])
        yield ArrivingRow(
            id,
            arrival.times[place],
            arrival.known_at,
            arrival.version,
            prediction,
            arrival.inputs(place),
            arrival.caller,
            arrival.key(place),
        )


def same_inputs(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two rows have the same inputs to the letter: 1, 1.0 and true are three."""
    sort = orjson.OPT_SORT_KEYS
    return orjson.dumps(one, option=sort) == orjson.dumps(other, option=sort)
