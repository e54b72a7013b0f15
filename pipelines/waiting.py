"""What waits in `arriving.db`, as any process may read it beside the one that writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Literal

import numpy as np
import orjson

from pipelines.arrival import (
    COLUMNS,
    Arrival,
    ArrivingLabel,
    ArrivingRow,
    content_of,
    rows_of,
    start_of,
    unpacked,
)
from pipelines.plain_columns import Array

Queue = Literal["requests", "labels"]
QUEUES: tuple[Queue, ...] = ("requests", "labels")
OF_LABELS = "id, value, known_at, moment, keyed, caller"  # what a label is in its table

_NEWEST = 2**63 - 1
_TEXTS_AT_ONCE = 50  # in one condition


class Forgotten(Exception):
    """Rows that a reader asks for have landed meanwhile and are deleted here: the tables are to be asked anew.

    landed: the last batch that they held as the reader looked.
    """

    def __init__(self, landed: int) -> None:
        super().__init__(f"batches after {landed} have landed meanwhile")
        self.landed = landed


@dataclass(frozen=True)
class MovingRows:
    """The rows of a batch, by column; all of n rows.

    times: microseconds; columns: None where one lacks; known_at: datetime64[us]; versions: int64.
    """

    ids: list[str]
    times: list[int]
    predictions: list[Sequence[float | None]]
    columns: dict[str, list[Any]]
    known_at: Array
    versions: Array
    callers: list[str]
    keys: list[str | None]


def waiting_batches(path: Path, queue: Queue, landed: int) -> tuple[int, ...]:
    """Batches that the tables lack, as any process may ask. landed: the last one that they hold."""
    if not _has_tables(path):
        return ()
    with reading(path) as connection:
        return numbered_batches(connection, queue, landed)


def moving_rows(path: Path, batch: int) -> MovingRows:
    """The rows of a batch. They are read beside the writer, so that nobody waits for it."""
    with reading(path) as connection:
        found = connection.execute(
            "SELECT rows, known_at, version, caller, content FROM requests"
            " WHERE number > ? AND number <= ? ORDER BY number",
            _between(connection, "requests", batch),
        ).fetchall()
    counts = [rows for rows, *_ in found]
    read = orjson.loads(b"[" + b",".join([content for *_, content in found]) + b"]")
    contents = [content_of(parts) for parts in read]

    def joined(values: Iterable[Iterable[Any]]) -> list[Any]:
        return list(chain.from_iterable(values))

    def each(values: Iterable[int]) -> Array:
        return np.repeat(np.array(list(values), np.int64), counts)

    return MovingRows(
        joined(content.ids for content in contents),
        joined(content.times for content in contents),
        joined(content.predictions for content in contents),
        _joined_columns([content.columns for content in contents], counts),
        each(known_at for _, known_at, *_ in found).view("datetime64[us]"),
        each(version for _, _, version, *_ in found),
        joined(repeat(caller, rows) for rows, _, _, caller, _ in found),
        joined(content.keys or repeat(None, len(content.ids)) for content in contents),
    )


def _joined_columns(parts: Sequence[Mapping[str, list[Any]]], counts: Sequence[int]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for part in parts for name in part)
    joined: dict[str, list[Any]] = {}
    for name in names:
        values = (part.get(name) or [None] * count for part, count in zip(parts, counts, strict=True))
        joined[name] = list(chain.from_iterable(values))
    return joined


def moving_labels(path: Path, batch: int) -> tuple[ArrivingLabel, ...]:
    """The labels of a batch; see `moving_rows`."""
    with reading(path) as connection:
        return _labels(connection, "number > ? AND number <= ?", _between(connection, "labels", batch))


def waiting_rows(
    path: Path,
    landed: int,
    *,
    start: int = -_NEWEST,
    end: int = _NEWEST,
    known_until: int = _NEWEST,
    gaps: bool = False,
) -> tuple[ArrivingRow, ...]:
    """Rows that the tables lack, as any process may read them. landed: the last batch that the tables hold.

    Ask the tables for `landed` first, and this right after it: a row that moves on meanwhile is then found here.
    `Forgotten` where it has been deleted since; with `gaps` what is there, of tables put back from an older backup.
    """
    if not _has_tables(path):
        return ()
    with reading(path) as connection:
        where = "number > ? AND last >= ? AND first < ? AND known_at <= ?"
        after = _last_landed(connection, "requests", landed, gaps)
        found = requests_where(connection, where, (after, start, end, known_until))
        return tuple(row for arrival in found for row in rows_of(arrival) if start <= row.time < end)


def waiting_count(path: Path, landed: int, *, gaps: bool = False) -> int:
    """How many rows the tables lack; see `waiting_rows`."""
    if not _has_tables(path):
        return 0
    with reading(path) as connection:
        where = "SELECT coalesce(sum(rows), 0) FROM requests WHERE number > ?"
        after = _last_landed(connection, "requests", landed, gaps)
        (rows,) = connection.execute(where, (after,)).fetchone()
        return int(rows)


def rows_with(path: Path, names: Sequence[str]) -> tuple[ArrivingRow, ...]:
    """The rows of requests in which one of these ids or keys occurs, also of those that were moved on."""
    if not _has_tables(path):
        return ()
    found: list[ArrivingRow] = []
    for number in sorted(numbers_with(path, names)):
        with reading(path) as connection:
            found += [
                row for one in requests_where(connection, "number = ?", (number,)) for row in rows_of(one)
            ]
    return tuple(found)


def waiting_labels(
    path: Path, landed: int, *, known_until: int = _NEWEST, gaps: bool = False
) -> tuple[ArrivingLabel, ...]:
    """Labels that the tables lack; see `waiting_rows`."""
    if not _has_tables(path):
        return ()
    with reading(path) as connection:
        where = "number > ? AND known_at <= ?"
        return _labels(connection, where, (_last_landed(connection, "labels", landed, gaps), known_until))


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection beside the writer's, for questions about one moment; nobody waits for it."""
    # a connection that cannot write never checkpoints either, so that the writer stays the only one who does:
    # SQLite before 3.51.3 can damage a file that two connections write or checkpoint at once
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=10, isolation_level=None)) as connection:
        connection.execute("BEGIN")  # what several questions find belongs to one moment
        yield connection


