"""Connections that say exactly what they are told and read answers one by one."""

from __future__ import annotations

import json
import select
import socket
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.load import request

__all__ = ["Answer", "Closed", "Connection", "ask", "get", "readable", "request"]


@dataclass(frozen=True)
class Answer:
    """headers: by name in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def content(self) -> Any:
        return json.loads(self.body)

    @property
    def ids(self) -> list[str]:
        """Of the rows that were scored, wherever they stand."""
        named = self.headers.get("losswatch-ids")
        return named.split(",") if named is not None else list(self.content["ids"])


class Closed(ConnectionError):
    """The server ended the connection."""


class Connection:
    """A client of one server; requests may be sent ahead."""

    def __init__(self, port: int, *, timeout: float = 60.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = b""
        self._bodies, self._needed = True, 0
        self._found: deque[Answer] = deque()

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def take(self) -> list[Answer]:
        """Reads what there is, and returns the answers that are whole; `Closed` where nothing comes any more."""
        part = self.socket.recv(1 << 18)
        if not part:
            raise Closed(f"the server closed the connection after {self._read[:200]!r}")
        self._read += part
        return list(self._whole())

    def answer(self, *, head: bool = False) -> Answer:
        """Waits for the next answer. head: whether it is to a HEAD, so that no body follows."""
        self._bodies = not head
        while not self._found:
            self._found.extend(self.take())
        return self._found.popleft()

    def close(self) -> None:
        self.socket.close()

    def _whole(self) -> Iterator[Answer]:
        while len(self._read) >= self._needed:
            head, found, rest = self._read.partition(b"\r\n\r\n")
            if not found:
                return
            status, headers = _head(head)
            length = int(headers.get("content-length", "0")) if self._bodies else 0
            if len(rest) < length:
                self._needed = len(head) + 4 + length
                return
            self._read, self._needed = rest[length:], 0
            if status >= 200:  # 100 is no answer yet
                yield Answer(status, headers, rest[:length])


def _head(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    version, status, *_ = first.split(" ")
    if version != "HTTP/1.1":
        raise ValueError(f"no answer in HTTP/1.1: {first!r}")
    pairs = (line.partition(":") for line in lines)
    return int(status), {name.strip().lower(): value.strip() for name, _, value in pairs}


def readable(connections: Iterable[Connection], seconds: float) -> list[Connection]:
    """Those for which something has come, waiting for it at most so long."""
    by_number = {one.fileno(): one for one in connections if one.fileno() >= 0}
    if not by_number:
        time.sleep(seconds)
        return []
    poll = select.poll()
    for number in by_number:
        poll.register(number, select.POLLIN)
    return [by_number[number] for number, _ in poll.poll(max(seconds, 0.0) * 1e3)]


def ask(port: int, sent: bytes) -> Answer:
    """One request on a connection of its own."""
    connection = Connection(port)
    try:
        connection.send(sent)
        return connection.answer()
    finally:
        connection.close()


def get(path: str) -> bytes:
    """The bytes of a request without a body."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
