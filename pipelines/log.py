"""The log: every prediction, every label and every event, each with the moment from which it was known.

Three Delta tables hold it, `predictions`, `labels` and `events`, which other engines read as they are. Rows that
a server takes one request at a time go to SQLite first and are moved on by `flush`; who reads sees both.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import orjson
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, SchemaMismatchError

from pipelines.arriving import (
    Arriving,
    ArrivingLabel,
    ArrivingRow,
    Queue,
    waiting_labels,
    waiting_rows,
)
from pipelines.bundle import plain
from pipelines.errors import UserError
from pipelines.packing import (
    NUMBERS,
    STORAGE,
    TIMESTAMP,
    Array,
    Kind,
    integers,
    number_lists,
    pack,
    strings,
    times_of,
    timestamps,
    unpack,
)
from pipelines.packing import plain as plain_column

logger = logging.getLogger(__name__)

STORE_VERSION = "1"
_INPUT = "input_"
_ODD = "odd_"  # beside a column: JSON of the values that do not fit its type
_FLUSHED = "arriving"  # the name under which a table remembers the last batch moved on from SQLite
_ATTEMPTS = 10  # two processes that add a column at once: the second tries again on the new table
_MANY_FILES = 64  # appends between two compactions; 72 files: 0.11 s to open, 6 files: 0.01 s
_FILE_BYTES = 32 * 2**20
_GROUP_ROWS = 8192  # a window is found by the statistics of row groups: 7,000 of 500,000 rows in 0.04 s
_UNDO_HOURS = 24  # replaced files stay so long, for readers that began before

_PREDICTIONS = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("time", TIMESTAMP),
        pa.field("known_at", TIMESTAMP),
        pa.field("version", pa.int64()),
        pa.field("prediction", NUMBERS),
        pa.field("caller", pa.string()),
    ]
)
_LABELS = pa.schema([pa.field("id", pa.string()), pa.field("known_at", TIMESTAMP)])
_EVENTS = pa.schema(
    [
        pa.field("number", pa.int64()),
        pa.field("key", pa.string()),
        pa.field("kind", pa.string()),
        pa.field("known_at", TIMESTAMP),
        pa.field("author", pa.string()),
        pa.field("payload", pa.string()),
    ]
)


@dataclass(frozen=True)
class LabelledRows:
    """Rows that were scored, in the order of time, with the latest label known of each.

    ids: text, shape (n,); times, known_at: datetime64[us] in UTC; versions: int64; predictions: float64 (n, k),
    nan where a version gave fewer than k numbers; columns: the inputs as they were received; labels: shape (n,),
    numbers with nan where none is known, or objects with None.
    """

    ids: Array
    times: Array
    known_at: Array
    versions: Array
    predictions: Array
    columns: Mapping[str, Array]
    labels: Array

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def labelled(self) -> Array:
        """Whether a label is known, bool (n,)."""
        if self.labels.dtype == object:
            return np.array([label is not None for label in self.labels], dtype=bool)
        return ~np.isnan(self.labels.astype(np.float64))

    def take(self, chosen: Array) -> LabelledRows:
        """Some of the rows. chosen: a mask or places, as numpy takes them."""
        return LabelledRows(
            self.ids[chosen],
            self.times[chosen],
            self.known_at[chosen],
            self.versions[chosen],
            self.predictions[chosen],
            {name: column[chosen] for name, column in self.columns.items()},
            self.labels[chosen],
        )


@dataclass(frozen=True)
class Span:
    """What the log holds of predictions. first, last: times of rows, aware."""

    first: datetime
    last: datetime
    rows: int


@dataclass(frozen=True)
class Event:
    """Something that was found, decided or done. payload: plain JSON values; known_at: aware."""

    kind: str
    known_at: datetime
    author: str
    payload: Mapping[str, Any]
    key: str | None = None


@dataclass(frozen=True)
class Answer:
    """Rows as the log holds them after `arrive`: of an id that came before, the first answer."""

    ids: tuple[str, ...]
    predictions: Array
    versions: tuple[int, ...]


class Log:
    """The log of a project, in a folder that is made by the first write.

    Appends are atomic and may come from several processes; only one may take arriving rows. What was known at a
    moment t are the rows with known_at <= t, and `known_until` reads just these.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        _check_version(folder)
        self._predictions = _Table(folder, "predictions", _PREDICTIONS)
        self._labels = _Table(folder, "labels", _LABELS)
        self._events = _Table(folder, "events", _EVENTS)
        self._arriving: Arriving | None = None
        self._opening = threading.Lock()

    # --- in bulk -------------------------------------------------------------------------------------------

    def append_predictions(
        self,
        ids: Sequence[str] | Array,
        times: Any,
        columns: Mapping[str, Any],
        predictions: Any,
        *,
        version: int,
        known_at: datetime,
        caller: str = "",
        batch: str | None = None,
    ) -> bool:
        """Adds scored rows in one commit. Returns False where `batch` had landed before: then nothing is added.

        ids: n texts, no two alike; times: n moments, UTC where they have no zone; columns: the inputs as they
        were received; predictions: (n, k) or (n,).
        """
        made = _Scored.of(ids, times, columns, predictions, version=version, known_at=known_at, caller=caller)
        return self._predictions.append(made.table, _once("batch", batch))

    def append_labels(
        self, ids: Sequence[str] | Array, values: Any, *, known_at: datetime, batch: str | None = None
    ) -> bool:
        """Adds what turned out to be true of n rows, in one commit. Returns False where `batch` had landed before.

        values: n numbers, texts or bools; a missing one is left out. Of one id the label with the latest
        known_at holds.
        """
        moments = np.full(len(ids), np.datetime64(microseconds(known_at), "us"))
        return self._labels.append(_LabelBatch.of(ids, values, moments).table, _once("batch", batch))

    def append_event(
        self,
        kind: str,
        payload: Mapping[str, Any],
        *,
        known_at: datetime,
        author: str,
        key: str | None = None,
    ) -> bool:
        """Adds one event. Returns False where one of this `key` is there: then nothing is added."""
        text = orjson.dumps(plain(payload)).decode()

        def table(_: _Stored, number: int) -> Any:
            columns = [
                integers(np.array([number])),
                strings([key]),
                strings([kind]),
                timestamps(np.array([microseconds(known_at)], dtype="datetime64[us]")),
                strings([author]),
                strings([text]),
            ]
            return pa.Table.from_arrays(columns, schema=_EVENTS)

        return self._events.append(table, _once("event", key))

    # --- one request at a time -----------------------------------------------------------------------------

    def arrive(
        self,
        ids: Sequence[str],
        times: Any,
        columns: Mapping[str, Any],
        predictions: Any,
        *,
        version: int,
        known_at: datetime,
        caller: str = "",
    ) -> Answer:
        """Adds the rows of one request, on disk when it returns; `Conflict` where an id came with other inputs.

        An id that came before with the same inputs stays one row, and its first answer is given again.
        """
        inputs = _json_rows(columns, len(ids))
        moments = utc(times).view(np.int64).tolist()
        known = microseconds(known_at)
        rows = [
            ArrivingRow(str(id), moment, known, version, tuple(prediction), row, caller)
            for id, moment, prediction, row in zip(
                ids, moments, matrix(predictions).tolist(), inputs, strict=True
            )
        ]
        stored = self._writer().add(rows)
        return Answer(
            tuple(row.id for row in stored),
            _padded([row.prediction for row in stored]),
            tuple(row.version for row in stored),
        )

    def arrive_labels(self, ids: Sequence[str], values: Sequence[Any], *, known_at: datetime) -> None:
        """Adds the labels of one request, on disk when it returns."""
        known = microseconds(known_at)
        self._writer().add_labels(
            [ArrivingLabel(str(id), value, known) for id, value in zip(ids, values, strict=True)]
        )

    def flush(self) -> int:
        """Moves rows and labels that arrived on into the tables, each exactly once; returns how many."""
        writer = self._writer()
        return self._move(writer, "rows", self._predictions) + self._move(writer, "labels", self._labels)

    def _move(self, writer: Arriving, queue: Queue, table: _Table) -> int:
        landed, moved = table.landed(_FLUSHED), 0
        for batch in writer.to_move(queue, landed):
            found: Sequence[Any] = writer.rows(batch) if queue == "rows" else writer.labels(batch)
            table.append(_arrived(found), (_FLUSHED, batch))
            landed, moved = batch, moved + len(found)
        writer.forget(queue, landed)
        return moved

    def _writer(self) -> Arriving:
        with self._opening:
            if self._arriving is None:
                _prepare(self._folder)
                self._arriving = Arriving(self._folder)
            return self._arriving

    def close(self) -> None:
        """Lets go of the right to take arriving rows. Nothing is lost without it."""
        with self._opening:
            if self._arriving is not None:
                self._arriving.close()
            self._arriving = None

    def compact(self) -> None:
        """Joins the small files of many appends; done by itself from time to time."""
        for table in (self._predictions, self._labels, self._events):
            table.compact()

    # --- reading -------------------------------------------------------------------------------------------

    def predictions(
        self,
        start: datetime,
        end: datetime,
        *,
        known_until: datetime | None = None,
        columns: Sequence[str] | None = None,
    ) -> LabelledRows:
        """Rows with start <= time < end, and the label that was the latest at `known_until`.

        columns: the inputs that are wanted; None for all, () for none.
        """
        where = [("time", ">=", aware(start)), ("time", "<", aware(end)), *_known(known_until)]
        found, landed = self._predictions.read(where, _wanted(columns))
        waiting = waiting_rows(
            self._folder / "arriving.db",
            landed,
            start=microseconds(start),
            end=microseconds(end),
            known_until=_limit(known_until),
        )
        if waiting:
            found = _joined(found, _arrived(waiting)(self._predictions.stored(), 0))
        return self._labelled(found.take(_order(found)), known_until, columns)

    def _labelled(
        self, found: Any, known_until: datetime | None, columns: Sequence[str] | None
    ) -> LabelledRows:
        inputs = {
            name: unpack(found[stored.field], _odd(found, stored.field), stored.kind)
            for name, stored in _stored(found.schema).items()
            if columns is None or name in columns
        }
        ids = found["id"].to_numpy(zero_copy_only=False).astype(object)
        return LabelledRows(
            ids=ids,
            times=times_of(found["time"]),
            known_at=times_of(found["known_at"]),
            versions=found["version"].to_numpy(),
            predictions=_matrix_of(found["prediction"]),
            columns=inputs,
            labels=self._latest_labels(ids, known_until),
        )

    def _latest_labels(self, ids: Array, known_until: datetime | None) -> Array:
        if not len(ids):
            return np.zeros(0)
        # ids that grow with time, as ours do, let whole files be passed over
        where = [("id", ">=", min(ids)), ("id", "<=", max(ids)), *_known(known_until)]
        found, landed = self._labels.read(where, None)
        waiting = waiting_labels(self._folder / "arriving.db", landed, known_until=_limit(known_until))
        if waiting:
            found = _joined(found, _arrived(waiting)(self._labels.stored(), 0))
        return _aligned_labels(ids, found)

    def events(self, known_until: datetime | None = None, kind: str | None = None) -> list[Event]:
        """Events in the order in which they were known, then in which they were added."""
        where = [*_known(known_until), *([("kind", "==", kind)] if kind is not None else [])]
        found, _ = self._events.read(where, None)
        rows = sorted(found.to_pylist(), key=lambda row: (row["known_at"], row["number"]))
        return [
            Event(row["kind"], row["known_at"], row["author"], orjson.loads(row["payload"]), row["key"])
            for row in rows
        ]

    def span(self) -> Span | None:
        """First and last time and number of the rows that were scored; None of an empty log."""
        found, landed = self._predictions.read([], ["time"])
        waiting = [row.time for row in waiting_rows(self._folder / "arriving.db", landed)]
        times = np.concatenate([times_of(found["time"]), np.array(waiting, dtype="datetime64[us]")])
        if not len(times):
            return None
        return Span(_moment(times.min()), _moment(times.max()), len(times))


