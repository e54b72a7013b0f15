"""A scoring server ended with SIGTERM under load: what it had accepted is answered, and the log says the same.

python -m benchmarks.serving_stops [--quick] [--json FILE]

Eight clients ask at the moment of each SIGTERM: single rows, a thousand rows, requests sent ahead, one that trickles
in, labels, and one that opens a connection for each request. A request that was begun before the signal must be
answered; one that is sent later may find the server gone, but then the log must not hold its rows.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import options
from benchmarks.clients import Answer, Connection, readable, request
from benchmarks.options import say
from benchmarks.result import Result, at_most, figure
from benchmarks.scoring_server import Running, Settings, log_of, made_project, started

STOPS, QUICK = 200, 8
LONGEST = 0.5  # seconds under load before a signal
END_SECONDS = 30.0  # after a signal, in which the server must have ended
PIECES = 6  # of a request that trickles in
PIECE_SECONDS = 0.05
AHEAD = 6  # requests that are sent at once
ROW = {"hour": 7, "carrier": "UA", "wind": 9.5, "holiday": True}


@dataclass
class Stops:
    """What is left after some SIGTERMs. unanswered: requests begun before a signal without an answer; refused: with
    another answer than 200; lost: rows or labels that were acknowledged and that the log lacks; twice: of the log;
    silent: rows and labels of the log whose request got no answer; unclean: servers that ended otherwise than they
    should; late: requests sent after a signal that found nobody.
    """

    stops: int = 0
    answered: int = 0
    unanswered: int = 0
    refused: int = 0
    lost: int = 0
    twice: int = 0
    silent: int = 0
    unclean: int = 0
    late: int = 0
    slowest: float = 0.0

    @property
    def faultless(self) -> bool:
        counts = (self.unanswered, self.refused, self.lost, self.twice, self.silent, self.unclean)
        return not any(counts)


def measure(quick: bool) -> list[Result]:
    """Every figure of this benchmark."""
    with tempfile.TemporaryDirectory(prefix="losswatch-") as folder:
        found = stopped(Path(folder) / "project", QUICK if quick else STOPS)
    return [
        figure("SIGTERMs", found.stops, ""),
        figure("requests answered", found.answered, ""),
        at_most(0, "accepted requests without an answer", found.unanswered, ""),
        at_most(0, "accepted requests refused", found.refused, ""),
        at_most(0, "acknowledged rows and labels lost", found.lost, ""),
        at_most(0, "rows and labels twice", found.twice, ""),
        at_most(0, "rows and labels kept without an answer", found.silent, ""),
        at_most(0, "servers that did not end as they should", found.unclean, ""),
        figure("requests after a signal that found nobody", found.late, ""),
        figure("longest end", found.slowest, "s"),
    ]


def stopped(folder: Path, stops: int, *, plant: str = "", seed: int = 0) -> Stops:
    """Ends servers on one log under load. folder: is made; plant: a fault of `benchmarks.serving_faults`."""
    made_project(folder)
    rng, found, told = random.Random(seed), Stops(), Told()
    for number in range(stops):
        with started(folder, Settings(plant=plant)) as server:
            _one(server, rng.uniform(0.02, LONGEST), found, told)
        if number % 20 == 19:
            say(f"{number + 1} SIGTERMs, {found.answered:,} requests answered")
    _compare_log(log_of(folder), found, told)
    return found


@dataclass
class Told:
    """Names of rows and labels: those that were acknowledged, and those whose requests found nobody."""

    number: int = 0
    acknowledged: set[str] = field(default_factory=set)

    def names(self, count: int) -> list[str]:
        """Names that no other request has."""
        self.number += 1
        return [f"row-{self.number}-{place}" for place in range(count)]


def _one(server: Running, seconds: float, found: Stops, told: Told) -> None:
    kinds = [(_rows(1), 1)] * 3 + [
        (_rows(1000), 1),
        (_rows(1), AHEAD),
        (_rows(3), 1),
        (_labels, 1),
        (_rows(2), 1),
    ]
    clients = [_Client(server.port, make, ahead, told) for make, ahead in kinds]
    clients[5].pieces = PIECES
    clients[7].new_each_time = True
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        _turn(clients, found, signalled=False)
    os.kill(server.process.pid, signal.SIGTERM)
    begun = time.monotonic()
    while any(not client.done for client in clients) and time.monotonic() < begun + END_SECONDS:
        _turn(clients, found, signalled=True)
    found.stops += 1
    for client in clients:
        client.close()
        found.unanswered += sum(early for _, early in client.open)
        found.late += sum(not early for _, early in client.open)
    try:
        found.unclean += server.process.wait(END_SECONDS) != 0
    except subprocess.TimeoutExpired:
        found.unclean += 1
    found.slowest = max(found.slowest, time.monotonic() - begun)


Make = Callable[[list[str]], bytes]


def _rows(count: int) -> Make:
    def make(names: list[str]) -> bytes:
        body: dict[str, Any] = {"dataframe_records": [ROW] * len(names), "ids": names}
        return request("/invocations", json.dumps(body).encode())

    make.count = count  # type: ignore[attr-defined]
    return make


def _labels(names: list[str]) -> bytes:
    labels = [{"id": name, "value": "late"} for name in names]
    return request("/labels", json.dumps({"labels": labels}).encode())


class _Client:
    """Asks until the server says that it ends. open: names of the requests without an answer, and whether each was
    begun before the signal.
    """

    def __init__(self, port: int, make: Make, ahead: int, told: Told) -> None:
        self._port, self._make, self._ahead, self._told = port, make, ahead, told
        self.connection = Connection(port)
        self.open: deque[tuple[list[str], bool]] = deque()
        self.pieces = 1
        self.new_each_time = self.done = False
        self._parts: deque[bytes] = deque()
        self._due = 0.0

    def go_on(self, signalled: bool) -> None:
        """Sends what is to be sent now."""
        if self.done:
            return
        try:
            if not self.open:
                self._begin(signalled)
            if self._parts and time.monotonic() >= self._due:
                self._due = time.monotonic() + PIECE_SECONDS
                self.connection.send(self._parts.popleft())
        except OSError:
            self.done = True

    def _begin(self, signalled: bool) -> None:
        if self.new_each_time:
            self.connection.close()
            self.connection = Connection(self._port)
        sent = b""
        for _ in range(self._ahead):
            names = self._told.names(getattr(self._make, "count", 1))
            self.open.append((names, not signalled))
            sent += self._make(names)
        size = -(-len(sent) // self.pieces)
        self._parts.extend(sent[start : start + size] for start in range(0, len(sent), size))

    def take(self, found: Stops) -> None:
        """Reads answers; each is to the oldest request."""
        try:
            answers = self.connection.take()
        except OSError:
            self.done = True
            return
        for answer in answers:
            self._note(answer, found)

    def _note(self, answer: Answer, found: Stops) -> None:
        names, early = self.open.popleft()
        if answer.status == 200:
            found.answered += 1
            self._told.acknowledged.update(names)
        elif early:
            found.refused += 1
        if answer.headers.get("connection") == "close" and not self.new_each_time:
            self.done = True

    def close(self) -> None:
        self.connection.close()


def _turn(clients: list[_Client], found: Stops, *, signalled: bool) -> None:
    for client in clients:
        client.go_on(signalled)
    by_connection = {client.connection: client for client in clients if not client.done}
    for connection in readable(by_connection, 0.005):
        by_connection[connection].take(found)


READ = """
import json, sys
from pathlib import Path
from pipelines.delta import dataset_of
from pipelines.log import Log
folder = Path(sys.argv[1])
Log(folder).flush()
found = []
for table in ("predictions", "labels"):
    if (folder / table).is_dir():
        found += dataset_of(folder / table).to_table(columns=["id"])["id"].to_pylist()
json.dump(found, sys.stdout)
"""


def _compare_log(folder: Path, found: Stops, told: Told) -> None:
    done = subprocess.run([sys.executable, "-c", READ, str(folder)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the log cannot be read: {done.stderr[-800:]}")
    names: list[str] = json.loads(done.stdout)
    there = set(names)
    found.twice = len(names) - len(there)
    found.lost = len(told.acknowledged - there)
    found.silent = len(there - told.acknowledged)


if __name__ == "__main__":
    sys.exit(options.run("serving_stops", measure))
