"""The log: every prediction, every label and every event, each with the moment from which it was known.

Three Delta tables hold it, `predictions`, `labels` and `events`, which other engines read as they are. Rows
that a server takes one request at a time go to SQLite first and are moved on by `flush`; who reads sees both.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import orjson

from pipelines.arrival import Arrival, ArrivingLabel, ArrivingRow, Conflict, Stored
from pipelines.arriving import Arriving
from pipelines.bundle import plain as plain_json
from pipelines.delta import Beside, Mark, Table, Where
from pipelines.erasing import erase_waiting
from pipelines.file_lock import file_lock
from pipelines.keeping import ColumnRules, LogConfig, known_key, named_again
from pipelines.label_rows import (
    Events as LabelEvents,
)
from pipelines.label_rows import (
    Truth,
    arrived_labels,
    events_of,
    first_labels,
    label_rows,
    texts_of,
    truth,
)
from pipelines.log_folder import MOVING, MOVING_SECONDS, check_version, prepare
from pipelines.log_rows import (
    Part,
    ScoredRows,
    Together,
    arrived_requests,
    arrived_rows,
    event_row,
    given,
    in_order,
    inputs_of,
    joined,
    matrix,
    padded,
    predictions_of,
    wanted,
)
from pipelines.log_tables import NAMES, log_table, moved_mark
from pipelines.moments import aware, microseconds, moment_of, utc
from pipelines.packing import times_of
from pipelines.plain_columns import Array, plain
from pipelines.waiting import (
    QUEUES,
    Queue,
    moving_labels,
    moving_rows,
    waiting_batches,
    waiting_count,
    waiting_labels,
    waiting_rows,
)

__all__ = ["Answer", "Conflict", "Event", "LabelledRows", "Log", "Span"]

_EVER = 2**63 - 1
_BYTES_AT_ONCE = 64 * 2**20  # that land in one commit; of 20 columns of numbers 280,000 rows
PART = 65_536  # rows that are read at once: a million of 20 columns in 0.42 of the memory and the same time


@dataclass(frozen=True)
class LabelledRows:
    """Rows that were scored, in the order of time, with the label known of each that holds.

    ids: text, shape (n,); times, known_at: datetime64[us] in UTC; versions: int64; predictions: float64 (n, k)
    with nan where a version gave fewer numbers; columns: the inputs as they were received; labels: shape
    (n,), numbers with nan where none is known, or objects with None; labelled_at: when the log knew the first label of
    each, datetime64[us] with NaT; keys: the user's own names, objects with None.
    """

    ids: Array
    times: Array
    known_at: Array
    versions: Array
    predictions: Array
    columns: Mapping[str, Array]
    labels: Array
    labelled_at: Array
    keys: Array

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def labelled(self) -> Array:
        """Whether a label is known, bool (n,)."""
        return given(self.labels)

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
            self.labelled_at[chosen],
            self.keys[chosen],
        )


@dataclass(frozen=True)
class LabelTimes:
    """When n rows happened, were scored, and had a first label: datetime64[us], the last NaT where there is none."""

    times: Array
    known_at: Array
    first_known: Array

    def __len__(self) -> int:
        return len(self.times)


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
    """Rows as the log holds them after `arrive`: of an id that came before, the first answer.

    predictions: float64 (n, k); versions: of which version each is.
    """

    ids: tuple[str, ...]
    predictions: Array
    versions: tuple[int, ...]


class Log:
    """The log of a project, in a folder that is made by the first write; its tables may lie at an address.

    Appends are atomic and may come from several processes; only one may take arriving rows. What was known at
    a moment t are the rows with known_at <= t, and `known_until` reads just these.
    """

    def __init__(self, folder: Path, config: LogConfig | None = None, *, address: str | None = None) -> None:
        """folder: where the log lies or will lie; `UserError` where another version of losswatch wrote it.

        config: what is kept, and how safely; by default everything, safe against the end of the process. address: where
        the tables will lie, if not in the folder and nothing was logged yet; then the folder says it itself.
        """
        self._folder, self._address = folder, address
        config = config or LogConfig()
        self._durable = config.durability == "power"
        check_version(folder)
        self._rules = ColumnRules(folder, config)
        self._predictions, self._labels, self._events = (
            log_table(folder, name, durable=self._durable, address=address) for name in NAMES
        )
        self._arriving: Arriving | None = None
        self._opening = threading.Lock()
        self._hurried = threading.Event()

    # --- in bulk -------------------------------------------------------------------------------------

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
        keys: Sequence[str | None] | None = None,
        batch: str | None = None,
    ) -> bool:
        """Adds scored rows in one commit; False where `batch` has landed before, and then nothing is added.

        ids: n texts, no two alike; times: n moments, UTC where they have no zone; columns: the inputs as they
        were received; predictions: (n, k) or (n,); keys: the user's own names for what the rows are about.
        """
        rows = ScoredRows(
            [str(id) for id in ids],
            utc(times),
            _repeated(known_at, len(ids)),
            np.full(len(ids), version),
            matrix(predictions),
            {name: plain(column) for name, column in self._rules.applied(columns).items()},
            [caller] * len(ids),
            [None] * len(ids) if keys is None else keys,
        )
        return self._append(self._predictions, _built(rows), _once("batch", batch))

    def append_labels(
        self,
        ids: Sequence[str] | Array,
        values: Any,
        *,
        known_at: datetime,
        moments: Array | None = None,
        keyed: bool = False,
        caller: str = "",
        batch: str | None = None,
    ) -> bool:
        """Adds what turned out to be true of n rows, in one commit; False where `batch` has landed before.

        ids: of predictions, or the user's own keys where `keyed`; values: n numbers, texts or bools; a missing one is
        left out; moments: when each was found out, datetime64[us], NaT where that is not known. Which of several
        labels of a row holds: `label_rows`.
        """
        said = np.full(len(ids), np.datetime64("NaT", "us")) if moments is None else moments
        known = _repeated(known_at, len(ids))
        rows = label_rows(list(ids), values, known, moments=said, keyed=keyed, caller=caller)
        return self._append(self._labels, _built(rows), _once("batch", batch))

    def append_event(
        self,
        kind: str,
        payload: Mapping[str, Any],
        *,
        known_at: datetime,
        author: str,
        key: str | None = None,
    ) -> bool:
        """Adds one event; False where one of this `key` is there already, and then nothing is added.

        payload: numbers, texts, lists and mappings, those of numpy too; nan becomes None.
        """
        text = orjson.dumps(plain_json(payload)).decode()
        row = event_row(microseconds(known_at), key=key, kind=kind, author=author, payload=text)
        return self._append(self._events, row, _once("event", key))

    def _append(self, table: Table, build: Callable[[Any, int], Any], mark: Mark | None) -> bool:
        prepare(self._folder, durable=self._durable, address=self._address)
        return table.append(build, mark)

    def compact(self) -> None:
        """Joins the small files of many appends; done by itself from time to time."""
        for table in (self._predictions, self._labels, self._events):
            table.compact()

    def compact_if_many(self) -> None:
        """The same after `move`, which leaves it to its caller, where the small files are many by now."""
        self._predictions.compact_if_many()
        self._labels.compact_if_many()

    # --- one request at a time -----------------------------------------------------------------------

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
        """Adds the rows of one request; they are on disk when it returns, all or none.

        An id that came before with the same inputs stays one row, and its first answer is given again; with
        other inputs it raises `Conflict`.
        """
        since, known = utc(times).view(np.int64).tolist(), microseconds(known_at)
        answers, inputs = matrix(predictions).tolist(), _json_rows(self._rules.applied(columns), len(ids))
        rows = [
            ArrivingRow(str(id), time, known, version, tuple(answer), row, caller)
            for id, time, answer, row in zip(ids, since, answers, inputs, strict=True)
        ]
        stored = self._writer().add(rows)
        return Answer(
            tuple(row.id for row in stored),
            padded([row.prediction for row in stored]),
            tuple(row.version for row in stored),
        )

    def arrive_together(
        self, arrivals: Sequence[Arrival], *, wait: bool = True
    ) -> list[Stored | Conflict | None]:
        """Adds the rows of several requests in one commit, each request whole or not at all.

        Tells of each what came before, None where nothing did, or its conflict. wait: whether to wait for a thread
        that is writing; `arrival.Busy` where not.
        """
        return self._writer().add_together(self._rules.kept_of(arrivals), wait=wait)

    def arrive_labels(self, ids: Sequence[str], values: Sequence[Any], *, known_at: datetime) -> None:
        """Adds labels by id; they are on disk when it returns, all or none."""
        known = microseconds(known_at)
        self.take_labels(
            [ArrivingLabel(str(id), value, known) for id, value in zip(ids, values, strict=True)]
        )

    def take_labels(self, labels: Sequence[ArrivingLabel]) -> None:
        """Adds the labels of one request; they are on disk when it returns, all or none."""
        self._writer().add_labels(labels)

    def flush(self) -> int:
        """Moves what arrived on into the tables, each row exactly once; returns the number of rows moved."""
        writer = self._writer()
        erase_waiting(self._folder, writer)
        for queue in QUEUES:
            writer.to_move(queue, self.landed(queue))
        moved = self.move(enough=lambda left: self._hurried.is_set())
        for queue in QUEUES:
            writer.forget(queue, self.landed(queue))
        writer.tidy()
        if not self._hurried.is_set():
            self.compact_if_many()
        return moved

    def tidy_along(self) -> None:
        """Does nothing: a flush deletes what it has moved."""

    def hurry(self) -> None:
        """A move that is under way, and each further one, ends after a batch; the next writer moves the rest."""
        self._hurried.set()

    @property
    def _mark(self) -> str:
        """The name under which the tables remember the last batch that was moved from here."""
        return moved_mark(self._folder)

    def landed(self, queue: Queue) -> int:
        """The number of the last batch that the tables hold."""
        return (self._predictions if queue == "requests" else self._labels).landed(self._mark)

    def batches(self, queue: Queue) -> tuple[int, ...]:
        """Batches that the writer has numbered and the tables lack."""
        return waiting_batches(self._folder / "arriving.db", queue, self.landed(queue))

    def move(self, *, enough: Callable[[int], bool] = lambda left: False) -> int:
        """Moves the batches that the writer has numbered; any process may, and two at once do no harm.

        enough: asked after each batch, with the number of those that are left, whether no further one of its queue is
        to be begun, so that the writer can delete what has landed; at least one of each queue is moved. Where many
        wait, several land together: a commit costs as much as the rows of a batch.
        """
        with file_lock(self._folder / MOVING, wait=MOVING_SECONDS):
            self._predictions.settle()
            self._labels.settle()
            return sum(self._move_queue(queue, enough) for queue in QUEUES)

    def _move_queue(self, queue: Queue, enough: Callable[[int], bool]) -> int:
        path = self._folder / "arriving.db"
        table = self._predictions if queue == "requests" else self._labels
        batches, moved, ended = deque(self.batches(queue)), 0, False
        while batches and not ended:
            together = Together(partial(_moving, path, queue), table.schema)
            while batches and not ended and together.bytes < _BYTES_AT_ONCE:
                together.add(batches.popleft())
                ended = enough(len(batches))
            table.append(_built(together), (self._mark, together.last), compact=False)
            moved += len(together)
        return moved

    def open_for_arriving(self) -> None:
        """Takes the right to write arriving rows now; `UserError` where another process has it."""
        self._writer()

    def _writer(self) -> Arriving:
        with self._opening:
            if self._arriving is None:
                prepare(self._folder, durable=self._durable, address=self._address)
                self._arriving = Arriving(self._folder, durable=self._durable)
            return self._arriving

    def close(self) -> None:
        """Lets go of the right to write arriving rows. Nothing is lost without it."""
        with self._opening:
            if self._arriving is not None:
                self._arriving.close()
            self._arriving = None

    # --- reading -------------------------------------------------------------------------------------

    def predictions(
        self,
        start: datetime,
        end: datetime,
        *,
        known_until: datetime | None = None,
        columns: Sequence[str] | None = None,
        levels: Mapping[str, Sequence[str]] | None = None,
    ) -> LabelledRows:
        """Rows with start <= time < end, and the label of each that held at `known_until`.

        columns: the inputs that are wanted; None for all that ever had a value, () for none. levels: by column, values
        that are known, which come back as they were where they were hashed.
        """
        found = in_order(self._scored(start, end, known_until, columns))
        ids = found["id"].to_numpy(zero_copy_only=False).astype(object)
        keys = texts_of(found, "key")
        known = self._truth(ids, keys, known_until)
        return LabelledRows(
            ids,
            times_of(found["time"]),
            times_of(found["known_at"]),
            found["version"].to_numpy(),
            predictions_of(found["prediction"]),
            self._named_again(inputs_of(found, columns), levels or {}),
            known.labels,
            known.first_known,
            keys,
        )

    def parts(
        self,
        start: datetime,
        end: datetime,
        *,
        known_until: datetime | None = None,
        columns: Sequence[str] | None = None,
        levels: Mapping[str, Sequence[str]] | None = None,
        rows: int = PART,
    ) -> Iterator[LabelledRows]:
        """The very rows of `predictions`, in the same order, about so many at a time; at least one part.

        Rows of one moment stay together. Of all rows only times and hashes of the ids are in memory at once, 16 bytes
        each.
        """
        times, ids = self._outline(start, end, known_until)
        wishes: dict[str, Any] = {"known_until": known_until, "columns": columns, "levels": levels}
        if len(times) <= rows:
            yield self.predictions(start, end, **wishes)
            return
        first_known = self._known_first(start, end, known_until, _twice(ids))
        cuts = [moment_of(time) for time in np.unique(np.sort(times)[rows::rows])]
        for since, until in pairwise([start, *(cut for cut in cuts if cut > aware(start)), end]):
            part = self.predictions(since, until, **wishes)
            yield part.take(_those(part, first_known)) if first_known else part

    def _outline(
        self, start: datetime, end: datetime, known_until: datetime | None
    ) -> tuple[Array, npt.NDArray[np.int64]]:
        """Of all rows of a time: when they happened, and a hash of their ids, as they come."""
        found = self._scored(start, end, known_until, (), own=("id", "time"))
        hashed = [
            np.fromiter(map(hash, chunk.to_pylist()), np.int64, len(chunk)) for chunk in found["id"].chunks
        ]
        return times_of(found["time"]), np.concatenate([*hashed, np.zeros(0, np.int64)])

    def _known_first(
        self, start: datetime, end: datetime, known_until: datetime | None, hashes: set[int]
    ) -> dict[str, tuple[Any, Any]]:
        """Of ids with one of these hashes, when the row that counts was known and happened: the one known first."""
        if not hashes:
            return {}
        found = self._scored(start, end, known_until, (), own=("id", "time", "known_at"))
        ids = found["id"].to_pylist()
        chosen = np.flatnonzero([hash(id) in hashes for id in ids])
        known, times = times_of(found["known_at"])[chosen], times_of(found["time"])[chosen]
        first: dict[str, tuple[Any, Any]] = {}
        for place in np.lexsort((times, known)):
            first.setdefault(ids[chosen[place]], (known[place], times[place]))
        return first

    def _named_again(
        self, columns: dict[str, Array], levels: Mapping[str, Sequence[str]]
    ) -> dict[str, Array]:
        key = known_key(self._folder) if levels else None
        if key is not None:
            for name in columns.keys() & levels.keys():
                columns[name] = named_again(columns[name], levels[name], key)
        return columns

    def _scored(
        self,
        start: datetime,
        end: datetime,
        known_until: datetime | None,
        columns: Sequence[str] | None,
        *,
        own: Sequence[str] | None = None,
    ) -> Any:
        """own: which of the table's own columns are wanted; None for all."""
        where = [("time", ">=", aware(start)), ("time", "<", aware(end)), *_known(known_until)]
        chosen = wanted(columns) if own is None else _own(own)
        found, waiting = self._predictions.read(
            where, chosen, mark=self._mark, beside=self._waiting_rows(start, end, known_until)
        )
        if not waiting:
            return found
        late = arrived_rows(waiting).table(self._predictions.schema)
        return joined(found, late if own is None else late.select(found.column_names))

    def _truth(self, ids: Array, keys: Array, known_until: datetime | None) -> Truth:
        if not len(ids):
            return Truth(np.zeros(0), np.zeros(0, "datetime64[us]"))
        named = {"id": set(ids.tolist()), "key": set(keys.tolist()) - {None}}
        there = [name for name in named if named[name] and name in self._labels.schema.names]
        read = [self._labels_of(name, named[name], known_until) for name in there]
        told = read[0][1]  # what lands between the two is read twice, which says nothing new
        waiting = tuple(label for label in told if label.id in named["key" if label.keyed else "id"])
        found = joined(*(table for table, _ in read))
        if waiting:
            found = joined(found, arrived_labels(waiting).table(self._labels.schema))
        return truth(ids, keys, events_of(found))

    def _labels_of(
        self, name: str, wanted: set[str], known_until: datetime | None
    ) -> tuple[Any, tuple[ArrivingLabel, ...]]:
        # where ids grow with time, as the server's do, whole files are passed over
        return self._labels.read(
            [*_among(name, wanted), *_known(known_until)],
            mark=self._mark,
            beside=self._waiting_labels(known_until),
        )

    def _waiting_rows(
        self, start: datetime, end: datetime, known_until: datetime | None
    ) -> Beside[tuple[ArrivingRow, ...]]:
        """What reads, beside the table, the rows of a time that it lacks."""
        limits: dict[str, Any] = {
            "start": microseconds(start),
            "end": microseconds(end),
            "known_until": _limit(known_until),
        }
        return partial(waiting_rows, self._folder / "arriving.db", **limits)

    def _waiting_labels(self, known_until: datetime | None) -> Beside[tuple[ArrivingLabel, ...]]:
        """What reads, beside the table, the labels that it lacks."""
        return partial(waiting_labels, self._folder / "arriving.db", known_until=_limit(known_until))

    def label_events(self, since: datetime, known_until: datetime) -> LabelEvents:
        """Labels that came to be known in a time, each as it was sent."""
        where: Where = [("known_at", ">=", aware(since)), *_known(known_until)]
        found, told = self._labels.read(where, mark=self._mark, beside=self._waiting_labels(known_until))
        waiting = tuple(label for label in told if label.known_at >= microseconds(since))
        if waiting:
            found = joined(found, arrived_labels(waiting).table(self._labels.schema))
        return events_of(found)

    def label_times(self, start: datetime, end: datetime, known_until: datetime) -> LabelTimes:
        """When rows of a time were scored and had their first label, without a look at what they hold."""
        where: Where = [("time", ">=", aware(start)), ("time", "<", aware(end)), *_known(known_until)]
        rows, waiting = self._predictions.read(
            where,
            _own(("id", "key", "time", "known_at")),
            mark=self._mark,
            beside=self._waiting_rows(start, end, known_until),
        )
        if waiting:
            late = arrived_rows(waiting).table(self._predictions.schema)
            rows = joined(rows, late.select(rows.column_names))
        labels, told = self._labels.read(
            _known(known_until),
            _own(("id", "key", "known_at")),
            mark=self._mark,
            beside=self._waiting_labels(known_until),
        )
        if told:
            late = arrived_labels(told).table(self._labels.schema)
            labels = joined(labels, late.select(labels.column_names))
        first = np.fmin(first_labels(rows, labels, "id"), first_labels(rows, labels, "key"))
        return LabelTimes(times_of(rows["time"]), times_of(rows["known_at"]), first)

    def names_of_rows(self, name: Literal["id", "key"], among: set[str]) -> set[str]:
        """Which of some ids or keys are those of rows."""
        if not among or name not in self._predictions.schema.names:
            return set()
        found, waiting = self._predictions.read(
            _among(name, among),
            lambda schema: [name],
            mark=self._mark,
            beside=partial(waiting_rows, self._folder / "arriving.db"),
        )
        return {*found[name].to_pylist(), *(row.id if name == "id" else row.key for row in waiting)} & among

    def events(
        self, known_until: datetime | None = None, kind: str | Sequence[str] | None = None
    ) -> list[Event]:
        """Events in the order in which they were known, then in which they were added. kind: or several."""
        kinds = [kind] if isinstance(kind, str) else kind
        where: Where = [*_known(known_until), *([("kind", "in", list(kinds))] if kinds is not None else [])]
        found, _ = self._events.read(where)
        rows = sorted(found.to_pylist(), key=lambda row: (row["known_at"], row["number"]))
        return [
            Event(row["kind"], row["known_at"], row["author"], orjson.loads(row["payload"]), row["key"])
            for row in rows
        ]

    def count(self) -> int:
        """How many rows were scored."""
        rows, waiting = self._predictions.count(
            mark=self._mark, beside=partial(waiting_count, self._folder / "arriving.db")
        )
        return rows + waiting

    def span(self) -> Span | None:
        """First and last time and number of the rows that were scored; None of an empty log."""
        found, waiting = self._predictions.read(
            [],
            lambda schema: ["time"],
            mark=self._mark,
            beside=partial(waiting_rows, self._folder / "arriving.db"),
        )
        late = np.array([row.time for row in waiting], dtype="datetime64[us]")
        times = np.concatenate([times_of(found["time"]), late])
        return Span(moment_of(times.min()), moment_of(times.max()), len(times)) if len(times) else None