# --- the version of the store ---------------------------------------------------------------------


def _check_version(folder: Path) -> None:
    path = folder / "version"
    found = path.read_text("utf-8", "replace").strip() if path.is_file() else None
    if found is None and any((folder / name).exists() for name in ("predictions", "labels", "events")):
        raise UserError(
            f"{folder}: a log without its file 'version'. Restore the whole folder from a backup, "
            f"or, if you know that this losswatch wrote it, write {STORE_VERSION} into {path}"
        )
    if found not in (None, STORE_VERSION):
        raise UserError(
            f"{folder}: a log of version {found!r}, and this losswatch reads version {STORE_VERSION}. "
            "Install the losswatch that wrote it, or move the folder away to begin a new log"
        )


def _prepare(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "version").exists():
        (folder / "version").write_text(STORE_VERSION + "\n")


# --- one Delta table ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    """Where a column of the user's lies in a table."""

    field: str
    kind: Kind


@dataclass(frozen=True)
class _Stored:
    """The user's columns that a table has, and every name that is taken."""

    places: Mapping[str, _Place]
    taken: frozenset[str]


Where = list[tuple[str, str, Any]]
Mark = tuple[str, int]  # a name and a number, which land with an append or not at all


class _Table:
    """One Delta table, made by the first append."""

    def __init__(self, folder: Path, name: str, fields: Any) -> None:
        self._folder, self._name, self._fields = folder, name, fields
        self._path = folder / name
        self._table: DeltaTable | None = None
        self._lock = threading.RLock()
        self._compact_at = _MANY_FILES

    def append(self, build: Callable[[_Stored, int], Any], mark: Mark | None) -> bool:
        """Adds what `build` makes for the columns that are there; False where `mark` had landed before."""
        with self._lock:
            for attempt in range(_ATTEMPTS):
                table = self._current() or self._created()
                if mark is not None and (table.transaction_version(mark[0]) or 0) >= mark[1]:
                    return False
                data = build(self.stored(), table.version())
                try:
                    self._write(table, data, mark)
                except (CommitFailedError, SchemaMismatchError) as error:
                    logger.info("table %s changed meanwhile, attempt %d: %s", self._name, attempt + 1, error)
                    self._table, failure = None, error
                else:
                    self._compact_if_many()
                    return True
            raise failure

    def _write(self, table: DeltaTable, data: Any, mark: Mark | None) -> None:
        marks = [Transaction(*mark)] if mark is not None else None
        # fields are added only where there are new ones: two such appends at once cannot both land
        known = {field.name for field in table.schema().fields}
        write_deltalake(
            table,
            data,
            mode="append",
            schema_mode="merge" if set(data.schema.names) != known else None,
            commit_properties=CommitProperties(app_transactions=marks),
            writer_properties=WriterProperties(max_row_group_size=_GROUP_ROWS, compression="ZSTD"),
        )

    def _created(self) -> DeltaTable:
        _prepare(self._folder)
        DeltaTable.create(self._path, self._fields, mode="ignore")
        self._table = DeltaTable(self._path)
        return self._table

    def _current(self) -> DeltaTable | None:
        if self._table is not None:
            self._table.update_incremental()
        elif DeltaTable.is_deltatable(str(self._path)):
            self._table = DeltaTable(self._path)
        return self._table

    def landed(self, name: str) -> int:
        """The number of the last mark of that name, 0 where there is none."""
        with self._lock:
            table = self._current()
            return (table.transaction_version(name) or 0) if table is not None else 0

    def stored(self) -> _Stored:
        with self._lock:
            if self._table is None:
                return _Stored({}, frozenset(name.lower() for name in self._fields.names))
            schema = pa.schema(self._table.schema().to_arrow())
            return _Stored(_stored(schema), frozenset(name.lower() for name in schema.names))

    def read(self, where: Where, columns: Callable[[Any], list[str]] | list[str] | None) -> tuple[Any, int]:
        """Rows for which all conditions hold, and the last batch from SQLite that is among the rows."""
        import pyarrow.dataset as datasets  # imports pandas, which appending does not need
        from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

        with self._lock:
            table = self._current()
            if table is None:
                return self._fields.empty_table(), 0
            files = SubTreeFileSystem(str(self._path.absolute()), LocalFileSystem())
            dataset = table.to_pyarrow_dataset(filesystem=files, file_pruning_predicate=where or None)
            landed = table.transaction_version(_FLUSHED) or 0
        chosen = columns(dataset.schema) if callable(columns) else columns
        return dataset.to_table(columns=chosen, filter=_expression(datasets, where)), landed

    def compact(self) -> None:
        with self._lock:
            table = self._current()
            if table is None:
                return
            properties = WriterProperties(max_row_group_size=_GROUP_ROWS, compression="ZSTD")
            table.optimize.compact(target_size=_FILE_BYTES, writer_properties=properties)
            table.vacuum(retention_hours=_UNDO_HOURS, dry_run=False, enforce_retention_duration=False)
            self._compact_at = len(table.file_uris()) + _MANY_FILES

    def _compact_if_many(self) -> None:
        if self._table is None or len(self._table.file_uris()) < self._compact_at:
            return
        try:
            self.compact()
        except Exception:  # the append has landed; a compaction that lost a race is done again later
            logger.warning("compaction of table %s did not succeed", self._name, exc_info=True)
            self._compact_at += _MANY_FILES


