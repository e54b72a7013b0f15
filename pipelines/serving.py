"""The scoring server: MLflow's protocol, and every answer in the log before it is sent."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import importlib.metadata
import ipaddress
import logging
import os
import secrets
import socket
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import numpy as np
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipelines.champion import Champion, Served, Versions
from pipelines.errors import UserError
from pipelines.invocations import BadRequest, booleans_of, json_rows, read_invocation, read_json
from pipelines.log import Answer, Conflict, Log
from pipelines.moments import microseconds
from pipelines.project import Project

logger = logging.getLogger(__name__)

TOKEN = "LOSSWATCH_TOKEN"
_LARGEST_BODY = 10 * 2**20  # bytes; about 50,000 rows of 20 columns
_LONGEST_HEADER = 8000  # bytes; clients refuse lines of 64 KiB, proxies often of 8
_FLUSH_EVERY = 5.0  # seconds; a reader sees rows that wait as well, so nobody waits for this
_GRACE = 10  # seconds in which requests under way may end after SIGTERM
_LONGEST_LABEL = 1000  # characters


class Source(Protocol):
    """Where the version comes from that answers."""

    def current(self) -> Served | None: ...


def create_app(
    source: Source,
    log: Log,
    *,
    now: Callable[[], datetime],
    token: str | None = None,
    flush_every: float = _FLUSH_EVERY,
) -> Starlette:
    """The server as an application, which the caller runs.

    token: asked for by /invocations and /labels where it is set; without one only requests that name this
    machine itself as their host are answered. flush_every: seconds between two moves from SQLite to Delta.
    """
    server = _Server(source, log, now, token, flush_every)
    routes = [
        Route("/invocations", server.invocations, methods=["POST"]),
        Route("/labels", server.labels, methods=["POST"]),
        Route("/ping", server.ready),
        Route("/health", server.ready),
        Route("/readyz", server.ready),
        Route("/livez", server.alive),
        Route("/version", server.version),
    ]
    return Starlette(
        routes=routes,
        exception_handlers={BadRequest: _refused, Conflict: _conflicting, sqlite3.Error: _log_failed},
        lifespan=server.lifespan,
    )


class _Server:
    def __init__(
        self,
        source: Source,
        log: Log,
        now: Callable[[], datetime],
        token: str | None,
        flush_every: float,
    ) -> None:
        self._source, self._log, self._now = source, log, now
        self._token, self._flush_every = token, flush_every

    @contextlib.asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        flushing = asyncio.create_task(self._flush_for_ever())
        try:
            yield
        finally:
            flushing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await flushing
            await run_in_threadpool(self._flush)

    async def _flush_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._flush_every)
            await run_in_threadpool(self._flush)

    def _flush(self) -> None:
        try:
            self._log.flush()
        except Exception:  # the rows are safe in SQLite; the next flush moves them
            logger.exception("rows could not be moved into the tables of the log")

    async def invocations(self, request: Request) -> Response:
        """Scores the rows of a request; the answer is sent when its rows are committed."""
        self._authorise(request)
        body = await _body(request)
        content_type = request.headers.get("content-type", "")
        served = self._source.current()
        if served is None:
            raise BadRequest("", "no version is loaded yet; try again in a few seconds", status=503)
        answer = await run_in_threadpool(self._score, body, content_type, served, _caller(request))
        return _answered(answer)

    def _score(self, body: bytes, content_type: str, served: Served, caller: str) -> Answer:
        scorer = served.scorer
        booleans = booleans_of(scorer.bundle.golden.rows)
        asked = read_invocation(body, content_type, scorer.schema, booleans)
        now = self._now()
        moment = np.datetime64(microseconds(now), "us")
        return self._log.arrive(
            asked.ids or new_ids(now, asked.rows),
            np.full(asked.rows, moment) if asked.times is None else asked.times,
            asked.columns,
            scorer.predict(asked.columns),
            version=served.version,
            known_at=now,
            caller=caller,
        )

    async def labels(self, request: Request) -> Response:
        """Takes what turned out to be true of rows that were scored."""
        self._authorise(request)
        labels = _read_labels(await _body(request))
        ids, values = [id for id, _ in labels], [value for _, value in labels]
        await run_in_threadpool(self._log.arrive_labels, ids, values, known_at=self._now())
        return _json({"accepted": len(labels)})

    async def ready(self, _: Request) -> Response:
        served = self._source.current()
        headers = {} if served is None else {"losswatch-version": str(served.version)}
        return Response("\n", 503 if served is None else 200, headers, media_type="application/json")

    async def alive(self, _: Request) -> Response:
        return Response("\n", media_type="application/json")

    async def version(self, _: Request) -> Response:
        """The version of MLflow whose protocol is spoken, as MLflow's own server says it."""
        served = self._source.current()
        headers = {} if served is None else {"losswatch-version": str(served.version)}
        return Response(importlib.metadata.version("mlflow"), 200, headers, media_type="application/json")

    def _authorise(self, request: Request) -> None:
        if self._token is None:
            if not is_loopback(request.url.hostname or ""):  # a page in a browser may not reach in by a name
                raise BadRequest("Host", "only localhost is answered where no token is set", status=403)
            return
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            raise BadRequest("Authorization", "expected 'Bearer' and the token of this server", status=401)


