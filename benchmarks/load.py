"""A client that costs little: prepared bytes on connections that stay open, in a process of its own.

python -m benchmarks.load PORT FILE SECONDS CLIENTS PATH      prints what it measured as JSON

One request in Python's own sockets takes 10 to 20 microseconds of CPU; `cpu` in the answer says how much it was.
"""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Load:
    """What came back. p50, p99: milliseconds a request; cpu: microseconds of the client for one."""

    requests: int
    seconds: float
    p50: float
    p99: float
    cpu: float

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


def measured(port: int, file: Path, seconds: float, clients: int, path: str = "/invocations") -> Load:
    """Asks with the body in a file, from another process."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.load",
        str(port),
        str(file),
        str(seconds),
        str(clients),
        path,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the client of port {port} ended with {done.returncode}: {done.stderr[-800:]}")
    return Load(**json.loads(done.stdout))


def request(path: str, body: bytes, content_type: str = "application/json") -> bytes:
    """The bytes of a request."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def connected(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def length_of_answer(connection: socket.socket, sent: bytes) -> int:
    """How long the answer to these bytes is, which is the same every time; raises where it is no 200."""
    connection.sendall(sent)
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += _more(connection)
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(answer.decode("utf-8", "replace")[:500])
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    length = int(lengths[0].partition(b":")[2])
    while len(body) < length:
        body += _more(connection)
    return len(head) + 4 + length


def _more(connection: socket.socket) -> bytes:
    part = connection.recv(1 << 18)
    if not part:
        raise RuntimeError("the server closed the connection")
    return part


def one_client(port: int, sent: bytes, seconds: float) -> list[float]:
    """Request after request; returns the seconds of each."""
    connection = connected(port)
    length = length_of_answer(connection, sent)
    clock, taken = time.perf_counter, []
    end = clock() + seconds
    while (begun := clock()) < end:
        connection.sendall(sent)
        left = length
        while left > 0:
            left -= len(_more(connection))
        taken.append(clock() - begun)
    return taken


def many_clients(port: int, sent: bytes, seconds: float, clients: int) -> list[float]:
    """Clients that each wait for their answer before they ask again."""
    connections = {one.fileno(): one for one in (connected(port) for _ in range(clients))}
    length = length_of_answer(next(iter(connections.values())), sent)
    poll = select.epoll()
    clock, taken = time.perf_counter, []
    left = dict.fromkeys(connections, length)
    begun = {}
    for number, connection in connections.items():
        poll.register(number, select.EPOLLIN)
        begun[number] = clock()
        connection.sendall(sent)
    end = clock() + seconds
    while (now := clock()) < end:
        for number, _ in poll.poll(1.0):
            left[number] -= len(_more(connections[number]))
            if left[number] <= 0:
                now = clock()
                taken.append(now - begun[number])
                left[number], begun[number] = length, now
                connections[number].sendall(sent)
    return taken


def main(arguments: Sequence[str]) -> None:
    port, seconds, clients, path = int(arguments[0]), float(arguments[2]), int(arguments[3]), arguments[4]
    sent = request(path, Path(arguments[1]).read_bytes())
    before, begun = time.process_time(), time.perf_counter()
    taken = one_client(port, sent, seconds) if clients == 1 else many_clients(port, sent, seconds, clients)
    elapsed, cpu = time.perf_counter() - begun, time.process_time() - before
    ordered = sorted(taken) or [float("nan")]
    found = Load(
        len(taken),
        elapsed,
        ordered[len(ordered) // 2] * 1e3,
        ordered[int(len(ordered) * 0.99)] * 1e3,
        cpu / max(len(taken), 1) * 1e6,
    )
    print(json.dumps(asdict(found)))


if __name__ == "__main__":
    main(sys.argv[1:])