def _stored(schema: Any) -> dict[str, _Place]:
    places = {}
    for field in schema:
        metadata = field.metadata or {}
        if b"losswatch.kind" in metadata:
            kind = cast(Kind, metadata[b"losswatch.kind"].decode())
            places[metadata[b"losswatch.name"].decode()] = _Place(field.name, kind)
    return places


def _expression(datasets: Any, where: Where) -> Any:
    expression = None
    for column, sign, value in where:
        field = datasets.field(column)
        one = {">=": field >= value, "<": field < value, "<=": field <= value, "==": field == value}[sign]
        expression = one if expression is None else expression & one
    return expression


# --- what is appended -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Scored:
    """Scored rows on the way into the table."""

    ids: list[str]
    times: Array
    known_at: Array
    versions: Array
    predictions: Array
    columns: Mapping[str, Any]
    callers: list[str]

    @classmethod
    def of(
        cls,
        ids: Any,
        times: Any,
        columns: Mapping[str, Any],
        predictions: Any,
        *,
        version: int,
        known_at: datetime,
        caller: str,
    ) -> _Scored:
        rows = len(ids)
        made = cls(
            [str(id) for id in ids],
            utc(times),
            np.full(rows, np.datetime64(microseconds(known_at), "us")),
            np.full(rows, version),
            matrix(predictions),
            {name: plain_column(column) for name, column in columns.items()},
            [caller] * rows,
        )
        lengths = {"times": len(made.times), "predictions": len(made.predictions)}
        lengths |= {name: len(column) for name, column in made.columns.items()}
        wrong = {name: length for name, length in lengths.items() if length != rows}
        if wrong:
            raise ValueError(f"{rows} ids, but rows in {wrong}")
        if len(set(made.ids)) != rows:
            raise ValueError(
                f"{rows} ids, of which only {len(set(made.ids))} differ; every row needs its own"
            )
        return made

    def table(self, stored: _Stored, _: int) -> Any:
        own = [
            strings(self.ids),
            timestamps(self.times),
            timestamps(self.known_at),
            integers(self.versions),
            number_lists(self.predictions),
            strings(self.callers),
        ]
        return _with_columns(_PREDICTIONS, own, _INPUT, self.columns, stored)


