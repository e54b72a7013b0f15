"""Rows that arrive one request at a time, in SQLite until they are moved on into the tables of the log."""

from __future__ import annotations

import math
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Literal, NamedTuple

import orjson

from pipelines.errors import UserError
from pipelines.file_lock import Locked, file_lock

Queue = Literal["requests", "labels"]
QUEUES: tuple[Queue, ...] = ("requests", "labels")

_KEPT = 24 * 3600 * 1_000_000  # microseconds for which a row that was moved on still answers a client's retry
_KEPT_FOR_READERS = 600 * 1_000_000  # a reader looks at the tables first: what lands meanwhile it finds here
_NEWEST = 2**63 - 1
_BATCH = 20_000  # rows that are moved on at once: of 20 columns some 50 MB in memory
_CHUNK = 1000  # rows that are deleted at once, for requests wait meanwhile
_TURNS = 3.0  # times as long as a deletion took, the others have their turn
_CHECKPOINT = (
    4000  # pages of 4 KiB, after which the file itself is written; at 1,000 an insert cost a third more
)
_CACHE = 16_000  # KiB
_CHECKED_AT_START = 256 * 2**20  # bytes: a larger file is not read through, or the start would take seconds
_LOOK_SECONDS = 0.05  # between two looks whether the file is still there
_WIPES = 100  # tries, until no reader is left that began before
_TEXTS_AT_ONCE = 50  # in one condition
_LOCKED_SECONDS = (
    0.05  # for which a commit waits for a stranger's lock before the client is asked to come again
)
_TABLES = """
CREATE TABLE IF NOT EXISTS requests (
    number INTEGER PRIMARY KEY, rows INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    known_at INTEGER NOT NULL, version INTEGER NOT NULL, caller TEXT NOT NULL, own INTEGER NOT NULL,
    content BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS ids (
    id TEXT PRIMARY KEY, number INTEGER NOT NULL, place INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS labels (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL, value BLOB NOT NULL, known_at INTEGER NOT NULL,
    moment INTEGER, keyed INTEGER NOT NULL DEFAULT 0, caller TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE IF NOT EXISTS batches (
    queue TEXT NOT NULL, batch INTEGER NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (queue, batch)
) STRICT, WITHOUT ROWID;
"""
_NEW_OF_LABELS = {
    "moment": "INTEGER",
    "keyed": "INTEGER NOT NULL DEFAULT 0",
    "caller": "TEXT NOT NULL DEFAULT ''",
}  # columns that a file of before lacks
_INSERT = "INSERT INTO requests VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_COLUMNS = "known_at, version, caller, own, content"
_FIND = f"SELECT place, {_COLUMNS} FROM ids JOIN requests USING (number) WHERE id = ?"


_OF_LABELS = "id, value, known_at, moment, keyed, caller"


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
    have come before; keys: the user's own names for what the rows are about, None where there are none.
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


