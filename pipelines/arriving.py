"""Rows that arrive one request at a time, in SQLite until they are moved on into the tables of the log."""

from __future__ import annotations

import contextlib
import math
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from pipelines.arrival import (
    COLUMNS,
    Arrival,
    ArrivingLabel,
    ArrivingRow,
    Busy,
    Conflict,
    Stored,
    arrival_of,
    packed,
    rows_of,
    same_inputs,
    unpacked,
)
from pipelines.errors import UserError
from pipelines.file_lock import Locked, file_lock
from pipelines.waiting import (
    OF_LABELS,
    QUEUES,
    Queue,
    deleted_up_to,
    last_of,
    numbered_batches,
    numbers_with,
    reading,
    requests_where,
)

_KEPT = 24 * 3600 * 1_000_000  # microseconds for which a row that was moved on still answers a client's retry
_BATCH = 20_000  # rows that are moved on at once: of 20 columns some 50 MB in memory
_PIECES = 20  # in which a batch is deleted, for requests wait meanwhile
_DELETED = 1.25  # rows that may be deleted for each that comes, so that what has landed grows less and less
_PAGE = 8192  # bytes: most requests of many rows then lie in one, and their rows go at half the cost
_CHECKPOINT = 2000  # pages, after which the file itself is written; 500 cost a third more
_CACHE = 16_000  # KiB
_CHECKED_AT_START = 256 * 2**20  # bytes: a larger file is not read through, or the start would take seconds
_LOOK_SECONDS = 0.05  # between two looks whether the file is still there
_WIPES = 100  # tries, until no reader is left that began before
_LOCKED_SECONDS = 0.05  # to wait for a stranger's lock; then the client is asked to come again
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
CREATE TABLE IF NOT EXISTS forgotten (
    queue TEXT PRIMARY KEY, last INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""
_NEW_OF_LABELS = {
    "moment": "INTEGER",
    "keyed": "INTEGER NOT NULL DEFAULT 0",
    "caller": "TEXT NOT NULL DEFAULT ''",
}  # columns that a file of before lacks
_INSERT = "INSERT INTO requests VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_FORGOTTEN = (
    "INSERT INTO forgotten VALUES (?, ?) ON CONFLICT (queue) DO UPDATE SET last = max(last, excluded.last)"
)
_FIND = f"SELECT place, {COLUMNS} FROM ids JOIN requests USING (number) WHERE id = ?"