@dataclass(frozen=True)
class _LabelBatch:
    """Labels on the way into the table."""

    ids: list[str]
    values: Array
    known_at: Array

    @classmethod
    def of(cls, ids: Any, values: Any, known_at: Array) -> _LabelBatch:
        column = plain_column(values)
        if len(column) != len(ids):
            raise ValueError(f"{len(ids)} ids and {len(column)} labels")
        known = _present(column)
        return cls(
            [str(id) for id, keep in zip(ids, known, strict=True) if keep], column[known], known_at[known]
        )

    def table(self, stored: _Stored, _: int) -> Any:
        own = [strings(self.ids), timestamps(self.known_at)]
        return _with_columns(_LABELS, own, "", {"label": self.values}, stored)


def _present(column: Array) -> Array:
    if column.dtype == object:
        return np.array([value is not None for value in column], dtype=bool)
    return np.asarray(column == column)  # nan is not equal to itself


def _arrived(found: Sequence[Any]) -> Callable[[_Stored, int], Any]:
    """What appends rows, or labels, that come from SQLite."""
    known_at = np.array([one.known_at for one in found], dtype="datetime64[us]")
    if isinstance(found[0], ArrivingLabel):
        return _LabelBatch.of([one.id for one in found], [one.value for one in found], known_at).table
    return _Scored(
        [row.id for row in found],
        np.array([row.time for row in found], dtype="datetime64[us]"),
        known_at,
        np.array([row.version for row in found], dtype=np.int64),
        _padded([row.prediction for row in found]),
        _columns_of([row.inputs for row in found]),
        [row.caller for row in found],
    ).table