class Arriving:
    """The one writer of `arriving.db`; a second process that wants to write is refused.

    Every call is one commit, safe against the end of the process; threads wait for each other. Rows are
    handed on in batches whose numbers only grow, so that a reader, or a flush after one that was cut off, can
    tell by one number what the tables hold already.
    """

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        """`UserError` where another process writes, or the file is damaged. taken: requests since the start.

        durable: whether a commit is on disk, and not only with the operating system, when a call returns.
        """
        self.path = folder / "arriving.db"
        self._lock = threading.Lock()
        self._held = ExitStack()
        try:
            self._held.enter_context(file_lock(folder / "arriving.lock", wait=0))
        except Locked as error:
            raise UserError(
                f"{self.path}: another process is writing it. One scoring server writes a log; "
                "stop the other one, or give this one a project of its own"
            ) from error
        try:
            self._connection = self._opened(durable=durable)
        except BaseException:
            self._held.close()
            raise
        self._inode = os.stat(self.path).st_ino
        self._next = {queue: self._first_number(queue) for queue in QUEUES}
        self.taken = 0
        self._forgotten = 0
        self._looked = -math.inf

    def _opened(self, *, durable: bool) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, check_same_thread=False, isolation_level=None, timeout=_LOCKED_SECONDS
        )
        self._held.callback(connection.close)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT}")
            connection.execute(f"PRAGMA cache_size = -{_CACHE}")
            _check_whole(connection, self.path)
            connection.executescript(_TABLES)
            _add_columns(connection)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            raise _damaged(self.path, str(error)) from error
        return connection

    def _first_number(self, queue: str) -> int:
        last, moved = self._connection.execute(
            f"SELECT (SELECT coalesce(max(number), 0) FROM {queue}),"
            " (SELECT coalesce(max(last), 0) FROM batches WHERE queue = ?)",
            (queue,),
        ).fetchone()
        return max(int(last), int(moved)) + 1

    def close(self) -> None:
        """Lets go of the file and of the right to write it; a second call does nothing."""
        with self._lock:
            self._held.close()

    def add(self, rows: Sequence[ArrivingRow]) -> tuple[ArrivingRow, ...]:
        """Commits all rows or none, and returns them as they are stored: of a repeated id, the first one.

        `Conflict` where an id is there with other inputs.
        """
        arrivals = [_arrival(row) for row in rows]
        with self._transaction() as connection:
            found = [self._added(connection, arrival) for arrival in arrivals]
            for one in found:
                if isinstance(one, Conflict):
                    raise one  # and nothing of it is kept
            return tuple(_first(connection, row.id) or row for row in rows)

    def add_together(
        self, arrivals: Sequence[Arrival], *, wait: bool = True
    ) -> list[Stored | Conflict | None]:
        """Commits several requests at once; tells of each what came before, None where nothing did, or its conflict.

        Each request comes in whole or not at all; where the commit fails, none of them. wait: whether to wait for
        a thread that is writing; `Busy` where not.
        """
        if not any(
            arrival.own for arrival in arrivals
        ):  # the server made their ids: nothing is to be looked up
            self._add_new(arrivals, wait=wait)
            return [None] * len(arrivals)
        with self._transaction(wait=wait) as connection:
            return [self._added(connection, arrival) for arrival in arrivals]

    def _add_new(self, arrivals: Sequence[Arrival], *, wait: bool) -> None:
        written = (
            [_values(0, arrival) for arrival in arrivals] if wait else []
        )  # who waits keeps nobody waiting
        if not self._lock.acquire(wait):
            raise Busy
        connection, first = self._connection, self._next["requests"]
        try:
            self._check_there()
            written = written or [_values(0, arrival) for arrival in arrivals]
            values = [(first + place, *one[1:]) for place, one in enumerate(written)]
            if len(values) == 1:  # one statement is a commit of its own, at a third of the cost
                connection.execute(_INSERT, values[0])
            else:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(_INSERT, values)
                connection.execute("COMMIT")
            self._next["requests"] = first + len(values)
            self.taken += len(values)
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            self._lock.release()

    def _added(self, connection: sqlite3.Connection, arrival: Arrival) -> Stored | Conflict | None:
        if not arrival.own:
            self._insert(connection, arrival)
            return None
        before = [connection.execute(_FIND, (id,)).fetchone() for id in arrival.ids]
        if not any(before):
            self._insert(connection, arrival)
            return None
        return self._joined(connection, arrival, before)

    def _joined(
        self, connection: sqlite3.Connection, arrival: Arrival, before: Sequence[Any]
    ) -> Stored | Conflict:
        stored = Stored(list(arrival.predictions), [arrival.version] * len(arrival.ids))
        for place, found in enumerate(before):
            if found is not None:
                first = _unpacked(found[1:])
                same = first.key(found[0]) == arrival.key(place)
                if not same or not _same(first.inputs(found[0]), arrival.inputs(place)):
                    return Conflict(
                        f"id {arrival.ids[place]!r} came before with other inputs. Send a new id for a new row, "
                        "or the same row again for the same answer"
                    )
                stored.predictions[place] = first.predictions[found[0]]
                stored.versions[place] = first.version
        new = [place for place, found in enumerate(before) if found is None]
        if new:
            self._insert(connection, arrival.take(new))
        return stored

    def _insert(self, connection: sqlite3.Connection, arrival: Arrival) -> None:
        number = self._next["requests"]
        connection.execute(_INSERT, _values(number, arrival))
        if arrival.own:
            connection.executemany(
                "INSERT INTO ids VALUES (?, ?, ?)",
                [(id, number, place) for place, id in enumerate(arrival.ids)],
            )
        self._next["requests"] = number + 1
        self.taken += 1

    def add_labels(self, labels: Sequence[ArrivingLabel]) -> None:
        """Commits all labels or none. Each is kept; which of several holds is found out when they are read."""
        values = [
            (label.id, orjson.dumps(label.value), label.known_at, label.moment, label.keyed, label.caller)
            for label in labels
        ]
        with self._transaction() as connection:
            number = self._next["labels"]
            connection.executemany(
                f"INSERT INTO labels (number, {_OF_LABELS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(number + place, *label) for place, label in enumerate(values)],
            )
            self._next["labels"] = number + len(labels)
            self.taken += 1

    def to_move(self, queue: Queue, landed: int) -> tuple[int, ...]:
        """Batches that the tables lack, oldest first. landed: the number of the last batch that they hold.

        A batch that an earlier flush numbered and did not finish comes again under its number.
        """
        with self._lock:
            newest = self._next[queue] - 1  # all of them are committed
        with _reading(self.path) as beside:  # it takes its time, and nobody waits for it
            last = _numbered(beside, queue)[1]
            ends = _ends(beside, queue, last, newest)
        with self._transaction() as connection:
            batch, now_last = _numbered(connection, queue)
            first = max(batch, landed) + 1
            if now_last == last:  # nobody else has numbered them meanwhile
                connection.executemany(
                    "INSERT INTO batches (queue, batch, last) VALUES (?, ?, ?)",
                    [(queue, first + place, end) for place, end in enumerate(ends)],
                )
            return _batches(connection, queue, landed)

    def forget(self, queue: Queue, landed: int) -> None:
        """Deletes what was moved on, a little at a time.

        Rows with an id of the client's stay for a day, by which a retry is recognised; all others for as long as a
        reader may take that looked at the tables before they landed.
        """
        with _reading(self.path) as beside:  # it takes its time, and nobody waits for it
            last, newest = _last_of(beside, queue, landed), _newest(beside, queue)
            if newest is None:
                return
            after = self._forgotten if queue == "requests" else 0
            readers = min(last, _older(beside, queue, newest - _KEPT_FOR_READERS, after))
            retries = min(last, _older(beside, queue, newest - _KEPT, 0)) if queue == "requests" else readers
            whole = _pieces(beside, queue, 0, retries)
            others = _pieces(beside, queue, max(after, retries), readers, " AND own = 0")
        self._delete(queue, whole)
        self._delete(queue, others, " AND own = 0")
        if queue == "requests":
            self._forgotten = max(self._forgotten, readers)

    def _delete(self, queue: Queue, pieces: Sequence[tuple[int, int]], where: str = "") -> None:
        """Deletes rows piece by piece; between two of them the others have their turn."""
        for first, last in pieces:
            begun = time.perf_counter()
            with self._transaction() as connection:
                if queue == "requests" and not where:
                    self._delete_ids(connection, first, last)
                connection.execute(
                    f"DELETE FROM {queue} WHERE number >= ? AND number <= ?{where}", (first, last)
                )
            time.sleep(_TURNS * (time.perf_counter() - begun))

    def _delete_ids(self, connection: sqlite3.Connection, start: int, end: int) -> None:
        old = _requests(connection, "number >= ? AND number <= ? AND own = 1", (start, end))
        ids = [(id,) for arrival in old for id in arrival.ids]
        connection.executemany("DELETE FROM ids WHERE id = ?", ids)

    def erase(self, ids: Sequence[str], keys: Sequence[str] = ()) -> None:
        """Removes rows, their labels and the labels of some keys, with every trace of them in the file.

        RuntimeError where a reader holds on to old pages; then call again.
        """
        wanted = set(ids)
        numbers = _numbers_with(
            self.path, ids
        )  # beside the writer: those that come from now on have ids of their own
        with self._transaction() as connection:
            numbers |= _own_numbers(connection, ids)
            for number in sorted(numbers):
                _erase_from(connection, number, wanted)
            connection.executemany("DELETE FROM ids WHERE id = ?", [(id,) for id in ids])
            for keyed, names in enumerate((ids, keys)):
                values = [(name, keyed) for name in names]
                connection.executemany("DELETE FROM labels WHERE id = ? AND keyed = ?", values)
        self._wipe()

    def _wipe(self) -> None:
        """Writes the file anew without what was deleted, and empties what waits before it."""
        with self._lock:
            self._check_there()
            self._connection.execute("VACUUM")
        for _ in range(_WIPES):
            with self._lock:
                (busy, *_) = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not busy:
                return
            time.sleep(_LOOK_SECONDS)
        raise RuntimeError(
            f"{self.path}: a reader holds on to pages of before; what was removed is still in them"
        )

    @contextmanager
    def _transaction(self, *, wait: bool = True) -> Iterator[sqlite3.Connection]:
        if not self._lock.acquire(wait):
            raise Busy
        try:
            self._check_there()
            numbers = dict(self._next)
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                self._next = numbers
                if self._connection.in_transaction:  # a full disk has rolled it back already
                    self._connection.execute("ROLLBACK")
                raise
        finally:
            self._lock.release()

    def _check_there(self) -> None:
        """A file that was removed still takes rows, and nobody would ever find them."""
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        try:
            there = os.stat(self.path).st_ino == self._inode
        except OSError:
            there = False
        if not there:
            self._looked = -math.inf
            raise sqlite3.OperationalError(
                f"{self.path} was removed or replaced while it was written. Put it back, or start the server anew"
            )