def _has_tables(path: Path) -> bool:
    if not path.exists():
        return False
    with reading(path) as connection:  # the writer makes the file first and the tables a moment later
        return _has(connection, "batches")


def _has(connection: sqlite3.Connection, table: str) -> bool:
    return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone())


def numbered_batches(connection: sqlite3.Connection, queue: Queue, landed: int) -> tuple[int, ...]:
    """The batches after `landed` that have a number already."""
    found = connection.execute(
        "SELECT batch FROM batches WHERE queue = ? AND batch > ? ORDER BY batch", (queue, landed)
    )
    return tuple(int(number) for (number,) in found)


def last_of(connection: sqlite3.Connection, queue: Queue, landed: int) -> int:
    """The number of the last row that the tables hold."""
    (last,) = connection.execute(
        "SELECT coalesce(max(last), 0) FROM batches WHERE queue = ? AND batch <= ?", (queue, landed)
    ).fetchone()
    return int(last)


def _last_landed(connection: sqlite3.Connection, queue: Queue, landed: int, gaps: bool) -> int:
    """As `last_of`; `Forgotten` where later rows are deleted already, unless there may be gaps."""
    last = last_of(connection, queue, landed)
    # a file without this table is one of before, which nobody has opened to write since
    if not gaps and _has(connection, "forgotten") and last < deleted_up_to(connection, queue):
        raise Forgotten(landed)
    return last


def deleted_up_to(connection: sqlite3.Connection, queue: Queue) -> int:
    """The number up to which rows are deleted, all but those that are kept for a client's retry."""
    (last,) = connection.execute(
        "SELECT coalesce(max(last), 0) FROM forgotten WHERE queue = ?", (queue,)
    ).fetchone()
    return int(last)


def _between(connection: sqlite3.Connection, queue: Queue, batch: int) -> tuple[int, int]:
    return last_of(connection, queue, batch - 1), last_of(connection, queue, batch)


def numbers_with(path: Path, ids: Sequence[str]) -> set[int]:
    """The requests in whose rows one of these texts occurs; a few others may be among them."""
    found: set[int] = set()
    texts = [orjson.dumps(text) for id in ids for text in (id, start_of(id)) if text]
    with reading(path) as connection:
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            some = texts[start : start + _TEXTS_AT_ONCE]
            where = " OR ".join(["instr(content, ?)"] * len(some))
            rows = connection.execute(f"SELECT number FROM requests WHERE {where}", some)
            found |= {int(number) for (number,) in rows}
    return found


def requests_where(connection: sqlite3.Connection, where: str, values: Sequence[Any]) -> tuple[Arrival, ...]:
    """The requests that fulfil a condition of SQL on their table, in the order in which they came."""
    found = connection.execute(f"SELECT {COLUMNS} FROM requests WHERE {where} ORDER BY number", values)
    return tuple(map(unpacked, found))


def _labels(connection: sqlite3.Connection, where: str, values: Sequence[Any]) -> tuple[ArrivingLabel, ...]:
    there = {name for _, name, *_ in connection.execute("PRAGMA table_info(labels)")}
    names = OF_LABELS if "keyed" in there else "id, value, known_at"  # no writer has opened it since
    found = connection.execute(f"SELECT {names} FROM labels WHERE {where} ORDER BY number", values)
    return tuple(_label(*row) for row in found)


def _label(
    id: str, value: bytes, known_at: int, moment: int | None = None, keyed: int = 0, caller: str = ""
) -> ArrivingLabel:
    return ArrivingLabel(id, orjson.loads(value), known_at, moment, bool(keyed), caller)