def _columns_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: plain_column([row.get(name) for row in rows]) for name in names}


def _with_columns(
    fields: Any, own: list[Any], prefix: str, columns: Mapping[str, Any], stored: _Stored
) -> Any:
    fields, arrays, taken = list(fields), list(own), set(stored.taken)
    for name, values in columns.items():
        place = stored.places.get(name)
        packed = pack(values, place.kind if place else None)
        if packed is None:
            continue  # a new column without a single value: its type shows when the first one comes
        field = place.field if place else _free(prefix + name, taken)
        taken.add(field.lower())
        metadata = {"losswatch.name": name, "losswatch.kind": packed.kind}
        fields.append(pa.field(field, STORAGE[packed.kind], metadata=metadata))
        arrays.append(packed.array)
        if packed.odd is not None:
            fields.append(pa.field(_ODD + field, pa.string()))
            arrays.append(packed.odd)
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _free(name: str, taken: set[str]) -> str:
    # Delta takes "Temp" and "temp" for the same name
    number, free = 1, name
    while free.lower() in taken:
        number += 1
        free = f"{name}_{number}"
    return free


def _json_rows(columns: Mapping[str, Any], rows: int) -> list[dict[str, Any]]:
    lists = {name: plain_column(column) for name, column in columns.items()}
    for name, column in lists.items():
        if column.dtype.kind == "f" and np.isinf(column).any():
            raise ValueError(f"column {name!r} holds an infinite number, which JSON cannot; check rows first")
    if not lists:
        return [{} for _ in range(rows)]
    values = zip(*(column.tolist() for column in lists.values()), strict=True)
    return [dict(zip(lists, row, strict=True)) for row in values]


