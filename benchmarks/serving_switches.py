"""The champion changed again and again under load: no answer fails, and none is of two versions.

python -m benchmarks.serving_switches [--quick] [--json FILE]

Versions alternate between two that learned their preparation on other rows and have other weights; every tenth must not
serve, because its golden answers differ or its network is torn. Each answer is compared with what the version that it
names gives for its rows, and so is the log afterwards.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import options
from benchmarks.clients import Answer, Connection, readable, request
from benchmarks.options import say
from benchmarks.result import Result, at_most, figure
from benchmarks.scoring_server import (
    SERVING,
    Kind,
    Running,
    Settings,
    ended,
    kind_of,
    log_of,
    made_project,
    memory,
    set_champion,
    started,
)

SWITCHES, QUICK = 1000, 60
CALM, QUICK_CALM = 10.0, 2.0  # seconds of load before and after, without a switch
CLIENTS = (1, 1, 5, 300)  # rows of their requests; 300 go through the thread of large ones
PAUSE = {1: 0.002, 5: 0.005, 300: 0.05}  # seconds between an answer and the next request
BROKEN_SECONDS = 0.15  # for which a version that must not serve is champion
SEEN_SECONDS = 30.0  # within which a version that is in order must answer
TOLERANCE = 1e-6


def frame(count: int = 16) -> list[dict[str, Any]]:
    """Rows that differ."""
    return [
        {
            "hour": 5 + place % 4,
            "carrier": ("UA", "DL", "B6")[place % 3],
            "wind": place / 2,
            "holiday": place > 7,
        }
        for place in range(count)
    ]


ROWS = frame()
Expected = Mapping[Kind, Sequence[float]]


@dataclass
class Switched:
    """What came back. told: by id, version and prediction; calm, changing: milliseconds of requests with one row.

    mixed: answers that the version that they name does not give; broken: by a version that must not serve; unseen:
    versions that were champion and never answered; wrong_rows: of the log, missing, twice or of another version.
    """

    switches: int = 0
    answers: int = 0
    failed: int = 0
    mixed: int = 0
    broken: int = 0
    unseen: int = 0
    wrong_rows: int = 0
    grown: float = 0.0
    calm: list[float] = field(default_factory=list)
    changing: list[float] = field(default_factory=list)
    told: dict[str, tuple[int, float]] = field(default_factory=dict)

    @property
    def faultless(self) -> bool:
        return not (self.failed or self.mixed or self.broken or self.unseen or self.wrong_rows)


def measure(quick: bool) -> list[Result]:
    """Every figure of this benchmark."""
    with tempfile.TemporaryDirectory(prefix="losswatch-") as folder:
        switches, calm = (QUICK, QUICK_CALM) if quick else (SWITCHES, CALM)
        found = switched(Path(folder) / "project", switches, calm=calm)
    before, during = percentile(found.calm, 0.99), percentile(found.changing, 0.99)
    return [
        figure("switches", found.switches, ""),
        figure("answers", found.answers, ""),
        at_most(0, "requests that failed", found.failed, ""),
        at_most(0, "answers of two versions", found.mixed, ""),
        at_most(0, "answers of a version that must not serve", found.broken, ""),
        at_most(0, "versions that never answered", found.unseen, ""),
        at_most(0, "rows that the log has otherwise", found.wrong_rows, ""),
        figure("p99 without switches", before, "ms"),
        figure("p99 with switches", during, "ms"),
        at_most(2, "p99 with switches, against without", during / before, "times", decided=not quick),
        figure("memory that the switches took", found.grown, "MB"),
    ]


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which a share of the values lies; nan of none.

    >>> percentile([4.0, 1.0, 2.0, 3.0], 0.5)
    3.0
    """
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else float("nan")


def switched(folder: Path, switches: int, *, calm: float, plant: str = "") -> Switched:
    """Changes the champion so many times. folder: is made; calm: seconds before and after; plant: a fault."""
    made_project(folder)
    expected, found = _expected(folder), Switched()
    with started(folder, Settings(flush_every=2.0, plant=plant)) as server:
        load = _Load(server, expected, found)
        load.run(calm / 2, found.calm)
        held = memory(server.process)
        for version in range(2, switches + 2):
            set_champion(folder, version)
            load.follow(version)
            if version % 100 == 1:
                say(f"{version - 1} switches, {found.answers:,} answers")
        found.grown = memory(server.process) - held
        load.run(calm / 2, found.calm)
        load.end()
        ended(server)
    _compare_log(log_of(folder), found)
    return found


