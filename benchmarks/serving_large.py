"""Small requests while another client sends bodies at the limit: how long the small ones wait.

python -m benchmarks.serving_large [--quick] [--json FILE]

The large bodies come in turn as dataframe_split, as dataframe_records and as CSV.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import options
from benchmarks.clients import Connection, request
from benchmarks.malformed import ROW
from benchmarks.options import say
from benchmarks.result import Result, at_most, figure
from benchmarks.scoring_server import Settings, made_project, memory, started
from benchmarks.serving_switches import percentile

SECONDS, QUICK = 60.0, 6.0
ALONE = 0.25  # share of the time in which the small client is alone
LIMIT = 9_500_000  # bytes of a large body; a little less than the server takes
MOST_ROWS = 99_000
PAUSE = 0.002  # seconds between an answer and the next small request
BOUND = 25.0  # ms


@dataclass
class Waited:
    """Milliseconds of the small requests, alone and beside large ones, and what became of the large ones."""

    alone: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    large: list[float] = field(default_factory=list)
    failed: int = 0
    held: float = 0.0


def measure(quick: bool) -> list[Result]:
    """Every figure of this benchmark."""
    with tempfile.TemporaryDirectory(prefix="losswatch-") as folder:
        found = waited(Path(folder) / "project", QUICK if quick else SECONDS)
    return [
        at_most(0, "requests that failed", found.failed, ""),
        figure("large requests", len(found.large), ""),
        figure("small requests beside them", len(found.beside), ""),
        figure("p50 of a large one", percentile(found.large, 0.5), "ms"),
        figure("p50 of a small one, alone", percentile(found.alone, 0.5), "ms"),
        figure("p99 of a small one, alone", percentile(found.alone, 0.99), "ms"),
        figure("p50 of a small one, beside large ones", percentile(found.beside, 0.5), "ms"),
        at_most(
            BOUND,
            "p99 of a small one, beside large ones",
            percentile(found.beside, 0.99),
            "ms",
            decided=not quick,
        ),
        figure("longest of a small one, beside large ones", max(found.beside), "ms"),
        figure("memory of the server afterwards", found.held, "MB"),
    ]


def waited(folder: Path, seconds: float, *, plant: str = "", large: int = LIMIT) -> Waited:
    """Measures for so long. folder: is made; plant: a fault of `benchmarks.serving_faults`; large: bytes of a body."""
    made_project(folder)
    found = Waited()
    with started(folder, Settings(plant=plant)) as server:
        sending = threading.Event()
        process = _LargeClient(server.port, bodies(large), sending, found)
        _small(server.port, seconds * ALONE, found.alone, found)
        process.thread.start()
        _small(server.port, seconds * (1 - ALONE), found.beside, found)
        sending.set()
        process.thread.join()
        found.held = memory(server.process)
    return found


def bodies(size: int) -> list[bytes]:
    """Requests of about so many bytes, or of as many rows as a request may have."""
    row = list(ROW.values())
    records = min(size // (len(json.dumps(ROW)) + 2), MOST_ROWS)
    lists = min(size // (len(json.dumps(row)) + 2), MOST_ROWS)
    split: dict[str, Any] = {"columns": list(ROW), "data": [row] * lists}
    line = ",".join(map(str, row))
    table = "\n".join([",".join(ROW), *[line] * min(size // (len(line) + 1), MOST_ROWS)])
    return [
        request("/invocations", json.dumps({"dataframe_split": split}).encode()),
        request("/invocations", json.dumps({"dataframe_records": [ROW] * records}).encode()),
        request("/invocations", table.encode(), "text/csv"),
    ]


class _LargeClient:
    """Sends one large body after the other, in a thread that mostly waits for the server."""

    def __init__(self, port: int, sent: list[bytes], stop: threading.Event, found: Waited) -> None:
        self._port, self._sent, self._stop, self._found = port, sent, stop, found
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        connection, turn = Connection(self._port), 0
        while not self._stop.is_set():
            begun = time.perf_counter()
            connection.send(self._sent[turn % len(self._sent)])
            answer = connection.answer()
            self._found.large.append((time.perf_counter() - begun) * 1e3)
            if answer.status != 200:
                self._found.failed += 1
                say(f"a large request was answered {answer.status}: {answer.body[:200]!r}")
            turn += 1
        connection.close()


def _small(port: int, seconds: float, taken: list[float], found: Waited) -> None:
    sent = request("/invocations", json.dumps({"dataframe_records": [ROW]}).encode())
    connection, end = Connection(port), time.perf_counter() + seconds
    while (begun := time.perf_counter()) < end:
        connection.send(sent)
        found.failed += connection.answer().status != 200
        taken.append((time.perf_counter() - begun) * 1e3)
        time.sleep(PAUSE)
    connection.close()


if __name__ == "__main__":
    sys.exit(options.run("serving_large", measure))
