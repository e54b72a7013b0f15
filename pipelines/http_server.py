"""HTTP/1.1 for many small requests: parsed in C, no task a request, every limit counted while a request comes in.

An application is asked twice: whether it wants a request at all, when its headers are there, and for the answer,
when its body is. It answers whenever it can, by `Exchange.reply`.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import termios
import time
from array import array
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from socket import SHUT_WR, socket
from typing import Protocol, cast

import httptools

from pipelines.busy_polling import BusyPolling

logger = logging.getLogger(__name__)

_SWEEP_SECONDS = 0.5
_LEAVING_SECONDS = 5.0  # in which a client may read an answer after which the connection is closed
_LINGER_SECONDS = 0.5  # after SIGTERM, in which requests that are on their way are still taken
_ACCEPTED_AT_ONCE = 500  # connections in one turn of the loop
MOST_TURNED_AWAY = 1000  # of those for which there is no room, that may still read why
_WATCHED = 20  # connections, up to which the loop stays awake; of more somebody asks soon enough
_READ_AT_ONCE = 64 * 2**10
_MOST_WAITING = 8  # requests that one client sent ahead before it is read on
_STATUS = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
JSON = b"content-type: application/json\r\n"
RETRY = b"retry-after: 1\r\n"


@dataclass(frozen=True)
class Limits:
    """What a client may take. head, body, bodies: bytes, bodies those of all requests together; times in seconds."""

    head: int = 16 * 2**10
    headers: int = 100
    body: int = 10 * 2**20  # about 50,000 rows of 20 columns
    bodies: int = 64 * 2**20
    connections: int = 10_000
    reading: float = 30.0  # from the first byte of a request to its last
    # after which an idle one makes room for another; before, its request may be here and unread
    spare: float = 2.0
    idle: float = 75.0  # proxies keep a connection for 60 s, and must be the first to close it
    writing: float = 30.0


@dataclass(frozen=True)
class Refusal:
    """An answer that needs no body of the request.

    headers: lines that end with CRLF; lasts: whether requests with the same head are still refused in the same way,
    None where that depends on more than the head.
    """

    status: int
    body: bytes
    headers: bytes = JSON
    lasts: Callable[[], bool] | None = None


class Application(Protocol):
    """What answers."""

    def admit(self, exchange: Exchange) -> Refusal | None:
        """Looks at the head of a request; the body of one that is refused is not kept."""

    def handle(self, exchange: Exchange) -> None:
        """Answers a request, now or later."""

    def refused(self, status: int, reason: str) -> bytes:
        """The body of an answer to a request that breaks a limit or is no HTTP."""

    def answered(self, exchange: Exchange, status: int) -> None:
        """Hears of every answer to a request."""


class Exchange:
    """One request, and the way to answer it once. headers: by name in lower case; caller: who it is for the log."""

    __slots__ = (
        "_connection",
        "_parts",
        "answered",
        "begun",
        "caller",
        "headers",
        "keep",
        "method",
        "path",
        "query",
        "refusal",
        "size",
        "url",
    )

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self._parts: list[bytes] = []
        self.method = self.path = ""
        self.caller = connection.peer
        self.url = self.query = b""
        self.headers: dict[bytes, bytes] = {}
        self.size = 0
        self.keep = True
        self.answered = False
        self.begun = 0.0
        self.refusal: Refusal | None = None

    @property
    def body(self) -> bytes:
        parts = self._parts
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def add(self, part: bytes) -> None:
        """Keeps one more part of the body."""
        self._parts.append(part)

    def give_up(self) -> None:
        """The client has left: nothing is answered any more."""
        self.answered, self.size, self._parts = True, 0, []

    def reply(self, status: int, body: bytes, headers: bytes = JSON) -> None:
        """Sends the answer; a second one, after a deadline for instance, is dropped. headers: end with CRLF."""
        if not self.answered:
            self.answered = True
            self._parts = []
            self._connection.answer(self, status, body, headers)


@dataclass(frozen=True)
class _Refused:
    """A request that was refused whatever its body, so that the next one with the same head need not be parsed.

    head: its bytes up to the body; size: of the whole request; answer: what it was told.
    """

    head: bytes
    size: int
    exchange: Exchange
    refusal: Refusal
    answer: bytes

    @classmethod
    def of(cls, data: bytes, exchange: Exchange) -> _Refused | None:
        """data: what the connection has read; None where that is not this one request, whole."""
        refusal, headers = exchange.refusal, exchange.headers
        end = data.find(b"\r\n\r\n") + 4
        size = end + int(headers.get(b"content-length", b"0"))
        if refusal is None or refusal.lasts is None or b"transfer-encoding" in headers:
            return None
        whole = len(data) == size and exchange.keep and exchange.method != "HEAD"
        if not whole:
            return None
        answer = _answer(refusal.status, refusal.headers, len(refusal.body), refusal.body, keep=True)
        return cls(data[:end], size, exchange, refusal, answer)

    def again(self, data: bytes) -> bool:
        """Whether this is such a request, and refused as well."""
        lasts = self.refusal.lasts
        return len(data) == self.size and data.startswith(self.head) and lasts is not None and lasts()


class HttpServer:
    """Connections, and what they may take together."""

    polling: BusyPolling  # from `serve` on

    def __init__(self, application: Application, limits: Limits | None = None) -> None:
        self.application = application
        self.limits = limits or Limits()
        self.connections: set[_Connection] = set()
        self.held = 0  # bytes of bodies
        self.clock = 0.0  # seconds, as of the last sweep: exact enough for limits of seconds
        self.draining = False
        self.turned_away = 0
        self.leaving = 0  # connections that only wait for their client to close
        self._full_until = 0.0  # before which nobody can make room

    async def serve(self, listening: socket, stop: asyncio.Event, *, grace: float) -> None:
        """Answers until `stop` is set, then what has come in, for at most `grace` seconds."""
        loop = asyncio.get_running_loop()
        self.clock = loop.time()
        self.polling = BusyPolling(loop.call_soon)
        accepting = _Accepting(self, listening)
        sweeping = loop.create_task(self._sweep_for_ever(accepting))
        try:
            await stop.wait()
            await self._drain(accepting, grace)
        finally:
            sweeping.cancel()
            accepting.close()
            for connection in tuple(self.connections):
                connection.abort()

    async def _sweep_for_ever(self, accepting: _Accepting) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            self.clock = loop.time()
            accepting.sweep(self.clock)
            for connection in tuple(self.connections):
                connection.sweep(self.clock, self.limits)

    async def _drain(self, accepting: _Accepting, grace: float) -> None:
        """Requests that are on their way are taken for a moment; after its answer each connection is closed."""
        loop = asyncio.get_running_loop()
        end = loop.time() + grace
        self.draining = True
        await asyncio.sleep(min(_LINGER_SECONDS, grace))
        accepting.close()
        while (self.connections or accepting.pending) and loop.time() < end:
            for connection in tuple(self.connections):
                connection.close_if_idle()
            await asyncio.sleep(0.01)

    def answered(self, exchange: Exchange, status: int) -> None:
        """Counts an answer that is about to be sent."""
        self.application.answered(exchange, status)
        if len(self.connections) <= _WATCHED:
            self.polling.answered()

    def has_room(self, coming: int = 0) -> bool:
        """Whether one more connection may come; the one that was idle for longest makes room.

        coming: connections that are not counted yet.
        """
        at_work = len(self.connections) - min(self.leaving, MOST_TURNED_AWAY)
        if at_work + coming < self.limits.connections:
            return True
        if self.clock < self._full_until:
            return False
        spare, idle = self.limits.spare, [connection for connection in self.connections if connection.idle]
        for longest in sorted(idle, key=lambda connection: connection.since):
            if self.clock - longest.since < spare:
                self._full_until = longest.since + spare
                return False
            if not longest.unread:  # its next request would be lost
                self.connections.discard(longest)
                longest.abort()
                return True
        self._full_until = self.clock + spare
        return False


class _Accepting:
    """Takes connections as they come, many in one turn of the loop.

    The loop takes but one by itself: under load they would wait for seconds where they can be told at once to come
    again. That costs a few calls of the system: no transport is made for it, and nothing is parsed.
    pending: those that are here and have no `_Connection` yet.
    """

    def __init__(self, server: HttpServer, listening: socket) -> None:
        self._server, self._listening = server, listening
        self._loop = asyncio.get_running_loop()
        self.pending: set[asyncio.Task[object]] = set()
        self._coming: set[socket] = set()  # those that `HttpServer.connections` does not count yet
        self._turned_away: deque[tuple[float, socket]] = deque()
        self._refusal = _last_answer(
            503, server.application.refused(503, "too many connections; try again in a moment")
        )
        listening.setblocking(False)
        self._loop.add_reader(listening.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                connection, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no more files may be open: the client waits until there is room
                logger.error("a connection could not be taken: %s", error)
                self._loop.remove_reader(self._listening.fileno())
                self._loop.call_later(_SWEEP_SECONDS, self._go_on)
                return
            if not self._server.has_room(len(self._coming)):
                self._turn_away(connection)
                continue
            self._coming.add(connection)
            made = self._loop.create_task(self._connected(connection))
            self.pending.add(made)
            made.add_done_callback(self.pending.discard)

    def _turn_away(self, connection: socket) -> None:
        """Says why, and closes when the client has had time to read it: closed at once, it would be lost on the way."""
        self._server.turned_away += 1
        connection.setblocking(False)
        with suppress(OSError):  # it has left already
            connection.send(self._refusal)
            connection.shutdown(SHUT_WR)
        self._turned_away.append((self._server.clock, connection))
        if len(self._turned_away) > MOST_TURNED_AWAY:
            _close_read(self._turned_away.popleft()[1])

    def sweep(self, clock: float) -> None:
        """Lets go of those that have had time to read why they were turned away."""
        while self._turned_away and clock - self._turned_away[0][0] > _LEAVING_SECONDS:
            _close_read(self._turned_away.popleft()[1])

    async def _connected(self, connection: socket) -> None:
        made = partial(self._coming.discard, connection)
        try:
            await self._loop.connect_accepted_socket(lambda: _Connection(self._server, made), connection)
        except OSError:  # it has left already
            made()
            connection.close()

    def _go_on(self) -> None:
        if self._listening.fileno() >= 0:
            self._loop.add_reader(self._listening.fileno(), self._accept)

    def close(self) -> None:
        """Takes no more."""
        if self._listening.fileno() >= 0:
            self._loop.remove_reader(self._listening.fileno())
            self._listening.close()
        while self._turned_away:
            _close_read(self._turned_away.popleft()[1])


def _close_read(connection: socket) -> None:
    """Closes a connection; what it sent is read first, for else the client would lose what it was told."""
    with suppress(OSError):
        while connection.recv(_READ_AT_ONCE):
            pass
    connection.close()


class _Connection(asyncio.Protocol):
    """A client, request after request. since: when it last began to send, or was answered."""

    def __init__(self, server: HttpServer, made: Callable[[], None]) -> None:
        """made: told when the server counts this connection."""
        self._server, self._made = server, made
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._reading: Exchange | None = None
        self._active: Exchange | None = None
        self._waiting: deque[Exchange] = deque()
        self._head = 0
        self._leaving = self._stuck = False
        self._turned: Exchange | None = None  # that was refused in the bytes that are being read
        self._refused: _Refused | None = None
        self.since = server.clock
        self.peer = ""

    # --- what asyncio calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        address = transport.get_extra_info("peername")
        self.peer = str(address[0]) if address else ""
        self._server.connections.add(self)
        self._made()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self._server.leaving -= self._leaving
        self._leaving = True
        for exchange in (self._reading, self._active, *self._waiting):
            if exchange is not None and not exchange.answered:
                self._server.held -= exchange.size
                exchange.give_up()
        self._reading = None
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        self._server.polling.asked()
        if self._leaving:  # what a refused client still sends is read, so that it gets to read the refusal
            return
        idle = self.idle
        if idle and self._refused is not None and self._may_go_on and self._refused.again(data):
            self._refuse_again(self._refused)
            return
        try:
            self._parser.feed_data(data)
            if self._turned is not None:
                self._refused = _Refused.of(data, self._turned) if idle and self.idle else None
                self._turned = None
        except httptools.HttpParserUpgrade:  # nothing else is spoken here; the request itself is answered
            self._last()
        except httptools.HttpParserError as error:
            self.refuse(400, f"this is not HTTP/1.1: {error}")

    def eof_received(self) -> bool:
        """A client that has said everything still gets the answer that is under way."""
        if self._active is not None and not self._leaving:
            self._last()
            return True
        return False

    def pause_writing(self) -> None:
        self._stuck, self.since = True, self._server.clock

    def resume_writing(self) -> None:
        self._stuck = False
        self._next()

    # --- what the parser calls ---

    def on_message_begin(self) -> None:
        self._reading = Exchange(self)
        self._head = 0
        if self._active is None:
            self.since = self._server.clock

    def on_url(self, url: bytes) -> None:
        if (exchange := self._reading) is not None and self._counted(len(url), 414):
            exchange.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        exchange = self._reading
        if exchange is None or not self._counted(len(name) + len(value) + 4, 431):
            return
        name = name.lower()
        if name in exchange.headers and name in (b"host", b"authorization", b"content-type"):
            self.refuse(400, f"the header {name.decode()} came twice")
            return
        exchange.headers[name] = value
        if len(exchange.headers) > self._server.limits.headers:
            self.refuse(431, f"more than {self._server.limits.headers} headers")

    def on_headers_complete(self) -> None:
        exchange = self._reading
        if exchange is None or self._leaving:
            return
        version = self._parser.get_http_version()
        if version not in ("1.0", "1.1"):
            self.refuse(400, f"this is HTTP/{version}, expected HTTP/1.1")
            return
        path, _, exchange.query = exchange.url.partition(b"?")
        exchange.path = path.decode("latin-1")
        exchange.method = self._parser.get_method().decode("latin-1")
        exchange.keep = self._parser.should_keep_alive() and version == "1.1"
        if int(exchange.headers.get(b"content-length", b"0")) > self._server.limits.body:
            self._too_large()
            return
        exchange.refusal = self._server.application.admit(exchange)
        expects = exchange.headers.get(b"expect", b"").lower() == b"100-continue"
        if expects and exchange.refusal is None and self._active is None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, part: bytes) -> None:
        exchange, server = self._reading, self._server
        if exchange is None or self._leaving or exchange.refusal is not None:
            return
        exchange.size += len(part)
        server.held += len(part)
        exchange.add(part)
        if exchange.size > server.limits.body:
            self._too_large()
        elif server.held > server.limits.bodies:
            server.turned_away += 1
            self.refuse(503, "too many large requests at once; try again in a moment")

    def on_message_complete(self) -> None:
        exchange = self._reading
        if exchange is None or self._leaving:
            return
        self._reading = None
        exchange.begun = time.perf_counter()
        if self._active is None and not self._stuck:
            self._start(exchange)
            return
        self._waiting.append(exchange)
        if len(self._waiting) >= _MOST_WAITING:
            self._transport.pause_reading()

    # --- answers ---

    def _start(self, exchange: Exchange) -> None:
        self._active = exchange
        if exchange.refusal is not None:
            self._turned = exchange
            exchange.reply(exchange.refusal.status, exchange.refusal.body, exchange.refusal.headers)
            return
        try:
            self._server.application.handle(exchange)
        except Exception:  # the others go on
            logger.exception("a request could not be answered")
            exchange.reply(500, self._server.application.refused(500, "a fault of the server, see its log"))

    def answer(self, exchange: Exchange, status: int, body: bytes, headers: bytes) -> None:
        """Writes an answer and goes on with the next request."""
        self._server.held -= exchange.size
        exchange.size = 0
        if self._active is not exchange or self._transport.is_closing():
            self._active = None if self._active is exchange else self._active
            return
        self._server.answered(exchange, status)
        # that was sent ahead, and is answered as well
        more = bool(self._waiting) or self._reading is not None
        keep = exchange.keep and (more or not self._server.draining)
        said = b"" if exchange.method == "HEAD" else body
        self._transport.write(_answer(status, headers, len(body), said, keep=keep))
        self._active, self.since = None, self._server.clock
        if not keep:
            self._leave()
        elif self._waiting:
            self._next()

    def _refuse_again(self, refused: _Refused) -> None:
        """Answers as before, at half the cost: what is told while the server is busy has to be cheap."""
        refused.exchange.begun = time.perf_counter()
        self.since = self._server.clock
        self._server.answered(refused.exchange, refused.refusal.status)
        self._transport.write(refused.answer)

    def _next(self) -> None:
        if self._waiting and self._active is None and not self._stuck and not self._leaving:
            exchange = self._waiting.popleft()
            if not self._waiting:
                self._transport.resume_reading()
            self._start(exchange)

    def refuse(self, status: int, reason: str) -> None:
        """Says what is wrong and closes; what the client still sends is read and thrown away for a moment."""
        if self._leaving:
            return
        if self._active is not None:  # its answer comes first, and is the last one
            self._last()
            return
        self._transport.write(_last_answer(status, self._server.application.refused(status, reason)))
        self._leave()

    def _last(self) -> None:
        """The requests that have come in whole are answered; nothing more is read."""
        if self._active is None:
            self._leave()
            return
        last = self._waiting[-1] if self._waiting else self._active
        last.keep = False
        self._transport.pause_reading()

    def _leave(self) -> None:
        if self._reading is not None:
            self._server.held -= self._reading.size
            self._reading = None
        self._server.leaving += not self._leaving
        self._leaving, self.since = True, self._server.clock
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()

    def _too_large(self) -> None:
        self.refuse(413, f"the body is larger than {self._server.limits.body // 2**20} MiB; send fewer rows")

    def _counted(self, size: int, status: int) -> bool:
        self._head += size
        if self._head > self._server.limits.head:
            self.refuse(
                status, f"address and headers are larger than {self._server.limits.head // 2**10} KiB"
            )
        return not self._leaving

    # --- time ---

    @property
    def idle(self) -> bool:
        """Whether no request is under way."""
        return self._active is None and self._reading is None and not self._leaving

    @property
    def _may_go_on(self) -> bool:
        """Whether an answer can be written now, and the connection stays open after it."""
        return not (self._stuck or self._server.draining or self._transport.is_closing())

    @property
    def unread(self) -> int:
        """Bytes that have come in and were not looked at yet."""
        waiting = array("i", [0])
        try:
            fcntl.ioctl(self._transport.get_extra_info("socket").fileno(), termios.FIONREAD, waiting)
        except OSError:  # it is closed already
            return 0
        return waiting[0]

    def sweep(self, clock: float, limits: Limits) -> None:
        """Lets go of a client that takes too long."""
        waited = clock - self.since
        if self._leaving:
            if waited > _LEAVING_SECONDS:
                self.abort()
        elif self._stuck:
            if waited > limits.writing:
                self.abort()
        elif self._active is None and self._reading is not None:
            if waited > limits.reading:
                self.refuse(408, f"the request took longer than {limits.reading:g} seconds to come in")
        elif self._active is None and waited > limits.idle:
            self._transport.close()

    def close_if_idle(self) -> None:
        """Ends a connection between two requests."""
        if self.idle:
            self._transport.close()

    def abort(self) -> None:
        """Ends a connection at once."""
        self._transport.abort()


def _answer(status: int, headers: bytes, size: int, body: bytes, *, keep: bool) -> bytes:
    """The bytes of an answer. size: of its body, which is not sent where nobody asked for it."""
    close = b"" if keep else b"connection: close\r\n"
    return b"%b%bcontent-length: %d\r\n%b\r\n%b" % (_STATUS[status], headers, size, close, body)


def _last_answer(status: int, body: bytes) -> bytes:
    """A refusal in JSON after which the connection is closed."""
    return _answer(status, JSON + (RETRY if status == 503 else b""), len(body), body, keep=False)


def header_lines(headers: Mapping[str, str]) -> bytes:
    """Headers as `reply` takes them, without anything that could end a line.

    >>> header_lines({"losswatch-version": "3"})
    b'losswatch-version: 3\\r\\n'
    """
    lines = (f"{name}: {value}" for name, value in headers.items())
    return b"".join("".join(line.splitlines()).encode("latin-1", "replace") + b"\r\n" for line in lines)