class _Piece(NamedTuple):
    """Rows with numbers from `first` to `last` that are to be deleted. whole: those with an id of the client's, too."""

    queue: Queue
    first: int
    last: int
    whole: bool


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
        self._due: deque[_Piece] = deque()
        self._planned = {queue: (0, deleted_up_to(self._connection, queue)) for queue in QUEUES}
        self._may_delete = 0.0
        self._found = self._next["requests"] - 1  # the last request of the writer before
        self._full: list[int] = []
        self._rows = self._part = 0
        self._looked = -math.inf

    def _opened(self, *, durable: bool) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, check_same_thread=False, isolation_level=None, timeout=_LOCKED_SECONDS
        )
        self._held.callback(connection.close)
        try:
            connection.execute(f"PRAGMA page_size = {_PAGE}")  # of a file that is not there yet
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
        arrivals = [arrival_of(row) for row in rows]
        with self._transaction() as connection:
            found = [self._added(connection, arrival) for arrival in arrivals]
            for one in found:
                if isinstance(one, Conflict):
                    raise one  # and nothing of it is kept
            return tuple(_first_with(connection, row.id) or row for row in rows)

    def add_together(
        self, arrivals: Sequence[Arrival], *, wait: bool = True
    ) -> list[Stored | Conflict | None]:
        """Commits several requests at once; tells of each what came before, None where nothing did, or its conflict.

        Each request comes in whole or not at all; where the commit fails, none of them. wait: whether to wait for
        a thread that is writing; `Busy` where not.
        """
        if not any(arrival.own for arrival in arrivals):
            self._add_new(arrivals, wait=wait)  # the server made their ids: nothing is to be looked up
            return [None] * len(arrivals)
        with self._transaction(wait=wait) as connection:
            return [self._added(connection, arrival) for arrival in arrivals]

    def _add_new(self, arrivals: Sequence[Arrival], *, wait: bool) -> None:
        # who waits for the others packs before, and keeps nobody waiting
        written = [packed(0, arrival) for arrival in arrivals] if wait else []
        if not self._lock.acquire(wait):
            raise Busy
        connection, first = self._connection, self._next["requests"]
        try:
            self._check_there()
            written = written or [packed(0, arrival) for arrival in arrivals]
            values = [(first + place, *one[1:]) for place, one in enumerate(written)]
            if len(values) == 1:  # one statement is a commit of its own, at a third of the cost
                connection.execute(_INSERT, values[0])
            else:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(_INSERT, values)
                connection.execute("COMMIT")
            self._next["requests"] = first + len(values)
            for number, rows, *_ in values:
                self._took(number, rows)
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
                first = unpacked(found[1:])
                same = first.key(found[0]) == arrival.key(place)
                if not same or not same_inputs(first.inputs(found[0]), arrival.inputs(place)):
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
        connection.execute(_INSERT, packed(number, arrival))
        if arrival.own:
            connection.executemany(
                "INSERT INTO ids VALUES (?, ?, ?)",
                [(id, number, place) for place, id in enumerate(arrival.ids)],
            )
        self._next["requests"] = number + 1
        self._took(number, len(arrival.ids))

    def _took(self, number: int, rows: int) -> None:
        """Notes where a batch is full. Should the request be taken back, the batch is smaller than others."""
        self.taken += 1
        self._may_delete += _DELETED * rows
        self._rows += rows
        part = (self._rows - 1) // _BATCH
        if part != self._part:
            self._part = part
            self._full.append(number - 1)

    def add_labels(self, labels: Sequence[ArrivingLabel]) -> None:
        """Commits all labels or none. Each is kept; which of several holds is found out when they are read."""
        values = [
            (label.id, orjson.dumps(label.value), label.known_at, label.moment, label.keyed, label.caller)
            for label in labels
        ]
        with self._transaction() as connection:
            number = self._next["labels"]
            connection.executemany(
                f"INSERT INTO labels (number, {OF_LABELS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(number + place, *label) for place, label in enumerate(values)],
            )
            self._next["labels"] = number + len(labels)
            self.taken += 1
            self._may_delete += _DELETED * len(labels)

    def to_move(self, queue: Queue, landed: int) -> tuple[int, ...]:
        """Batches that the tables lack, oldest first. landed: the number of the last batch that they hold.

        A batch that an earlier flush numbered and did not finish comes again under its number.
        """
        with self._lock:
            newest, full = self._next[queue] - 1, tuple(self._full)  # all of them are committed
        with reading(self.path) as beside:  # it takes its time, and nobody waits for it
            last = _numbered(beside, queue)[1]
            ends = self._ends(beside, queue, last, newest, full)
        with self._transaction() as connection:
            batch, now_last = _numbered(connection, queue)
            first = max(batch, landed) + 1
            if now_last == last:  # nobody else has numbered them meanwhile
                connection.executemany(
                    "INSERT INTO batches (queue, batch, last) VALUES (?, ?, ?)",
                    [(queue, first + place, end) for place, end in enumerate(ends)],
                )
            if queue == "requests":
                self._full = [end for end in self._full if end > newest]
            return numbered_batches(connection, queue, landed)

    def _ends(
        self, connection: sqlite3.Connection, queue: Queue, last: int, newest: int, full: Sequence[int]
    ) -> list[int]:
        """Where batches end that hold the rows after `last`, up to the newest one."""
        if newest <= last or _none_between(connection, queue, last, newest):
            return []
        if queue == "labels":
            return [*range(last + _BATCH, newest, _BATCH), newest]
        before = _cuts(connection, last, self._found) if last < self._found else []
        return sorted({*before, *(end for end in full if last < end < newest), newest})

    def forget(self, queue: Queue, landed: int) -> None:
        """Has what was moved on deleted by `tidy`, except rows with an id of the client's.

        These stay for a day, by which a retry is recognised. A reader that looked at the tables before they had landed
        is told so; see `waiting.Forgotten`.
        """
        own, others = self._planned[queue]
        with reading(self.path) as beside:  # it takes its time, and nobody waits for it
            last, newest = last_of(beside, queue, landed), _newest(beside, queue)
            if newest is None:
                return
            own = max(own, _first(beside, queue, own) - 1)
            retries = min(last, _older(beside, newest - _KEPT, own)) if queue == "requests" else last
            whole = list(_pieces(beside, queue, own, retries))
            rest = list(_pieces(beside, queue, max(others, own, retries), last))
        self._due.extend(_Piece(queue, *piece, True) for piece in whole)
        self._due.extend(_Piece(queue, *piece, False) for piece in rest)
        self._planned[queue] = (max(own, retries), max(others, last))

    def tidy_along(self) -> None:
        """Deletes some of what is to be forgotten, a little more than has come since, where nobody else writes.

        Who takes rows calls this after each commit. A thread beside it would have to wait for Python's lock in every
        step, and would keep the file for itself meanwhile.
        """
        with contextlib.suppress(Busy):
            while self._due and self._may_delete > 0:
                self._may_delete -= self._tidy(wait=False)
        self._may_delete = min(self._may_delete, 1.0) if self._due else 0.0

    def tidy(self) -> None:
        """Deletes everything that is to be forgotten, a little at a time."""
        while self._due:
            self._tidy()

    def _tidy(self, *, wait: bool = True) -> int:
        """Deletes a piece, and returns how many rows were in it, or looked at for it."""
        taken: list[_Piece] = []
        try:
            with self._transaction(wait=wait) as connection:
                if not self._due:
                    return 0
                taken.append(self._due.popleft())
                return self._delete(connection, taken[0])
        except BaseException:
            self._due.extendleft(taken)
            raise

    def _delete(self, connection: sqlite3.Connection, piece: _Piece) -> int:
        queue, first, last, whole = piece
        if queue == "requests" and whole:
            self._delete_ids(connection, first, last)
        others = "" if whole else " AND own = 0"
        rows = "rows" if queue == "requests" else "1"
        deleted = connection.execute(
            f"DELETE FROM {queue} WHERE number >= ? AND number <= ?{others} RETURNING {rows}", (first, last)
        ).fetchall()
        connection.execute(_FORGOTTEN, (queue, last))
        return max(sum(int(rows) for (rows,) in deleted), last - first + 1)

    def _delete_ids(self, connection: sqlite3.Connection, start: int, end: int) -> None:
        old = requests_where(connection, "number >= ? AND number <= ? AND own = 1", (start, end))
        ids = [(id,) for arrival in old for id in arrival.ids]
        connection.executemany("DELETE FROM ids WHERE id = ?", ids)

    def erase(self, ids: Sequence[str], keys: Sequence[str] = ()) -> None:
        """Removes rows, their labels and the labels of some keys, with every trace of them in the file.

        RuntimeError where a reader holds on to old pages; then call again.
        """
        wanted = set(ids)
        numbers = numbers_with(self.path, ids)  # beside the writer: later rows have ids of their own
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