def _once(what: str, key: str | None) -> Mark | None:
    """The mark under which a key lands once; a hash, because a key may be of any length and hold anything."""
    return None if key is None else (f"{what}:{hashlib.sha256(key.encode()).hexdigest()[:32]}", 1)


# --- moments and matrices -------------------------------------------------------------------------


def aware(moment: datetime) -> datetime:
    """The moment, in UTC; `ValueError` where it has no zone."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone; use datetime(..., tzinfo=UTC)")
    return moment.astimezone(UTC)


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970 of an aware moment.

    >>> microseconds(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))
    1000000
    """
    since = aware(moment) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _moment(time: Any) -> datetime:
    return cast(datetime, np.datetime64(time, "us").astype(object)).replace(tzinfo=UTC)


def utc(times: Any) -> Array:
    """Moments of any kind as datetime64[us] in UTC; one without a zone is taken to be UTC, none may be missing.

    >>> utc([datetime(2013, 3, 1, 12, tzinfo=UTC)])
    array(['2013-03-01T12:00:00.000000'], dtype='datetime64[us]')
    """
    packed = pack(times, "time")
    moments = times_of(packed.array) if packed is not None else np.zeros(0, "datetime64[us]")
    if np.isnat(moments).any():
        raise ValueError(f"{int(np.isnat(moments).sum())} of {len(moments)} times are missing or no moments")
    return moments


