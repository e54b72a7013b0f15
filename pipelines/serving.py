"""The scoring server: MLflow's protocol, and every answer in the log before it is sent."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.metadata
import ipaddress
import logging
import os
import resource
import signal
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import uvloop

from pipelines import heartbeat
from pipelines.alias import DistantRegistry
from pipelines.answering import FAULT, Answering, Source, Store, error_body, refusal_body, why_refused
from pipelines.champion import Champion, Versions
from pipelines.errors import UserError
from pipelines.http_server import JSON, MOST_TURNED_AWAY, RETRY, Exchange, HttpServer, Limits, Refusal
from pipelines.invocations import BadRequest
from pipelines.label_request import read_labels
from pipelines.moments import microseconds
from pipelines.moving import MovingLog
from pipelines.project import Project
from pipelines.serving_figures import Figures
from pipelines.tokens import FILE, VARIABLE, Role, Tokens, of_environment
from pipelines.watchdog import Watchdog

logger = logging.getLogger(__name__)

_FLUSH_EVERY = 30.0  # seconds; a reader sees rows that wait as well, and each move costs a second of CPU
_GRACE = 10.0  # seconds in which requests under way may end after SIGTERM
_SWITCH_SECONDS = 0.0005  # after which a thread in the background lets the event loop go on; 5 ms by default
# objects, after which Python searches for garbage: those of one turn are fewer, and die without; 700 cost a tenth
_SEARCHED_AFTER = 20_000
_FEW = 2  # connections that are answered one by one: waiting a turn for more to come would cost more than it saves
_MOST_HOSTS = 100  # names of this machine that are remembered
_PAGE_HEADERS = (
    b"content-type: text/html; charset=utf-8\r\ncontent-security-policy: default-src 'none'; style-src 'unsafe-inline'"
    b"\r\nx-content-type-options: nosniff\r\n"
)
_FIGURES_HEADERS = b"content-type: text/plain; version=0.0.4; charset=utf-8\r\n"


@dataclass(frozen=True)
class Route:
    """What answers at a path. role: whose token opens it, None for any; open: asked by whoever may reach us.

    busy: what a request is told that cannot be answered soon, None while it can.
    """

    method: str
    answer: Callable[[Exchange], None]
    role: Role | None = None
    open: bool = False
    busy: Callable[[], Refusal | None] = lambda: None


class ScoringServer:
    """Answers requests with whatever version its source gives, until it is stopped."""

    def __init__(
        self,
        source: Source,
        log: Store,
        *,
        folder: Path,
        now: Callable[[], datetime],
        tokens: Tokens,
        limits: Limits | None = None,
        flush_every: float = _FLUSH_EVERY,
        unlogged: bool = False,
    ) -> None:
        """folder: where the log lies; flush_every: seconds between two moves from SQLite to the tables; unlogged:
        whether rows are answered that the log does not take.

        tokens: where there is none, only requests are answered that name this machine itself as their host.
        """
        self._source, self._log, self._now, self._folder = source, log, now, folder
        self._tokens, self._flush_every = tokens, flush_every
        self._figures = Figures()
        self._http = HttpServer(self, limits)
        self._answering = Answering(
            source,
            log,
            self._figures,
            now=now,
            folder=folder,
            alone=lambda: len(self._http.connections) <= _FEW,
            unlogged=unlogged,
        )
        self._labelling = ThreadPoolExecutor(1, thread_name_prefix="labels")
        self._hosts: set[bytes] = set()
        self._ended = threading.Event()
        self._stop: Callable[[], object] = self._ended.set
        self._routes = {
            "/invocations": Route("POST", self._answering.take, "client", busy=self._answering.busy),
            "/labels": Route("POST", self._labels, "labeller"),
            "/ping": Route("GET", self._ready, open=True),
            "/health": Route("GET", self._ready, open=True),
            "/readyz": Route("GET", self._ready, open=True),
            "/livez": Route("GET", self._alive, open=True),
            "/version": Route("GET", self._version),
            "/metrics": Route("GET", self._metrics, "viewer"),
            "/openapi.json": Route("GET", self._openapi),
            "/docs": Route("GET", self._docs),
        }

    # --- running ---

    def run(self, listening: socket.socket, *, grace: float = _GRACE, signals: bool = False) -> None:
        """Answers until `stop` is called; signals: whether SIGTERM and SIGINT do so, too."""
        flushing = threading.Thread(target=self._flush_for_ever, name="flush", daemon=True)
        flushing.start()
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._serve(listening, grace, signals))
        finally:
            self._ended.set()
            self._log.hurry()
            self._answering.close()
            self._labelling.shutdown()
            flushing.join()

    async def _serve(self, listening: socket.socket, grace: float, signals: bool) -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        self._stop = lambda: loop.call_soon_threadsafe(stop.set)
        if self._ended.is_set():
            return
        serving = asyncio.create_task(self._http.serve(listening, stop, grace=grace))

        def end() -> None:
            if stop.is_set():  # the second one does not wait for requests under way
                serving.cancel()
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT) if signals else ():
            loop.add_signal_handler(number, end)
        refreshing = asyncio.create_task(self._refresh_tokens())
        with contextlib.suppress(asyncio.CancelledError):
            await serving
        refreshing.cancel()

    def stop(self) -> None:
        """Ends `run` when what is under way is answered; from any thread."""
        self._ended.set()
        with contextlib.suppress(RuntimeError):  # it has ended already
            self._stop()

    async def _refresh_tokens(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            try:
                self._tokens.refresh()
            except UserError as error:
                logger.error("the tokens stay as they were: %s", error)

    def _flush_for_ever(self) -> None:
        took = 0.0  # where one took long, the next comes at once
        while not self._ended.wait(max(self._flush_every - took, 0.0)):
            begun = time.monotonic()
            self._flush()
            took = time.monotonic() - begun
        self._flush()

    def _flush(self) -> None:
        try:
            self._figures.moved += self._log.flush()
            self._figures.flushed_at = time.time()
        except Exception:  # the rows are safe in SQLite; the next flush moves them
            self._figures.failed_flushes += 1
            logger.exception("rows could not be moved into the tables of the log")

    # --- what the HTTP server asks ---

    def admit(self, exchange: Exchange) -> Refusal | None:
        """Who may ask for what, before a byte of the body is kept."""
        route = self._routes.get(exchange.path)
        if route is None:
            exchange.path = "other"
            return _refusal(404, "", "nothing is here; see /docs", "path")
        if exchange.method != route.method and (exchange.method, route.method) != ("HEAD", "GET"):
            allow = b"allow: GET, HEAD\r\n" if route.method == "GET" else b"allow: POST\r\n"
            refusal = _refusal(405, "", f"expected {route.method}", "method")
            return Refusal(405, refusal.body, refusal.headers + allow)
        if exchange.headers.get(b"content-encoding", b"identity") != b"identity":
            return _refusal(415, "Content-Encoding", "expected the body as it is, not compressed", "encoding")
        stranger = None if route.open else self._stranger(route, exchange)
        return stranger or route.busy()

    def _stranger(self, route: Route, exchange: Exchange) -> Refusal | None:
        headers = exchange.headers
        if not self._tokens:
            return self._from_elsewhere(headers)
        token = self._tokens.find(headers.get(b"authorization", b""), datetime.now(UTC))
        if token is None:
            refusal = _refusal(401, "Authorization", "expected 'Bearer' and a token of this server", "token")
            return Refusal(401, refusal.body, refusal.headers + b"www-authenticate: Bearer\r\n")
        if not token.allows(route.role):
            text = f"a token of the role {token.role} does not open this; expected {route.role} or operator"
            return _refusal(403, "Authorization", text, "role")
        if token.name:
            exchange.caller = token.name
        return None

    def _from_elsewhere(self, headers: Mapping[bytes, bytes]) -> Refusal | None:
        """Without tokens a page in a browser may not reach in, neither by a name of its own nor from its own place."""
        host = headers.get(b"host", b"")
        if host not in self._hosts:
            if not is_loopback(_hostname(host)):
                return _refusal(403, "Host", "only localhost is answered where no token is set", "host")
            if len(self._hosts) < _MOST_HOSTS:
                self._hosts.add(host)
        origin = headers.get(b"origin")
        if origin is not None and not is_loopback(_hostname(origin.partition(b"://")[2])):
            return _refusal(
                403, "Origin", "a page from elsewhere may not ask where no token is set", "origin"
            )
        return None

    def handle(self, exchange: Exchange) -> None:
        """Answers what was admitted."""
        try:
            self._routes[exchange.path].answer(exchange)
        except BadRequest as error:
            status = 422 if error.status == 400 and exchange.path != "/invocations" else error.status
            exchange.reply(
                status, refusal_body(error), JSON + b"retry-after: 3\r\n" if status == 503 else JSON
            )

    def refused(self, status: int, reason: str) -> bytes:
        """The body of an answer to a request that breaks a limit."""
        return error_body("", reason, rule="limit")

    def answered(self, exchange: Exchange, status: int) -> None:
        """Counts an answer."""
        self._figures.answered(exchange.path, status, time.perf_counter() - exchange.begun)

    # --- what is answered ---

    def _labels(self, exchange: Exchange) -> None:
        """Takes what turned out to be true of rows that were scored."""
        body, caller, loop = exchange.body, exchange.caller, asyncio.get_running_loop()

        def work() -> None:
            status, answer = self._labelled(body, caller)
            headers = JSON + RETRY if status == 503 else JSON
            loop.call_soon_threadsafe(exchange.reply, status, answer, headers)

        self._labelling.submit(work)

    def _labelled(self, body: bytes, caller: str) -> tuple[int, bytes]:
        try:
            labels = read_labels(body, known_at=microseconds(self._now()), caller=caller)
            self._log.take_labels(labels)
            self._figures.labels += len(labels)
            return 200, orjson.dumps({"accepted": len(labels)})
        except BadRequest as error:
            return 422 if error.status == 400 else error.status, refusal_body(error)
        except sqlite3.Error as error:
            reason = why_refused(error, self._folder, ())
            logger.error("the log takes no labels: %s", reason)
            return 503, error_body("", reason, rule="log")
        except Exception:
            logger.exception("labels could not be taken")
            return 500, FAULT

    def _ready(self, exchange: Exchange) -> None:
        served = self._source.current()
        ready = served is not None and not self._http.draining
        exchange.reply(200 if ready else 503, b"\n", self._version_header() + (b"" if ready else RETRY))

    def _alive(self, exchange: Exchange) -> None:
        exchange.reply(200, b"\n")

    def _version(self, exchange: Exchange) -> None:
        """The version of MLflow whose protocol is spoken, as MLflow's own server says it."""
        exchange.reply(200, importlib.metadata.version("mlflow").encode(), self._version_header())

    def _version_header(self) -> bytes:
        served = self._source.current()
        return JSON + (b"losswatch-version: %d\r\n" % served.version if served else b"")

    def _metrics(self, exchange: Exchange) -> None:
        served, http = self._source.current(), self._http
        gauges = {
            "connections": ("connections that are open", float(len(http.connections))),
            "waiting_requests": ("requests that are read and not answered", float(self._answering.waiting)),
            "held_bytes": ("bytes of the bodies that are held", float(http.held)),
            "turned_away": ("connections and bodies for which there was no room", float(http.turned_away)),
            "last_flush_seconds": ("when rows were last moved into the tables", self._figures.flushed_at),
            **heartbeat.gauges(self._folder),
        }
        text = self._figures.text(gauges, served.version if served else None)
        exchange.reply(200, text.encode(), _FIGURES_HEADERS)

    def _description(self) -> dict[str, Any]:
        from pipelines.api_page import openapi

        served = self._source.current()
        if served is None:
            return openapi(None, None, frozenset())
        return openapi(served.scorer.schema, served.version, served.form.booleans)

    def _openapi(self, exchange: Exchange) -> None:
        exchange.reply(200, orjson.dumps(self._description()))

    def _docs(self, exchange: Exchange) -> None:
        from pipelines.api_page import docs_page

        served = self._source.current()
        rows = served.scorer.bundle.golden.rows if served else ()
        names = served.scorer.schema.column_names if served else ()
        example = {name: rows[0].get(name) for name in names} if rows else {}
        exchange.reply(200, docs_page(self._description(), example).encode(), _PAGE_HEADERS)