def _moving(path: Path, queue: Queue, batch: int) -> Part:
    """A batch that waits in `arriving.db`, on its way into a table."""
    if queue == "requests":
        return arrived_requests(moving_rows(path, batch))
    return arrived_labels(moving_labels(path, batch))


def _built(rows: Part) -> Callable[[Any, int], Any]:
    """What appends rows, whatever is the number of the commit."""
    return lambda schema, _: rows.table(schema)


def _repeated(known_at: datetime, rows: int) -> Array:
    return np.full(rows, np.datetime64(microseconds(known_at), "us"))


def _once(what: str, key: str | None) -> Mark | None:
    """The mark under which a key lands once; hashed, because a key may be long and hold anything."""
    return None if key is None else (f"{what}:{hashlib.sha256(key.encode()).hexdigest()[:32]}", 1)


def _known(known_until: datetime | None) -> Where:
    return [] if known_until is None else [("known_at", "<=", aware(known_until))]


def _twice(ids: npt.NDArray[np.int64]) -> set[int]:
    """What occurs more than once."""
    ordered = np.sort(ids)
    return set(ordered[1:][ordered[1:] == ordered[:-1]].tolist())


def _those(part: LabelledRows, first_known: Mapping[str, tuple[Any, Any]]) -> Array:
    """Places of the rows that count: of an id that is there twice the one that was known first."""
    these = zip(part.ids.tolist(), part.known_at, part.times, strict=True)
    return np.flatnonzero([first_known.get(id, (known, time)) == (known, time) for id, known, time in these])


def _own(names: Sequence[str]) -> Callable[[Any], list[str]]:
    """Some of a table's own columns, as far as it has them."""
    return lambda schema: [name for name in names if name in schema.names]


def _among(name: str, wanted: set[str]) -> Where:
    """Rows with one of these texts; where texts grow with time, as the server's ids do, whole files are passed over."""
    return [(name, ">=", min(wanted)), (name, "<=", max(wanted)), (name, "in", sorted(wanted))]


def _limit(known_until: datetime | None) -> int:
    return _EVER if known_until is None else microseconds(known_until)


def _json_rows(columns: Mapping[str, Any], rows: int) -> list[dict[str, Any]]:
    lists = {name: plain(column).tolist() for name, column in columns.items()}
    for name, values in lists.items():
        if math.inf in values or -math.inf in values:
            raise ValueError(f"column {name!r} holds an infinite number, which JSON cannot; check rows first")
    if not lists:
        return [{} for _ in range(rows)]
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