def _add_columns(connection: sqlite3.Connection) -> None:
    there = {name for _, name, *_ in connection.execute("PRAGMA table_info(labels)")}
    for name in _NEW_OF_LABELS.keys() - there:
        connection.execute(f"ALTER TABLE labels ADD COLUMN {name} {_NEW_OF_LABELS[name]}")


def _check_whole(connection: sqlite3.Connection, path: Path) -> None:
    if path.stat().st_size <= _CHECKED_AT_START:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise _damaged(path, " ".join(str(found).split()))


def _damaged(path: Path, problem: str) -> UserError:
    return UserError(
        f"{path}: damaged ({problem}). Restore the log from a backup; or move this file and those beginning with its "
        "name away, and only rows that had not reached the tables yet are lost"
    )


@dataclass(frozen=True)
class MovingRows:
    """The rows of a batch, by column; all of n rows. times, known_at: microseconds; columns: None where one lacks."""

    ids: list[str]
    times: list[int]
    predictions: list[Sequence[float | None]]
    columns: dict[str, list[Any]]
    known_at: list[int]
    versions: list[int]
    callers: list[str]
    keys: list[str | None]


def waiting_batches(path: Path, queue: Queue, landed: int) -> tuple[int, ...]:
    """Batches that the tables lack, as any process may ask. landed: the last one that they hold."""
    if not _has_tables(path):
        return ()
    with _reading(path) as connection:
        return _batches(connection, queue, landed)