def new_ids(now: datetime, rows: int) -> list[str]:
    """Ids that nobody else makes and that grow with time, so that rows are found quickly by them."""
    start = f"{microseconds(now):016x}-{secrets.token_hex(6)}"
    return [f"{start}-{row:05x}" for row in range(rows)]


async def _body(request: Request) -> bytes:
    """The body, counted while it comes in, whatever its header says of its length."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > _LARGEST_BODY:
            limit = _LARGEST_BODY // 2**20
            raise BadRequest("", f"the body is larger than {limit} MiB; send fewer rows", status=413)
        parts.append(part)
    return b"".join(parts)


def _read_labels(body: bytes) -> list[tuple[str, Any]]:
    labels = read_json(body).get("labels")
    if not isinstance(labels, list) or not labels:
        raise BadRequest("labels", 'expected a list such as [{"id": "...", "value": 1}]')
    return [_read_label(label, f"labels[{place}]") for place, label in enumerate(labels)]


def _read_label(label: Any, field: str) -> tuple[str, Any]:
    if not isinstance(label, dict) or set(label) != {"id", "value"}:
        raise BadRequest(field, "expected an object with id and value")
    if not isinstance(label["id"], str) or not label["id"]:
        raise BadRequest(f"{field}.id", "expected a text, as an answer of /invocations gives it")
    value = label["value"]
    if not isinstance(value, str | int | float) or len(str(value)) > _LONGEST_LABEL:
        raise BadRequest(f"{field}.value", "expected a number, a text, true or false")
    return label["id"], value


def _answered(answer: Answer) -> Response:
    """MLflow's answer; ids and versions in headers, or in the body where they are too long for one."""
    content: dict[str, Any] = {"predictions": json_rows(answer.predictions)}
    headers = {"losswatch-version": ",".join(map(str, dict.fromkeys(answer.versions)))}
    ids = ",".join(answer.ids)
    if len(ids) <= _LONGEST_HEADER and ids.isascii():
        headers["losswatch-ids"] = ids
    else:
        content["ids"] = answer.ids
    return _json(content, headers=headers)


def _json(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status, headers, media_type="application/json")


def _caller(request: Request) -> str:
    return request.client.host if request.client else ""


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, BadRequest)
    headers = {"retry-after": "3"} if error.status == 503 else {}
    return _json({"error": {"field": error.field, "reason": error.reason}}, error.status, headers)


async def _conflicting(_: Request, error: Exception) -> Response:
    return _json({"error": {"field": "ids", "reason": str(error)}}, 409)


async def _log_failed(_: Request, error: Exception) -> Response:
    logger.error("the log takes no rows: %s", error)
    reason = f"the log takes no rows now ({error}); without it nothing is answered"
    return _json({"error": {"field": "", "reason": reason}}, 503, {"retry-after": "3"})


# --- the process -------------------------------------------------------------------------------------


def serve(project: Project, *, environ: Mapping[str, str] = os.environ) -> None:
    """Serves the project's champion until SIGTERM or Ctrl-C; requests under way are answered first.

    `UserError` before anything starts: an open address without a token, a port in use, a second server.
    """
    host, port = project.config.serve.host, project.config.serve.port
    token = environ.get(TOKEN) or None
    _check_address(host, token)
    listening = _listen(host, port)
    log = Log(Path(project.log(environ)))
    with contextlib.closing(listening), contextlib.closing(log):
        log.open_for_arriving()
        champion = Champion(lambda: _registry(project, environ), project.state / "serving.json")
        champion.start()
        try:
            app = create_app(champion, log, now=project.now, token=token)
            config = uvicorn.Config(
                app, log_level="warning", access_log=False, timeout_graceful_shutdown=_GRACE
            )
            _Process(config).run(sockets=[listening])
        finally:
            champion.stop()


class _Process(uvicorn.Server):
    """Ends with exit code 0 on SIGTERM, which uvicorn itself would raise once more when all is done."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit  # the second one does not wait for requests under way
        self.should_exit = True


def _registry(project: Project, environ: Mapping[str, str]) -> Versions:
    from pipelines.registry import (
        Registry,
    )  # MLflow takes three seconds to import; answers do not wait for it

    return Registry(project.tracking(environ), project.artifacts(environ), project.name, cache=project.state)


def _check_address(host: str, token: str | None) -> None:
    if token is None and not is_loopback(host):
        raise UserError(
            f"[serve] host = {host!r}: anybody who reaches this address could send rows. Set {TOKEN} to a "
            'long random text that clients send as "Authorization: Bearer ...", or host = "127.0.0.1"'
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
