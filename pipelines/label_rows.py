"""Labels in the log, and which of several holds: a function of the set of labels, whatever their order.

A label names a prediction, or by the user's own key all predictions about one thing. Its moment is when it was found
out, where that was said, and else when the log first knew this value of this id, so that a label which is delivered
again says nothing new. Of the labels of a row the one with the latest moment holds; of one moment a text before a
number, the larger number, the text that sorts later. True counts as 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.arrival import ArrivingLabel
from pipelines.log_rows import given, places, values_of, with_columns
from pipelines.packing import TIMESTAMP, strings, times_of, timestamps
from pipelines.plain_columns import Array, objects_of, plain

LABELS = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("key", pa.string()),
        pa.field("known_at", TIMESTAMP),
        pa.field("moment", TIMESTAMP),
        pa.field("caller", pa.string()),
    ]
)
_NAT = np.datetime64("NaT", "us")
_NUMBERS = "iufb"


@dataclass(frozen=True)
class LabelRows:
    """Labels on the way into the table, of n rows.

    ids, keys: texts, one of both None; values: plain; known_at, moments: datetime64[us], NaT where no moment was said.
    """

    ids: Sequence[str | None]
    keys: Sequence[str | None]
    values: Array
    known_at: Array
    moments: Array
    callers: Sequence[str]

    def __len__(self) -> int:
        return len(self.ids)

    def table(self, schema: Any) -> Any:
        """The labels as Arrow, for a table that has this schema."""
        own = [
            strings(self.ids),
            strings(self.keys),
            timestamps(self.known_at),
            timestamps(self.moments),
            strings(self.callers),
        ]
        return with_columns(LABELS, own, "", {"label": self.values}, schema)


def label_rows(
    ids: Sequence[Any], values: Any, known_at: Array, *, moments: Array, keyed: bool, caller: str
) -> LabelRows:
    """Those of n labels that are there; a missing value says nothing and is left out.

    ids: of predictions, or keys where `keyed`; known_at, moments: datetime64[us], shape (n,).
    """
    column = plain(values)
    if len(column) != len(ids) or len(moments) != len(ids):
        raise ValueError(f"{len(ids)} ids, {len(column)} labels and {len(moments)} moments")
    present = given(column)
    kept = [str(id) for id, keep in zip(ids, present, strict=True) if keep]
    nothing: list[str | None] = [None] * len(kept)
    return LabelRows(
        nothing if keyed else kept,
        kept if keyed else nothing,
        column[present],
        known_at[present],
        moments[present],
        [caller] * len(kept),
    )


def arrived_labels(labels: Sequence[ArrivingLabel]) -> LabelRows:
    """Labels from SQLite, on the way into the table."""
    labels = [label for label in labels if label.value is not None]
    return LabelRows(
        [None if label.keyed else label.id for label in labels],
        [label.id if label.keyed else None for label in labels],
        plain([label.value for label in labels]),
        np.array([label.known_at for label in labels], dtype="datetime64[us]"),
        np.array([_moment(label.moment) for label in labels], dtype="datetime64[us]"),
        [label.caller for label in labels],
    )


def _moment(microseconds: int | None) -> np.datetime64:
    return _NAT if microseconds is None else np.datetime64(microseconds, "us")


# --- which one holds ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Events:
    """Labels as they were sent, of n events.

    ids, keys: objects, None where the other one names the row; values: plain; ranks: float64 or int64, by which values
    of one moment are ordered, equal where they are; known_at, moments: datetime64[us], NaT where none was said.
    """

    ids: Array
    keys: Array
    values: Array
    ranks: Array
    known_at: Array
    moments: Array

    def __len__(self) -> int:
        return len(self.ids)


def events_of(table: Any) -> Events:
    """The labels of an Arrow table of any version of the log."""
    place = places(table.schema).get("label")
    values = values_of(table, place) if place is not None else np.full(len(table), np.nan)
    return Events(
        texts_of(table, "id"),
        texts_of(table, "key"),
        values,
        _ranks(values),
        times_of(table["known_at"]),
        times_of(table["moment"]) if "moment" in table.schema.names else np.full(len(table), _NAT),
    )


def texts_of(table: Any, name: str) -> Array:
    """A column of texts as objects, None where it is missing or the table lacks it."""
    if name not in table.schema.names:
        return np.full(len(table), None, dtype=object)
    return objects_of(table[name].to_pylist())


def _ranks(values: Array) -> Array:
    """Numbers by which values are ordered: numbers before texts."""
    if values.dtype.kind in _NUMBERS:
        return values.astype(np.float64) if values.dtype.kind == "b" else values
    distinct = sorted(set(values.tolist()), key=_in_order)
    ranks: dict[Any, int] = {}
    for value in distinct:  # true, 1 and 1.0 are one
        ranks.setdefault(value, len(ranks))
    return np.array([ranks[value] for value in values.tolist()], dtype=np.int64)


def _in_order(value: Any) -> tuple[int, Any, str]:
    """
    >>> sorted(["b", 2, True, "a", 1.5], key=_in_order)
    [True, 1.5, 2, 'a', 'b']
    """
    if isinstance(value, bool | int | float | np.number | np.bool_):
        return 0, value, ""
    return 1, 0, str(value)


@dataclass(frozen=True)
class Truth:
    """The label of each of n rows. first_known: datetime64[us], when the log knew the first label of a row, or NaT."""

    labels: Array
    first_known: Array


@dataclass(frozen=True)
class Held:
    """Of k things that were labelled: their places by name, the event that holds for each, its moment.

    first_known: when the log knew the first label of each.
    """

    places: dict[str, int]
    events: Array
    moments: Array
    first_known: Array


def truth(ids: Array, keys: Array, events: Events) -> Truth:
    """The label that holds for each row. ids, keys: objects, shape (n,), a key None where the row has none."""
    by_id = held(events, np.flatnonzero([id is not None for id in events.ids]), events.ids)
    by_key = held(events, np.flatnonzero([key is not None for key in events.keys]), events.keys)
    first, second = _found(by_id, ids), _found(by_key, keys)
    event, moment, known = _look(by_id, first)
    other, other_moment, other_known = _look(by_key, second)
    ranks = np.append(events.ranks, np.zeros(1, events.ranks.dtype))  # of no event, and not looked at
    later = (other >= 0) & (
        (event < 0) | (other_moment > moment) | ((other_moment == moment) & (ranks[other] > ranks[event]))
    )
    chosen = np.where(later, other, event)
    return Truth(_labels(events.values, chosen), np.fmin(known, other_known))


def held(events: Events, chosen: Array, names: Array) -> Held:
    """Which of some events holds, for each name that they give. chosen: places of the events, ascending."""
    index: dict[str, int] = {}
    codes = np.array([index.setdefault(name, len(index)) for name in names[chosen].tolist()], dtype=np.int64)
    known, ranks = events.known_at[chosen], events.ranks[chosen]
    moments = effective_moments(codes, ranks, known, events.moments[chosen])
    order = np.lexsort((ranks, moments, codes))
    last = np.flatnonzero(np.diff(codes[order], append=len(index)))
    first_known = np.full(len(index), np.iinfo(np.int64).max)
    np.minimum.at(first_known, codes, known.view(np.int64))
    best = order[last]
    return Held(index, chosen[best], moments[best], first_known.view("datetime64[us]"))


def effective_moments(codes: Array, ranks: Array, known_at: Array, moments: Array) -> Array:
    """The moments that count: where none was said, when this value of this id was first known without one."""
    silent = np.flatnonzero(np.isnat(moments))
    if not len(silent):
        return moments
    order = silent[np.lexsort((known_at[silent], ranks[silent], codes[silent]))]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (np.diff(codes[order]) != 0) | (ranks[order][1:] != ranks[order][:-1])
    counted = moments.copy()
    counted[order] = known_at[order][np.flatnonzero(new)[np.cumsum(new) - 1]]
    return counted


@dataclass(frozen=True)
class Counted:
    """What came among some labels. again: labels that say what another one said; corrected: other values at a later
    moment; conflicts: other values of the same moment; first_known: when a first was known, by kind and name.
    """

    again: int
    corrected: int
    conflicts: int
    first_known: dict[tuple[str, str], np.datetime64]


def counted(events: Events) -> Counted:
    """Counts labels by what they say beside the others; in whatever order they came, the same."""
    index: dict[tuple[str, str], int] = {}
    names = [
        ("id", id) if id is not None else ("key", key)
        for id, key in zip(events.ids, events.keys, strict=True)
    ]
    codes = np.array([index.setdefault(name, len(index)) for name in names], dtype=np.int64)
    moments = effective_moments(codes, events.ranks, events.known_at, events.moments)
    order = np.lexsort((events.ranks, moments, codes))
    code, moment, rank = codes[order], moments[order], events.ranks[order]
    same_name, same_moment = code[1:] == code[:-1], moment[1:] == moment[:-1]
    same_value = rank[1:] == rank[:-1]
    ends = np.ones(len(code), dtype=bool)  # of what was said of one thing at one moment: the value that holds
    ends[:-1] = ~(same_name & same_moment)
    code, rank = code[ends], rank[ends]
    first_known = np.full(len(index), np.iinfo(np.int64).max)
    np.minimum.at(first_known, codes, events.known_at.view(np.int64))
    return Counted(
        int((same_name & same_moment & same_value).sum()),
        int(((code[1:] == code[:-1]) & (rank[1:] != rank[:-1])).sum()),
        int((same_name & same_moment & ~same_value).sum()),
        dict(zip(index, first_known.view("datetime64[us]"), strict=True)),
    )


def _found(held: Held, names: Array) -> Array:
    return np.array([held.places.get(name, -1) for name in names.tolist()], dtype=np.int64)


def _look(held: Held, found: Array) -> tuple[Array, Array, Array]:
    """Event, moment and first moment of knowing of each row; -1 and NaT where there is none."""
    events = np.append(held.events, -1)[found]
    moments = np.append(held.moments, _NAT)[found]
    return events, moments, np.append(held.first_known, _NAT)[found]


def _labels(values: Array, chosen: Array) -> Array:
    """The values of the chosen events: numbers with nan where there is none, or objects with None."""
    if len(chosen) and (chosen >= 0).all():
        return values[chosen]
    if not len(values):
        return np.full(len(chosen), np.nan)
    numbers = values.dtype.kind in "fi"
    extended = np.empty(len(values) + 1, dtype=np.float64 if numbers else object)
    extended[:-1], extended[-1] = values, np.nan if numbers else None
    return extended[chosen]


def first_labels(rows: Any, labels: Any, name: str) -> Array:
    """When the log knew a first label of each row by its id or its key: datetime64[us] with NaT.

    rows, labels: Arrow tables with that column, the latter with known_at as well; whole logs may be so read.
    """
    if not len(rows) or name not in rows.column_names or name not in labels.column_names:
        return np.full(len(rows), _NAT)
    import pyarrow.compute as compute

    given = labels.filter(compute.is_valid(labels[name]))
    first = given.group_by(name).aggregate([("known_at", "min")])
    place = compute.index_in(rows[name], first[name].combine_chunks(), skip_nulls=True)
    return times_of(first["known_at_min"].take(place))