def moving_rows(path: Path, batch: int) -> MovingRows:
    """The rows of a batch. They are read beside the writer, so that nobody waits for it."""
    with _reading(path) as connection:
        found = connection.execute(
            "SELECT rows, known_at, version, caller, content FROM requests"
            " WHERE number > ? AND number <= ? ORDER BY number",
            _between(connection, "requests", batch),
        ).fetchall()
    counts = [rows for rows, *_ in found]
    contents = orjson.loads(b"[" + b",".join([content for *_, content in found]) + b"]")

    def joined(values: Iterable[Iterable[Any]]) -> list[Any]:
        return list(chain.from_iterable(values))

    def each(values: Iterable[Any]) -> list[Any]:
        return joined(map(repeat, values, counts))

    return MovingRows(
        joined(content[0] for content in contents),
        joined(content[1] for content in contents),
        joined(content[2] for content in contents),
        _joined_columns([content[3] for content in contents], counts),
        each(known_at for _, known_at, *_ in found),
        each(version for _, _, version, *_ in found),
        each(caller for *_, caller, _ in found),
        joined(_keys_of(content) or repeat(None, len(content[0])) for content in contents),
    )


def _keys_of(content: Sequence[Any]) -> list[str | None] | None:
    """The keys of a request's rows, which stand behind what every request has."""
    return content[4] if len(content) > 4 else None


