"""Requests to score rows, together where they come together, each answered when its rows are committed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import shutil
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import count, islice
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import orjson

from pipelines.arrival import Arrival, ArrivingLabel, Busy, Conflict, Stored, ids_from
from pipelines.champion import Served
from pipelines.http_server import JSON, RETRY, Exchange, Refusal
from pipelines.invocations import BadRequest, Invocation
from pipelines.large_requests import LargeFailed, LargeRequests, read_rows
from pipelines.moments import microseconds
from pipelines.plain_columns import Array
from pipelines.serving_figures import Figures

logger = logging.getLogger(__name__)

# bytes; reading more of JSON keeps everybody else waiting for more than a millisecond
_LARGE_BODY = 64 * 2**10
_MANY_ROWS = 256  # the same of rows
# bytes; reading more keeps even other threads waiting, so a process of its own does it
_HUGE_BODY = 256 * 2**10
_ROWS_A_TURN = 2048  # rows after which what is read is scored and committed; then others are heard again
# seconds that requests wait for their turn where many come at once; others are asked to come again: where a machine
# pauses for a second or two, nobody is
_PATIENCE = 3.0
# the same while others are asked to come again: a longer queue would answer no more of them, only each one later
_SHORT_PATIENCE = 0.1
_FLOOD = 1.0  # seconds without anybody who was told so, after which the flood is over
_MOST_BYTES = 32 * 2**20  # of the requests that wait
_MOST_LARGE = 8  # large requests that wait; more are asked to come again
_AGAIN_SECONDS = 0.0005  # until the next attempt while another thread writes
_DEADLINE = 60.0  # seconds for a large request
_LONGEST_HEADER = 8000  # bytes; clients refuse lines of 64 KiB, proxies often of 8
_PAGE = 4096  # bytes; a commit writes some whole pages
_TRY_AGAIN = b"retry-after: 3\r\n"


class Source(Protocol):
    """Where the version comes from that answers."""

    def current(self) -> Served | None: ...


class Store(Protocol):
    """What takes rows and labels: a `Log`, or a `MovingLog`, which needs less."""

    def arrive_together(
        self, arrivals: Sequence[Arrival], *, wait: bool = True
    ) -> list[Stored | Conflict | None]: ...

    def take_labels(self, labels: Sequence[ArrivingLabel]) -> None: ...

    def tidy_along(self) -> None: ...

    def flush(self) -> int: ...

    def hurry(self) -> None: ...


Score = Callable[[], tuple[Invocation, list[list[float]]]]  # reads the rows of a request and answers them


class _Waiting(NamedTuple):
    """A request that has come in. served: what is to score it; size: bytes of its body."""

    exchange: Exchange
    served: Served
    size: int


@dataclass(slots=True)
class _Asked:
    """A request that is read and prepared, then scored and packed for the log."""

    exchange: Exchange
    invocation: Invocation
    inputs: Array
    arrival: Arrival


class Answering:
    """Takes requests in the event loop and answers them.

    Small ones that come in one turn of the loop are scored by one call and committed together, where several clients
    ask; large ones go through a thread of their own. Nothing is answered before it is committed. Requests wait as they
    came: read, they are many small objects, which thousands of would no longer lie in the caches of the processor.
    """

    def __init__(
        self,
        source: Source,
        log: Store,
        figures: Figures,
        *,
        now: Callable[[], datetime],
        folder: Path,
        alone: Callable[[], bool],
        unlogged: bool = False,
    ) -> None:
        """folder: where the log lies, whose free space is told when it is full; alone: whether nobody else asks.

        unlogged: whether rows are answered that the log does not take.
        """
        self._source, self._log, self._figures = source, log, figures
        self._now, self._folder, self._alone, self._unlogged = now, folder, alone, unlogged
        self._waiting: deque[_Waiting] = deque()
        self._blocked: list[_Asked] = []
        self._planned = False
        self._bytes = self._large = 0
        self._refused = -_FLOOD  # when somebody was last asked to come again
        # what cannot be answered soon is told so at once, at a small part of the cost of an answer
        self._full = Refusal(503, _FULL, JSON + RETRY, lasts=self._too_late)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="large")
        self._apart = LargeRequests(seconds=_DEADLINE)
        self._ids = Ids()

    @property
    def waiting(self) -> int:
        """Requests that have come in and are not answered yet."""
        return len(self._waiting) + len(self._blocked) + self._large

    def close(self) -> None:
        """Waits for the thread of large requests."""
        self._thread.shutdown(wait=True)
        self._apart.close()

    def busy(self) -> Refusal | None:
        """What a request is told that would wait for its answer for too long."""
        return self._full if self._too_late() else None

    def _too_late(self) -> bool:
        """Whether a request that comes now is refused, and so the next ones sooner."""
        now = time.perf_counter()
        waits = now - self._waiting[0].exchange.begun if self._waiting else 0.0
        patience = _SHORT_PATIENCE if now < self._refused + _FLOOD else _PATIENCE
        late = waits > patience or self._bytes > _MOST_BYTES
        if late:
            self._refused = now
        return late

    def take(self, exchange: Exchange) -> None:
        """Scores the rows of a request; raises `BadRequest` where no version is there to do so."""
        served, size = self._source.current(), exchange.size
        if served is None:
            raise BadRequest(
                "", "no version is loaded yet; try again in a few seconds", rule="ready", status=503
            )
        if (refusal := self.busy()) is not None:  # it was not when the head of the request came
            exchange.reply(refusal.status, refusal.body, refusal.headers)
            return
        if size > _LARGE_BODY or served.scorer.engine != "onnx":
            self._take_large(exchange, served)
            return
        self._waiting.append(_Waiting(exchange, served, size))
        self._bytes += size
        if self._alone():
            self._turn()
        else:
            self._plan()

    # --- small requests, in the event loop ---

    def _plan(self, seconds: float = 0.0) -> None:
        """What comes in this turn of the loop is scored in the next, all at once."""
        if not self._planned:
            self._planned = True
            loop = asyncio.get_running_loop()
            _ = loop.call_later(seconds, self._turn) if seconds else loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._planned = False
        new = self._score_next(self._waiting[0].served) if self._waiting and not self._blocked else []
        together, self._blocked = [*self._blocked, *new], []
        try:
            self._store(together)
        except Exception:
            _fail([one.exchange for one in together])
        if self._waiting and not self._blocked:
            self._plan()

    def _score_next(self, served: Served) -> list[_Asked]:
        """The requests whose turn it is, in the order in which they came, all for the same version."""
        asked, rows, known_at = [], 0, microseconds(self._now())
        while self._waiting and rows < _ROWS_A_TURN and self._waiting[0].served is served:
            exchange, _, size = self._waiting.popleft()
            self._bytes -= size
            if (one := self._read(exchange, served)) is not None:
                asked.append(one)
                rows += one.invocation.rows
        if not asked:
            return []
        try:
            inputs = asked[0].inputs if len(asked) == 1 else np.concatenate([one.inputs for one in asked])
            answers = iter(served.scorer.predict_inputs(inputs).tolist())
        except Exception:
            _fail([one.exchange for one in asked])
            return []
        for one in asked:
            own = list(islice(answers, one.invocation.rows))
            one.arrival = self._arrival(served, one.invocation, own, known_at, one.exchange.caller)
        return asked

    def _read(self, exchange: Exchange, served: Served) -> _Asked | None:
        """None where the request is none, which its client is told, or one for the thread."""
        if exchange.answered:  # its client has left
            return None
        try:
            asked = read_rows(exchange.body, _content_type(exchange), served)
            if asked.rows > _MANY_ROWS:
                self._hand_over(exchange, served, lambda: _scored(asked, served))
                return None
            return _Asked(exchange, asked, served.scorer.prepared(list(asked.columns.values())), _NOTHING)
        except BadRequest as error:
            exchange.reply(error.status, refusal_body(error), JSON)
        except Exception:
            _fail([exchange])
        return None

    def _store(self, asked: list[_Asked]) -> None:
        if not asked:
            return
        try:
            stored = self._log.arrive_together([one.arrival for one in asked], wait=False)
        except Busy:
            self._blocked = asked
            self._plan(_AGAIN_SECONDS)
            return
        except sqlite3.Error as error:
            told = self._without_log(error, [one.arrival for one in asked])
            for one, answer in zip(asked, told, strict=True):
                one.exchange.reply(*answer)
            return
        self._figures.commits += 1
        for one, before in zip(asked, stored, strict=True):
            one.exchange.reply(*self._answer(one.arrival, before))
        with contextlib.suppress(sqlite3.Error):  # the next request meets the same, and its client is told
            self._log.tidy_along()

    # --- large requests, in a thread, or in a process that a thread waits for ---

    def _take_large(self, exchange: Exchange, served: Served) -> None:
        body, content_type = exchange.body, _content_type(exchange)
        if len(body) > _HUGE_BODY and served.scorer.engine == "onnx":
            self._hand_over(exchange, served, lambda: self._apart.read(body, content_type, served))
        else:
            self._hand_over(exchange, served, lambda: _scored(read_rows(body, content_type, served), served))

    def _hand_over(self, exchange: Exchange, served: Served, score: Score) -> None:
        if self._large >= _MOST_LARGE:
            exchange.reply(503, _FULL_OF_LARGE, JSON + RETRY)
            return
        self._large += 1
        loop = asyncio.get_running_loop()
        late = error_body("", f"no answer within {_DEADLINE:g} seconds; send fewer rows", rule="time")
        deadline = loop.call_later(_DEADLINE, exchange.reply, 504, late)

        def finish(status: int, body: bytes, headers: bytes) -> None:
            self._large -= 1
            deadline.cancel()
            exchange.reply(status, body, headers)

        def work() -> None:
            answer = self._large_answer(served, score, exchange.caller)
            loop.call_soon_threadsafe(finish, *answer)

        self._thread.submit(work)

    def _large_answer(self, served: Served, score: Score, caller: str) -> tuple[int, bytes, bytes]:
        arrival = _NOTHING
        try:
            asked, answers = score()
            arrival = self._arrival(served, asked, answers, microseconds(self._now()), caller)
            (before,) = self._log.arrive_together([arrival])
            self._figures.commits += 1
            return self._answer(arrival, before)
        except BadRequest as error:
            return error.status, refusal_body(error), JSON
        except LargeFailed as error:
            logger.error("a large request could not be scored: %s", error)
            reason = f"the process for large requests failed ({error}); try again, or send fewer rows"
            return 503, error_body("", reason, rule="process"), JSON + _TRY_AGAIN
        except sqlite3.Error as error:
            (told,) = self._without_log(error, [arrival])
            return told
        except Exception:
            logger.exception("a request could not be answered")
            return 500, FAULT, JSON

    # --- both ---

    def _arrival(
        self, served: Served, asked: Invocation, answers: list[list[float]], known_at: int, caller: str
    ) -> Arrival:
        rows, start = asked.rows, None
        ids: Sequence[str] | None = asked.ids
        if ids is None:
            start = self._ids.start(known_at)
            ids = ids_from(start, rows)
        return Arrival(
            ids,
            [known_at] * rows if asked.times is None else asked.times.view(np.int64).tolist(),
            answers,
            {name: asked.columns[name] for name in served.sorted_names},
            known_at,
            served.version,
            caller,
            start is None,
            asked.keys,
            start,
        )

    def _answer(self, arrival: Arrival, before: Stored | Conflict | None) -> tuple[int, bytes, bytes]:
        if isinstance(before, Conflict):
            return 409, error_body("ids", str(before), rule="conflict"), JSON
        self._figures.rows += len(arrival.ids)
        if before is None:
            return _answered(arrival.ids, arrival.predictions, str(arrival.version))
        versions = ",".join(map(str, dict.fromkeys(before.versions)))
        return _answered(arrival.ids, before.predictions, versions)

    def _without_log(
        self, error: sqlite3.Error, arrivals: Sequence[Arrival]
    ) -> list[tuple[int, bytes, bytes]]:
        """What is said of rows that the log did not take: a refusal, or the answer where the user chose so."""
        self._figures.failed_commits += 1
        reason = why_refused(error, self._folder, arrivals)
        logger.error("the log takes no rows: %s", reason)
        if self._unlogged:
            self._figures.unlogged += sum(len(arrival.ids) for arrival in arrivals)
            return [_unlogged(self._answer(arrival, None)) for arrival in arrivals]
        body = error_body("", f"{reason}; without the log nothing is answered", rule="log")
        return [(503, body, JSON + _TRY_AGAIN)] * len(arrivals)


def _content_type(exchange: Exchange) -> str:
    return exchange.headers.get(b"content-type", b"").decode("latin-1")


def _fail(exchanges: Sequence[Exchange]) -> None:
    """Tells clients of a fault of ours, and notes the exception that is being handled."""
    logger.exception("requests could not be answered")
    for exchange in exchanges:
        exchange.reply(500, FAULT)


def _scored(asked: Invocation, served: Served) -> tuple[Invocation, list[list[float]]]:
    answers: list[list[float]] = served.scorer.predict(asked.columns).tolist()
    return asked, answers


_NOTHING = Arrival((), (), (), {}, 0, 0, "", own=False)


def _answered(
    ids: Sequence[str], answers: Sequence[Sequence[float | None]], versions: str
) -> tuple[int, bytes, bytes]:
    """MLflow's answer; ids and versions in headers, or in the body where they are too long for one.

    Predictions are as MLflow's loader of the version gives them: a number for each row, or a list where there are
    several; what is no finite number is null.
    """
    predictions = [answer[0] for answer in answers] if len(answers[0]) == 1 else answers
    joined = ",".join(ids)
    headers = f"content-type: application/json\r\nlosswatch-version: {versions}\r\n"
    if len(joined) <= _LONGEST_HEADER and joined.isascii():
        body = orjson.dumps({"predictions": predictions})
        return 200, body, f"{headers}losswatch-ids: {joined}\r\n".encode("ascii")
    # one after the other, so that of a hundred thousand rows no step keeps other threads waiting for long
    body = b'{"predictions":%b,"ids":%b}' % (orjson.dumps(predictions), orjson.dumps(ids))
    return 200, body, headers.encode("ascii")


def _unlogged(answer: tuple[int, bytes, bytes]) -> tuple[int, bytes, bytes]:
    status, body, headers = answer
    return status, body, headers + b"losswatch-logged: no\r\n"


def why_refused(error: sqlite3.Error, folder: Path, arrivals: Sequence[Arrival]) -> str:
    """Why the log took no rows, with the bytes that are free and needed where that is why."""
    if getattr(error, "sqlite_errorname", "") != "SQLITE_FULL":
        return f"the log takes no rows now ({error})"
    needed = 8 * _PAGE + sum(_size(arrival) for arrival in arrivals)
    return f"the log is full: {shutil.disk_usage(folder).free} bytes free, about {needed} needed"


def _size(arrival: Arrival) -> int:
    """About how many bytes a request takes in the log, before and after it is moved."""
    return 2 * len(orjson.dumps((arrival.ids, arrival.columns, arrival.predictions)))


class Ids:
    """Ids that nobody else makes and that grow with time, so that rows are found quickly by them."""

    def __init__(self) -> None:
        self._process = secrets.token_hex(6)
        self._count = count()  # one step of it is one step for all threads

    def start(self, known_at: int) -> str:
        """What the ids of a request's rows are made from, see `ids_from`. known_at: microseconds since 1970."""
        return f"{known_at:016x}-{self._process}{next(self._count):010x}"


