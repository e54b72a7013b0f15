"""What can be wrong with a scoring server: each breaks the one of this process, so that a proof is seen to find it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from pipelines import answering, arriving, champion, http_server, invocations


def answer_first() -> None:
    """Answers, and commits a moment later."""
    commit = answering.Answering._store

    def store(self: Any, asked: list[Any]) -> None:
        for one in asked:
            one.exchange.reply(*self._answer(one.arrival, None))
        asyncio.get_running_loop().call_later(0.02, commit, self, asked)

    answering.Answering._store = store  # type: ignore[method-assign]


def forget_the_ids() -> None:
    """Neither looks for an id that came before, nor has the file a key that would refuse it."""
    arriving._TABLES = arriving._TABLES.replace("id TEXT PRIMARY KEY", "id TEXT").replace(
        "STRICT, WITHOUT ROWID;\nCREATE TABLE IF NOT EXISTS labels",
        "STRICT;\nCREATE TABLE IF NOT EXISTS labels",
    )
    arriving._FIND = "SELECT 1 WHERE ? IS NULL"


def skip_the_mark() -> None:
    """Appends to the tables without the number of the batch, by which it would land once."""
    from pipelines.delta import Table

    append = Table.append
    Table.append = lambda self, build, mark=None: append(self, build)  # type: ignore[method-assign]


# --- versions ---


def keep_the_preparation() -> None:
    """A new version scores with the preparation of the one before."""
    change = champion.Champion._change

    def changed(self: Any, version: int, folder: Any) -> None:
        before = self._served
        change(self, version, folder)
        if before is not None and self._served is not before:
            self._served.scorer._few = before.scorer._few

    champion.Champion._change = changed  # type: ignore[method-assign]


def serve_untried() -> None:
    """A version serves without a look at its golden requests."""
    champion.Scorer.golden_ok = lambda self: True  # type: ignore[method-assign]


# --- the end ---


def leave_at_once() -> None:
    """After SIGTERM every connection is cut."""

    async def drain(self: Any, server: Any, grace: float) -> None:
        self.draining = True

    http_server.HttpServer._drain = drain  # type: ignore[method-assign]


def leave_after_one() -> None:
    """After SIGTERM a connection is closed with its next answer, whatever was sent ahead."""
    answer = http_server._Connection.answer

    def answered(self: Any, exchange: Any, *said: Any) -> None:
        if self._server.draining:
            exchange.keep = False
        answer(self, exchange, *said)

    http_server._Connection.answer = answered  # type: ignore[method-assign]


# --- what is malformed ---


def trust_the_width() -> None:
    """Rows are taken to be as wide as the columns, so that a ragged one is a fault of the server."""

    def lists(field: str, names: Sequence[str], data: Any) -> Any:
        return dict(zip(names, map(list, zip(*data, strict=True)), strict=True))

    invocations._from_lists = lists


def end_at_depth() -> None:
    """What is nested too deeply ends the process, as a parser without a limit does."""
    loads = invocations.orjson.loads

    def parsed(body: bytes) -> Any:
        if body.count(b"[") > 50_000:
            os._exit(139)
        return loads(body)

    invocations.orjson = SimpleNamespace(loads=parsed, JSONDecodeError=invocations.orjson.JSONDecodeError)


def keep_every_body() -> None:
    """What was refused is never let go of."""
    kept: list[bytes] = []
    read = answering.read_rows

    def reading(body: bytes, content_type: str, served: Any) -> Any:
        kept.append(bytes(50_000) + body)
        return read(body, content_type, served)

    answering.read_rows = reading


def believe_everything() -> None:
    """Types are not looked at."""
    invocations._check_types = lambda columns, form: None


# --- the load ---


def read_in_the_loop() -> None:
    """However large a request is, it is read and scored in the event loop."""
    answering._HUGE_BODY = answering._LARGE_BODY = answering._MANY_ROWS = 1 << 40


# --- the start ---


def look_at_every_row() -> None:
    """A start that takes a millisecond for each row that waits."""
    opened = arriving.Arriving._opened

    def slowly(self: Any, **options: Any) -> Any:
        connection = opened(self, **options)
        (rows,) = connection.execute("SELECT coalesce(sum(rows), 0) FROM requests").fetchone()
        time.sleep(rows / 1000)
        return connection

    arriving.Arriving._opened = slowly  # type: ignore[method-assign]


def begin_anew() -> None:
    """A start that throws away what waits."""
    opened = arriving.Arriving._opened

    def emptied(self: Any, **options: Any) -> Any:
        connection = opened(self, **options)
        connection.execute("DELETE FROM requests")
        return connection

    arriving.Arriving._opened = emptied  # type: ignore[method-assign]


def forget_to_say_when() -> None:
    """Who is refused is not told when to come again."""
    answering.RETRY = http_server.RETRY = b""