def _joined_columns(parts: Sequence[Mapping[str, list[Any]]], counts: Sequence[int]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for part in parts for name in part)
    joined: dict[str, list[Any]] = {}
    for name in names:
        values = (part.get(name) or [None] * count for part, count in zip(parts, counts, strict=True))
        joined[name] = list(chain.from_iterable(values))
    return joined


def moving_labels(path: Path, batch: int) -> tuple[ArrivingLabel, ...]:
    """The labels of a batch; see `moving_rows`."""
    with _reading(path) as connection:
        return _labels(connection, "number > ? AND number <= ?", _between(connection, "labels", batch))


def waiting_rows(
    path: Path, landed: int, *, start: int = -_NEWEST, end: int = _NEWEST, known_until: int = _NEWEST
) -> tuple[ArrivingRow, ...]:
    """Rows that the tables lack, as any process may read them. landed: the last batch that the tables hold.

    Ask the tables for `landed` first: a row that moves on meanwhile is then found here.
    """
    if not _has_tables(path):
        return ()
    with _reading(path) as connection:
        where = "number > ? AND last >= ? AND first < ? AND known_at <= ?"
        after = _last_of(connection, "requests", landed)
        found = _requests(connection, where, (after, start, end, known_until))
        return tuple(row for arrival in found for row in _rows_of(arrival) if start <= row.time < end)


def waiting_count(path: Path, landed: int) -> int:
    """How many rows the tables lack; see `waiting_rows`."""
    if not _has_tables(path):
        return 0
    with _reading(path) as connection:
        where = "SELECT coalesce(sum(rows), 0) FROM requests WHERE number > ?"
        (rows,) = connection.execute(where, (_last_of(connection, "requests", landed),)).fetchone()
        return int(rows)


def rows_with(path: Path, names: Sequence[str]) -> tuple[ArrivingRow, ...]:
    """The rows of requests in which one of these ids or keys occurs, also of those that were moved on."""
    if not _has_tables(path):
        return ()
    found: list[ArrivingRow] = []
    for number in sorted(_numbers_with(path, names)):
        with _reading(path) as connection:
            found += [row for one in _requests(connection, "number = ?", (number,)) for row in _rows_of(one)]
    return tuple(found)


def waiting_labels(path: Path, landed: int, *, known_until: int = _NEWEST) -> tuple[ArrivingLabel, ...]:
    """Labels that the tables lack; see `waiting_rows`."""
    if not _has_tables(path):
        return ()
    with _reading(path) as connection:
        where = "number > ? AND known_at <= ?"
        return _labels(connection, where, (_last_of(connection, "labels", landed), known_until))


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    # a connection that cannot write never checkpoints either, so that the writer stays the only one who does:
    # SQLite before 3.51.3 can damage a file that two connections write or checkpoint at once
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=10, isolation_level=None)) as connection:
        connection.execute("BEGIN")  # what several questions find belongs to one moment
        yield connection


