"""Rows that arrive one request at a time, in SQLite until they are moved on into the tables of the log."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from pipelines.errors import UserError
from pipelines.file_lock import Locked, file_lock

Queue = Literal["rows", "labels"]

_KEPT = 24 * 3600 * 1_000_000  # microseconds for which a row that was moved on still answers a client's retry
_NEWEST = 2**63 - 1
_TABLES = """
CREATE TABLE IF NOT EXISTS rows (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, time INTEGER NOT NULL, known_at INTEGER NOT NULL,
    version INTEGER NOT NULL, prediction BLOB NOT NULL, inputs BLOB NOT NULL, caller TEXT NOT NULL,
    batch INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS rows_batch ON rows (batch);
CREATE TABLE IF NOT EXISTS labels (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL, value BLOB NOT NULL, known_at INTEGER NOT NULL,
    batch INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS labels_batch ON labels (batch);
"""


class Conflict(Exception):
    """An id came again with another body."""


@dataclass(frozen=True)
class ArrivingRow:
    """One scored row. time, known_at: microseconds since 1970 in UTC; inputs: JSON values by column."""

    id: str
    time: int
    known_at: int
    version: int
    prediction: tuple[float, ...]
    inputs: Mapping[str, Any]
    caller: str = ""


@dataclass(frozen=True)
class ArrivingLabel:
    """One truth that became known. value: a number, a text or a bool; known_at: as in `ArrivingRow`."""

    id: str
    value: Any
    known_at: int


class Arriving:
    """The one writer of `arriving.db`; a second process that wants to write is refused.

    Every call is one commit, safe against the end of the process; threads wait for each other. Rows are
    handed on in batches whose numbers only grow, so that a reader, or a flush after one that was cut off, can
    tell by one number what the tables hold already.
    """

    def __init__(self, folder: Path, *, synchronous: Literal["NORMAL", "FULL"] = "NORMAL") -> None:
        self._lock = threading.Lock()
        self._held = ExitStack()
        try:
            self._held.enter_context(file_lock(folder / "arriving.lock", wait=0))
        except Locked as error:
            raise UserError(
                f"{folder / 'arriving.db'}: another process is writing it. One scoring server writes a log; "
                "stop the other one, or give this one a project of its own"
            ) from error
        self._connection = sqlite3.connect(
            folder / "arriving.db", check_same_thread=False, isolation_level=None
        )
        self._held.callback(self._connection.close)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute(f"PRAGMA synchronous = {synchronous}")
        self._connection.executescript(_TABLES)

    def close(self) -> None:
        """Lets go of the file and of the right to write it; a second call does nothing."""
        with self._lock:
            self._held.close()

    def add(self, rows: Sequence[ArrivingRow]) -> tuple[ArrivingRow, ...]:
        """Commits all rows or none, and returns them as they are stored: of a repeated id, the first one.

        `Conflict` where an id is there with other inputs.
        """
        with self._transaction() as connection:
            return tuple(_added(connection, row) for row in rows)

    def add_labels(self, labels: Sequence[ArrivingLabel]) -> None:
        """Commits all labels or none; a label of the same id and a later known_at replaces an earlier one."""
        values = [(label.id, orjson.dumps(label.value), label.known_at) for label in labels]
        with self._transaction() as connection:
            connection.executemany("INSERT INTO labels (id, value, known_at) VALUES (?, ?, ?)", values)

    def to_move(self, queue: Queue, landed: int) -> tuple[int, ...]:
        """Batches that the tables lack, oldest first. landed: the number of the last batch that they hold.

        A batch that an earlier flush numbered and did not finish comes again under its number.
        """
        with self._transaction() as connection:
            (last,) = connection.execute(f"SELECT coalesce(max(batch), 0) FROM {queue}").fetchone()
            connection.execute(
                f"UPDATE {queue} SET batch = ? WHERE batch IS NULL", (max(int(last), landed) + 1,)
            )
            batches = connection.execute(
                f"SELECT DISTINCT batch FROM {queue} WHERE batch > ? ORDER BY batch", (landed,)
            )
            return tuple(int(batch) for (batch,) in batches)

    def rows(self, batch: int) -> tuple[ArrivingRow, ...]:
        with self._transaction() as connection:
            return _rows(connection, "batch = ?", (batch,))

    def labels(self, batch: int) -> tuple[ArrivingLabel, ...]:
        with self._transaction() as connection:
            return _labels(connection, "batch = ?", (batch,))

    def forget(self, queue: Queue, landed: int) -> None:
        """Deletes what was moved on, except rows of the last day, by which a client's retry is recognised."""
        with self._transaction() as connection:
            (newest,) = connection.execute(f"SELECT coalesce(max(known_at), 0) FROM {queue}").fetchone()
            connection.execute(
                f"DELETE FROM {queue} WHERE batch <= ? AND known_at < ?", (landed, int(newest) - _KEPT)
            )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # a full disk has rolled it back already
                    self._connection.execute("ROLLBACK")
                raise


def waiting_rows(
    path: Path, landed: int, *, start: int = -_NEWEST, end: int = _NEWEST, known_until: int = _NEWEST
) -> tuple[ArrivingRow, ...]:
    """Rows that the tables lack, as any process may read them. landed: the last batch that the tables hold.

    Ask the tables for `landed` first: a row that moves on meanwhile is then found here.
    """
    with _reading(path) as connection:
        where = "(batch IS NULL OR batch > ?) AND time >= ? AND time < ? AND known_at <= ?"
        return _rows(connection, where, (landed, start, end, known_until)) if connection else ()


def waiting_labels(path: Path, landed: int, *, known_until: int = _NEWEST) -> tuple[ArrivingLabel, ...]:
    """Labels that the tables lack; see `waiting_rows`."""
    with _reading(path) as connection:
        where = "(batch IS NULL OR batch > ?) AND known_at <= ?"
        return _labels(connection, where, (landed, known_until)) if connection else ()


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection | None]:
    # a connection that cannot write never checkpoints either, so that the writer stays the only one who does:
    # SQLite before 3.51.3 can damage a file that two connections write or checkpoint at once
    if not path.exists():
        yield None
        return
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)) as connection:
        yield connection if _has_tables(connection) else None