def _expected(folder: Path) -> Expected:
    from pipelines.plain_columns import columns_of
    from pipelines.scoring import Scorer

    columns = columns_of(ROWS)
    return {
        kind: Scorer.load(folder / "versions" / kind).predict(columns)[:, 0].astype(float).tolist()
        for kind in SERVING
    }


@dataclass
class _Client:
    """Asks for some rows after the other. places: of the rows that are asked for now."""

    connection: Connection
    rows: int
    turn: int = 0
    places: list[int] = field(default_factory=list)
    sent: float = 0.0
    due: float = 0.0  # when it asks again; 0 while it waits for its answer

    def ask(self) -> None:
        self.turn += 1
        self.places = [(self.turn + place) % len(ROWS) for place in range(self.rows)]
        body = {"dataframe_records": [ROWS[place] for place in self.places]}
        sent = request("/invocations", json.dumps(body).encode())
        self.sent, self.due = time.perf_counter(), 0.0
        self.connection.send(sent)


class _Load:
    """Clients that ask all the time, and compare what they are told."""

    def __init__(self, server: Running, expected: Expected, found: Switched) -> None:
        self._expected, self._found = expected, found
        self._clients = [_Client(Connection(server.port), rows) for rows in CLIENTS]
        self._newest = 1
        for client in self._clients:
            client.ask()

    def run(self, seconds: float, taken: list[float]) -> None:
        """Asks for some time. taken: gets the milliseconds of requests with one row."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            self._turn(taken)

    def follow(self, version: int) -> None:
        """Asks until a version answers; for a moment where it must not."""
        self._found.switches += 1
        if kind_of(version) not in SERVING:
            self.run(BROKEN_SECONDS, self._found.changing)
            return
        end = time.perf_counter() + SEEN_SECONDS
        while self._newest != version and time.perf_counter() < end:
            self._turn(self._found.changing)
        self._found.unseen += self._newest != version

    def end(self) -> None:
        """Waits for the last answers."""
        for client in self._clients:
            if not client.due:
                self._take(client, client.connection.answer(), [])
            client.connection.close()

    def _turn(self, taken: list[float]) -> None:
        waiting = {client.connection: client for client in self._clients if not client.due}
        for connection in readable(waiting, 0.002):
            for answer in connection.take():
                self._take(waiting[connection], answer, taken)
        now = time.perf_counter()
        for client in self._clients:
            if 0 < client.due <= now:
                client.ask()

    def _take(self, client: _Client, answer: Answer, taken: list[float]) -> None:
        now, found = time.perf_counter(), self._found
        client.due = now + PAUSE[client.rows]
        if client.rows == 1:
            taken.append((now - client.sent) * 1e3)
        found.answers += 1
        if answer.status != 200:
            found.failed += 1
            return
        version, predictions = int(answer.headers["losswatch-version"]), answer.content["predictions"]
        self._newest = version
        kind = kind_of(version)
        if kind not in SERVING:
            found.broken += 1
            return
        expected = [self._expected[kind][place] for place in client.places]
        found.mixed += any(
            abs(one - other) > TOLERANCE for one, other in zip(predictions, expected, strict=True)
        )
        told = zip(answer.ids, predictions, strict=True)
        found.told.update({id: (version, prediction) for id, prediction in told})


READ = """
import sys
from pathlib import Path
from pipelines.delta import dataset_of
from pipelines.log import Log
folder = Path(sys.argv[1])
Log(folder).flush()
for batch in dataset_of(folder / "predictions").to_batches(columns=["id", "version", "prediction"]):
    for id, version, prediction in zip(*(column.to_pylist() for column in batch.columns)):
        print(id, version, repr(prediction[0]))
"""


def _compare_log(folder: Path, found: Switched) -> None:
    """Each row that was told is in the log once, with its version and prediction."""
    seen: set[str] = set()
    for id, version, prediction in _logged(folder):
        told = found.told.get(id)
        found.wrong_rows += id in seen or (told is not None and told != (version, prediction))
        seen.add(id)
    found.wrong_rows += len(found.told.keys() - seen)


def _logged(folder: Path) -> Iterator[tuple[str, int, float]]:
    command = [sys.executable, "-c", READ, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reading:
        assert reading.stdout is not None
        for line in reading.stdout:
            id, version, prediction = line.split()
            yield id, int(version), float(prediction)
    if reading.returncode:
        raise RuntimeError(f"the log cannot be read: the reader ended with {reading.returncode}")


if __name__ == "__main__":
    sys.exit(options.run("serving_switches", measure))