def matrix(predictions: Any) -> Array:
    """Predictions as float64 (n, k), from (n, k) or (n,)."""
    values = np.asarray(predictions, dtype=np.float64)
    if values.ndim not in (1, 2):
        raise ValueError(f"predictions of shape {values.shape}, expected (n, k) or (n,)")
    return values.reshape(len(values), -1) if len(values) else values.reshape(0, values.shape[-1] or 1)


def _padded(predictions: Sequence[tuple[float, ...]]) -> Array:
    width = max((len(row) for row in predictions), default=1)
    padded = np.full((len(predictions), width), np.nan)
    for place, row in enumerate(predictions):
        padded[place, : len(row)] = row
    return padded


def _matrix_of(column: Any) -> Array:
    flat = column.combine_chunks()
    lengths = np.asarray(flat.value_lengths().to_numpy(zero_copy_only=False))
    if not len(lengths) or (lengths == lengths[0]).all():
        values: Array = flat.flatten().to_numpy(zero_copy_only=False)
        width = int(lengths[0]) if len(lengths) else 1
        return values.astype(np.float64).reshape(len(lengths), width)
    return _padded([tuple(np.nan if v is None else v for v in row) for row in column.to_pylist()])


# --- what is read ---------------------------------------------------------------------------------


def _known(known_until: datetime | None) -> Where:
    return [] if known_until is None else [("known_at", "<=", aware(known_until))]


def _limit(known_until: datetime | None) -> int:
    return 2**63 - 1 if known_until is None else microseconds(known_until)


def _wanted(columns: Sequence[str] | None) -> Callable[[Any], list[str]] | None:
    if columns is None:
        return None

    def names(schema: Any) -> list[str]:
        places = _stored(schema)
        fields = [places[name].field for name in columns if name in places]
        odd = [_ODD + field for field in fields if _ODD + field in schema.names]
        return [*_PREDICTIONS.names, *fields, *odd]

    return names


def _odd(found: Any, field: str) -> Any | None:
    return found[_ODD + field] if _ODD + field in found.schema.names else None


def _joined(found: Any, waiting: Any) -> Any:
    return pa.concat_tables([found, waiting], promote_options="default")


def _order(found: Any) -> Any:
    """Places of the rows by time, then by id; of an id that is there twice, the row that was known first."""
    ids = np.asarray(found["id"].to_pylist(), dtype=str)
    times, known_at = times_of(found["time"]), times_of(found["known_at"])
    order = np.lexsort((known_at, ids, times))
    if len(set(ids.tolist())) < len(ids):
        first = order[np.argsort(known_at[order], kind="stable")]
        _, kept = np.unique(ids[first], return_index=True)
        order = order[np.isin(order, first[kept])]
    return pa.array(order, pa.int64())


def _aligned_labels(ids: Array, found: Any) -> Array:
    """The label with the latest known_at of each id; of two as late, the one that sorts later as text."""
    place = _stored(found.schema).get("label")
    if place is None:
        return np.full(len(ids), np.nan)
    values = unpack(found[place.field], _odd(found, place.field), place.kind)
    order = np.lexsort((np.array([str(value) for value in values]), times_of(found["known_at"])))
    latest = dict(zip(found["id"].take(pa.array(order)).to_pylist(), order.tolist(), strict=True))
    places = [latest.get(id) for id in ids]
    return _chosen(values, places)


def _chosen(values: Array, places: list[int | None]) -> Array:
    """values at places; where a place is None: nan among numbers, None among anything else."""
    if None not in places:
        return values[np.array(places, dtype=np.int64)]
    numbers = values.dtype.kind in "fi"
    extended = np.empty(len(values) + 1, dtype=np.float64 if numbers else object)
    extended[:-1], extended[-1] = values, np.nan if numbers else None
    chosen: Array = extended[[len(values) if place is None else place for place in places]]
    return chosen