def _has_tables(connection: sqlite3.Connection) -> bool:
    # the writer makes the file first and the tables a moment later
    return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'labels_batch'").fetchone())


def _added(connection: sqlite3.Connection, row: ArrivingRow) -> ArrivingRow:
    inputs = orjson.dumps(row.inputs, option=orjson.OPT_SORT_KEYS)
    values = (row.id, row.time, row.known_at, row.version, orjson.dumps(row.prediction), inputs, row.caller)
    done = connection.execute(
        "INSERT OR IGNORE INTO rows (id, time, known_at, version, prediction, inputs, caller)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        values,
    )
    if done.rowcount:
        return row
    (stored,) = _rows(connection, "id = ?", (row.id,))
    if orjson.dumps(stored.inputs, option=orjson.OPT_SORT_KEYS) != inputs:
        raise Conflict(
            f"id {row.id!r} came before with other inputs. Send a new id for a new row, "
            "or the same row again for the same answer"
        )
    return stored


def _rows(connection: sqlite3.Connection, where: str, values: Sequence[Any]) -> tuple[ArrivingRow, ...]:
    found = connection.execute(
        "SELECT id, time, known_at, version, prediction, inputs, caller FROM rows"
        f" WHERE {where} ORDER BY number",
        values,
    )
    return tuple(
        ArrivingRow(
            id, time, known_at, version, tuple(orjson.loads(prediction)), orjson.loads(inputs), caller
        )
        for id, time, known_at, version, prediction, inputs, caller in found
    )


def _labels(connection: sqlite3.Connection, where: str, values: Sequence[Any]) -> tuple[ArrivingLabel, ...]:
    found = connection.execute(
        f"SELECT id, value, known_at FROM labels WHERE {where} ORDER BY number", values
    )
    return tuple(ArrivingLabel(id, orjson.loads(value), known_at) for id, value, known_at in found)