def _none_between(connection: sqlite3.Connection, queue: Queue, first: int, last: int) -> bool:
    found = connection.execute(
        f"SELECT 1 FROM {queue} WHERE number > ? AND number <= ? LIMIT 1", (first, last)
    )
    return found.fetchone() is None


def _older(connection: sqlite3.Connection, known_at: int, after: int) -> int:
    """The number before the first request, after a number, that became known at that time or later."""
    found = connection.execute(
        "SELECT number FROM requests WHERE number > ? AND known_at >= ? ORDER BY number LIMIT 1",
        (after, known_at),
    ).fetchone()
    return int(found[0]) - 1 if found else after


def _first(connection: sqlite3.Connection, queue: Queue, after: int) -> int:
    """The number of the first row after a number; 0 without any."""
    (found,) = connection.execute(
        f"SELECT coalesce(min(number), 0) FROM {queue} WHERE number > ?", (after,)
    ).fetchone()
    return int(found)


def _newest(connection: sqlite3.Connection, queue: Queue) -> int | None:
    """When the newest row became known; None without any."""
    found = connection.execute(f"SELECT known_at FROM {queue} ORDER BY number DESC LIMIT 1").fetchone()
    return None if found is None else int(found[0])


def _pieces(connection: sqlite3.Connection, queue: Queue, after: int, last: int) -> Iterator[tuple[int, int]]:
    """First and last numbers of the parts of batches between two numbers: deleting one of them takes a moment only."""
    found = connection.execute(
        "SELECT last FROM batches WHERE queue = ? AND last > ? AND last < ? ORDER BY last",
        (queue, after, last),
    )
    first = after + 1
    for end in [*(int(end) for (end,) in found), last]:
        size = max((end - first + 1) // _PIECES, 1)
        yield from ((start, min(start + size - 1, end)) for start in range(first, end + 1, size))
        first = end + 1


def _numbered(connection: sqlite3.Connection, queue: Queue) -> tuple[int, int]:
    """The number of the newest batch, and of the last row in it."""
    batch, last = connection.execute(
        "SELECT coalesce(max(batch), 0), coalesce(max(last), 0) FROM batches WHERE queue = ?", (queue,)
    ).fetchone()
    return int(batch), int(last)


def _cuts(connection: sqlite3.Connection, after: int, newest: int) -> list[int]:
    """Numbers of requests at which a batch is full, so that none is much larger than the memory for it.

    All of it is one step of SQLite: row by row, this thread and the one that answers would fight for Python's lock.
    """
    found = connection.execute(
        "SELECT max(number) FROM (SELECT number, (sum(rows) OVER (ORDER BY number) - 1) / ? AS part FROM requests"
        " WHERE number > ? AND number <= ?) GROUP BY part ORDER BY part",
        (_BATCH, after, newest),
    )
    return [int(end) for (end,) in found]


def _own_numbers(connection: sqlite3.Connection, ids: Sequence[str]) -> set[int]:
    found = (connection.execute("SELECT number FROM ids WHERE id = ?", (id,)).fetchone() for id in ids)
    return {int(row[0]) for row in found if row is not None}


def _erase_from(connection: sqlite3.Connection, number: int, ids: set[str]) -> None:
    """Removes rows from a request, and the request where none is left."""
    found = connection.execute(f"SELECT {COLUMNS} FROM requests WHERE number = ?", (number,)).fetchone()
    if found is None:  # moved on and deleted meanwhile
        return
    arrival = unpacked(found)
    left = arrival.take([place for place, id in enumerate(arrival.ids) if id not in ids])
    if len(left.ids) == len(arrival.ids):
        return
    connection.execute("DELETE FROM requests WHERE number = ?", (number,))
    if left.ids:
        connection.execute(_INSERT, packed(number, left))
    if arrival.own:
        places = [(place, id) for place, id in enumerate(left.ids)]
        connection.executemany("UPDATE ids SET place = ? WHERE id = ?", places)


def _first_with(connection: sqlite3.Connection, id: str) -> ArrivingRow | None:
    found = connection.execute(_FIND, (id,)).fetchone()
    return list(rows_of(unpacked(found[1:])))[found[0]] if found else None