def _refusal(status: int, field: str, reason: str, rule: str) -> Refusal:
    return Refusal(status, error_body(field, reason, rule=rule))


def _hostname(host: bytes) -> str:
    """A header's host without its port.

    >>> _hostname(b"localhost:8000"), _hostname(b"[::1]:8000"), _hostname(b"127.0.0.1"), _hostname(b"[::1")
    ('localhost', '::1', '127.0.0.1', '')
    """
    text = host.decode("latin-1").partition("/")[0]
    if text.startswith("["):
        inside, closed, _ = text[1:].partition("]")
        return inside if closed else ""
    return text.partition(":")[0]


# --- the process -------------------------------------------------------------------------------------


def serve(project: Project, *, environ: Mapping[str, str] = os.environ) -> None:
    """Serves the project's champion until SIGTERM or Ctrl-C; requests under way are answered first.

    `UserError` before anything starts: an open address without a token, a port in use, a second server.
    """
    host, port = project.config.serve.host, project.config.serve.port
    tokens = Tokens(project.state / FILE, of_environment(environ.get(VARIABLE)))
    _check_address(host, tokens)
    listening = _listen(host, port)
    folder = project.log_folder(environ)
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.closing(listening))
        moving = MovingLog(folder, project.config.log, address=project.log_address(environ))
        log = stack.enter_context(contextlib.closing(moving))
        remembered, key = project.state / "serving.json", project.config.data.key
        champion = Champion(lambda: _registry(project, environ), remembered, key=key)
        champion.start()
        watchdog = Watchdog(project.folder, folder, project.config.schedule.monitor, now=project.now)
        watchdog.start()
        try:
            server = ScoringServer(
                champion,
                log,
                folder=folder,
                now=project.now,
                tokens=tokens,
                unlogged=project.config.serve.unlogged,
            )
            prepare_process()
            server.run(listening, signals=True)
        finally:
            watchdog.stop()
            champion.stop()


def prepare_process() -> None:
    """Many connections, short turns of the threads in the background, and no search for garbage in what stays."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = Limits().connections + 2 * MOST_TURNED_AWAY + 200
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(_SEARCHED_AFTER)


def _registry(project: Project, environ: Mapping[str, str]) -> Versions:
    return DistantRegistry(project, environ)


def _check_address(host: str, tokens: Tokens) -> None:
    if not tokens and not is_loopback(host):
        raise UserError(
            f"[serve] host = {host!r}: anybody who reaches this address could send rows. Set {VARIABLE} to a "
            'long random text that clients send as "Authorization: Bearer ...", make a token with losswatch token, '
            'or set host = "127.0.0.1"'
        )


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own and nobody else's way in.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0"), is_loopback("example.org")
    (True, True, False, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens, so that a port in use is told before anything else is started."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host.strip("[]"), port), family=family, backlog=2048)
    except OSError as error:
        raise UserError(
            f"[serve] host = {host!r}, port = {port}: {error.strerror or error}. "
            "Set another port, or end the process that listens there"
        ) from error