def _has_tables(path: Path) -> bool:
    if not path.exists():
        return False
    with _reading(path) as connection:  # the writer makes the file first and the tables a moment later
        return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'batches'").fetchone())


def _batches(connection: sqlite3.Connection, queue: Queue, landed: int) -> tuple[int, ...]:
    found = connection.execute(
        "SELECT batch FROM batches WHERE queue = ? AND batch > ? ORDER BY batch", (queue, landed)
    )
    return tuple(int(number) for (number,) in found)


def _last_of(connection: sqlite3.Connection, queue: Queue, landed: int) -> int:
    """The number of the last row that the tables hold."""
    (last,) = connection.execute(
        "SELECT coalesce(max(last), 0) FROM batches WHERE queue = ? AND batch <= ?", (queue, landed)
    ).fetchone()
    return int(last)


def _between(connection: sqlite3.Connection, queue: Queue, batch: int) -> tuple[int, int]:
    return _last_of(connection, queue, batch - 1), _last_of(connection, queue, batch)


def _none_between(connection: sqlite3.Connection, queue: Queue, first: int, last: int) -> bool:
    found = connection.execute(
        f"SELECT 1 FROM {queue} WHERE number > ? AND number <= ? LIMIT 1", (first, last)
    )
    return found.fetchone() is None


def _older(connection: sqlite3.Connection, queue: Queue, known_at: int, after: int) -> int:
    """The last number before the first row, after a number, that became known at that time or later."""
    found = connection.execute(
        f"SELECT number FROM {queue} WHERE number > ? AND known_at >= ? ORDER BY number LIMIT 1",
        (after, known_at),
    ).fetchone()
    return int(found[0]) - 1 if found else after


def _newest(connection: sqlite3.Connection, queue: Queue) -> int | None:
    """When the newest row became known; None without any."""
    found = connection.execute(f"SELECT known_at FROM {queue} ORDER BY number DESC LIMIT 1").fetchone()
    return None if found is None else int(found[0])


def _pieces(
    connection: sqlite3.Connection, queue: Queue, after: int, last: int, where: str = ""
) -> list[tuple[int, int]]:
    """First and last numbers of pieces of few rows, so that deleting one of them takes a moment only."""
    if last <= after:
        return []
    rows = "rows" if queue == "requests" else "1"
    pieces: list[tuple[int, int]] = []
    first = count = end = 0
    for number, held in connection.execute(
        f"SELECT number, {rows} FROM {queue} WHERE number > ? AND number <= ?{where} ORDER BY number",
        (after, last),
    ):
        if count and count + held > _CHUNK:
            pieces.append((first, end))
            count = 0
        first, end = number if not count else first, number
        count += held
    return [*pieces, (first, end)] if count else pieces


def _numbered(connection: sqlite3.Connection, queue: Queue) -> tuple[int, int]:
    """The number of the newest batch, and of the last row in it."""
    batch, last = connection.execute(
        "SELECT coalesce(max(batch), 0), coalesce(max(last), 0) FROM batches WHERE queue = ?", (queue,)
    ).fetchone()
    return int(batch), int(last)


def _ends(connection: sqlite3.Connection, queue: Queue, last: int, newest: int) -> list[int]:
    """Where batches end that hold the rows after `last`, up to the newest one."""
    if newest <= last or _none_between(connection, queue, last, newest):
        return []
    return [*_cuts(connection, queue, last, newest), newest]


def _cuts(connection: sqlite3.Connection, queue: Queue, after: int, newest: int) -> Iterator[int]:
    """Numbers at which a batch is full, so that none is much larger than the memory for it."""
    rows = "rows" if queue == "requests" else "1"
    waiting = 0
    for number, count in connection.execute(
        f"SELECT number, {rows} FROM {queue} WHERE number > ? AND number <= ? ORDER BY number",
        (after, newest),
    ):
        if waiting and waiting + count > _BATCH:
            yield int(number) - 1
            waiting = 0
        waiting += count