def refusal_body(error: BadRequest) -> bytes:
    """What a client is told of a request that cannot be answered."""
    return error_body(error.field, error.reason, rule=error.rule, expected=error.expected)


def error_body(field: str, reason: str, *, rule: str, expected: str = "") -> bytes:
    """The form of every error: field, rule, reason and what was expected; the rest is what MLflow's clients read.

    >>> error_body("wind", "a text; expected a number", rule="type", expected="a number")[:60]
    b'{"error":{"field":"wind","rule":"type","reason":"a text; exp'
    """
    message = f"{field}: {reason}" if field else reason
    texts = (field, rule, reason, expected, message)
    try:
        return _error(*texts)
    except orjson.JSONEncodeError:  # a lone surrogate of a client's
        return _error(*map(ascii, texts))


def _error(field: str, rule: str, reason: str, expected: str, message: str) -> bytes:
    error = {"field": field, "rule": rule, "reason": reason, "expected": expected}
    return orjson.dumps({"error": error, "error_code": "BAD_REQUEST", "message": message})


FAULT = error_body("", "a fault of the server, see its log", rule="server")
_FULL = error_body("", "too many requests wait for their answer; try again in a moment", rule="overload")
_FULL_OF_LARGE = error_body("", "too many large requests wait; try again in a moment", rule="overload")
