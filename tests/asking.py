"""A scoring server in a thread of the test, and a client that says exactly what it is told."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.clients import Answer
from pipelines.serving import ScoringServer


@dataclass(frozen=True)
class Said(Answer):
    """An answer, or what was wrong with the request."""

    @property
    def error(self) -> Any:
        return self.content["error"]


@contextmanager
def running(server: ScoringServer, *, grace: float = 5.0) -> Iterator[int]:
    """The port at which it answers inside the block; afterwards it has ended, as after SIGTERM."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        thread = threading.Thread(target=server.run, args=(listening,), kwargs={"grace": grace}, daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            server.stop()
            thread.join(60)
            assert not thread.is_alive()


def ask(
    port: int,
    path: str,
    content: Any = None,
    *,
    method: str = "",
    headers: Mapping[str, str] | None = None,
    kind: str = "application/json",
) -> Said:
    """One request on a connection of its own. content: sent as JSON, or as it is where it is bytes."""
    body = content if isinstance(content, bytes) or content is None else json.dumps(content).encode()
    sent = {**({"content-type": kind} if body is not None else {}), **(headers or {})}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method or ("GET" if body is None else "POST"), path, body, sent)
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Said(answer.status, found, answer.read())
    finally:
        connection.close()


def raw(port: int, sent: bytes, *, end: bool = False, seconds: float = 30.0) -> bytes:
    """Everything that comes back for these bytes until the server closes or nothing comes for a while."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        connection.sendall(sent)
        if end:
            connection.shutdown(socket.SHUT_WR)
        parts = []
        try:
            while part := connection.recv(65536):
                parts.append(part)
        except TimeoutError:
            pass
        except ConnectionResetError:
            pass
        return b"".join(parts)