def _values(number: int, arrival: Arrival) -> tuple[Any, ...]:
    """What a request is in its table."""
    ids, times, predictions, columns, known_at, version, caller, own, keys = arrival
    parts: tuple[Any, ...] = (ids, times, predictions, columns)
    parts = parts if keys is None else (*parts, keys)
    content = orjson.dumps(parts) if len(ids) <= _CHUNK else _in_steps(parts)
    return number, len(ids), min(times), max(times), known_at, version, caller, own, content


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


def _numbers_with(path: Path, ids: Sequence[str]) -> set[int]:
    """The requests in whose rows one of these texts occurs; a few others may be among them."""
    found: set[int] = set()
    texts = [orjson.dumps(id) for id in ids]
    with _reading(path) as connection:
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            some = texts[start : start + _TEXTS_AT_ONCE]
            where = " OR ".join(["instr(content, ?)"] * len(some))
            rows = connection.execute(f"SELECT number FROM requests WHERE {where}", some)
            found |= {int(number) for (number,) in rows}
    return found


def _own_numbers(connection: sqlite3.Connection, ids: Sequence[str]) -> set[int]:
    found = (connection.execute("SELECT number FROM ids WHERE id = ?", (id,)).fetchone() for id in ids)
    return {int(row[0]) for row in found if row is not None}


def _erase_from(connection: sqlite3.Connection, number: int, ids: set[str]) -> None:
    """Removes rows from a request, and the request where none is left."""
    found = connection.execute(f"SELECT {_COLUMNS} FROM requests WHERE number = ?", (number,)).fetchone()
    if found is None:  # moved on and deleted meanwhile
        return
    arrival = _unpacked(found)
    left = arrival.take([place for place, id in enumerate(arrival.ids) if id not in ids])
    if len(left.ids) == len(arrival.ids):
        return
    connection.execute("DELETE FROM requests WHERE number = ?", (number,))
    if left.ids:
        connection.execute(_INSERT, _values(number, left))
    if arrival.own:
        places = [(place, id) for place, id in enumerate(left.ids)]
        connection.executemany("UPDATE ids SET place = ? WHERE id = ?", places)


def _arrival(row: ArrivingRow) -> Arrival:
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


def _unpacked(found: Sequence[Any]) -> Arrival:
    known_at, version, caller, own, content = found
    parts = orjson.loads(content)
    ids, times, predictions, columns = parts[:4]
    return Arrival(
        ids, times, predictions, columns, known_at, version, caller, bool(own), keys=_keys_of(parts)
    )


def _rows_of(arrival: Arrival) -> Iterator[ArrivingRow]:
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


def _first(connection: sqlite3.Connection, id: str) -> ArrivingRow | None:
    found = connection.execute(_FIND, (id,)).fetchone()
    return list(_rows_of(_unpacked(found[1:])))[found[0]] if found else None


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two rows have the same inputs to the letter: 1, 1.0 and true are three."""
    sort = orjson.OPT_SORT_KEYS
    return orjson.dumps(one, option=sort) == orjson.dumps(other, option=sort)


def _requests(connection: sqlite3.Connection, where: str, values: Sequence[Any]) -> tuple[Arrival, ...]:
    found = connection.execute(f"SELECT {_COLUMNS} FROM requests WHERE {where} ORDER BY number", values)
    return tuple(map(_unpacked, found))


def _labels(connection: sqlite3.Connection, where: str, values: Sequence[Any]) -> tuple[ArrivingLabel, ...]:
    there = {name for _, name, *_ in connection.execute("PRAGMA table_info(labels)")}
    names = _OF_LABELS if "keyed" in there else "id, value, known_at"  # no writer has opened it since
    found = connection.execute(f"SELECT {names} FROM labels WHERE {where} ORDER BY number", values)
    return tuple(_label(*row) for row in found)


def _label(
    id: str, value: bytes, known_at: int, moment: int | None = None, keyed: int = 0, caller: str = ""
) -> ArrivingLabel:
    return ArrivingLabel(id, orjson.loads(value), known_at, moment, bool(keyed), caller)
