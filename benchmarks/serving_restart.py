"""A scoring server that starts on a long log, as a kill left it: how long until it is ready, and what is missing.

python -m benchmarks.serving_restart [--quick] [--json FILE]

The tables hold ten million rows, and requests wait in SQLite beside them, half of them with ids of the client's, as
they do when a server is killed before they were moved. The server is started and killed a few times, then started,
asked, and ended.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import options
from benchmarks.clients import ask, request
from benchmarks.malformed import ROW, written
from benchmarks.options import say
from benchmarks.result import Result, at_most, figure
from benchmarks.scoring_server import Settings, ended, log_of, made_project, memory, started

if TYPE_CHECKING:
    from pipelines.arrival import Arrival

ROWS, QUICK = 10_000_000, 200_000
WAITING, QUICK_WAITING = 400_000, 20_000  # rows in SQLite
PART = 250_000  # rows of a commit to the tables
REQUEST = 50  # rows of a request that waits
TOGETHER = 100  # requests of a commit to SQLite
TIMES = 3
READY = 5.0  # seconds
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass
class Restarts:
    """What was found. ready: seconds until the server said so, for each start; missing: rows that the tables and SQLite
    held before and that the tables lack afterwards, or have twice; failed: answers after a start that were none.
    """

    rows: int
    waiting: int
    ready: list[float] = field(default_factory=list)
    missing: int = 0
    failed: int = 0
    held: float = 0.0


def measure(quick: bool) -> list[Result]:
    """Every figure of this benchmark."""
    with tempfile.TemporaryDirectory(prefix="losswatch-") as folder:
        rows, waiting = (QUICK, QUICK_WAITING) if quick else (ROWS, WAITING)
        found = restarted(Path(folder) / "project", rows, waiting, times=TIMES)
    return [
        figure("rows in the tables", found.rows, ""),
        figure("rows that wait in SQLite", found.waiting, ""),
        at_most(READY, "longest start until ready", max(found.ready), "s"),
        figure("shortest start until ready", min(found.ready), "s"),
        at_most(0, "answers that failed after a start", found.failed, ""),
        at_most(0, "rows missing or twice afterwards", found.missing, ""),
        figure("memory when it is ready", found.held, "MB"),
    ]


def restarted(folder: Path, rows: int, waiting: int, *, times: int, plant: str = "") -> Restarts:
    """Starts a server on a log of so many rows. folder: is made; plant: a fault of `benchmarks.serving_faults`."""
    made_project(folder)
    fill_tables(log_of(folder), rows)
    fill_queue(log_of(folder), waiting)
    found = Restarts(rows, waiting)
    for turn in range(times):
        with started(folder, Settings(plant=plant)) as server:
            found.ready.append(server.seconds)
            found.held = memory(server.process)
            sent = request("/invocations", written({"dataframe_records": [ROW], "ids": [f"turn-{turn}"]}))
            found.failed += ask(server.port, sent).status != 200
            say(f"ready within {server.seconds:.2f} s")
            if turn == times - 1:
                ended(server)  # it moves a part of what waits
    found.missing = abs(rows + waiting + times - _rows(log_of(folder)))
    return found


def fill_tables(folder: Path, rows: int) -> None:
    """Adds rows to the tables of a log, a quarter of a million at once."""
    import numpy as np

    from pipelines.log import Log

    log = Log(folder)
    for start in range(0, rows, PART):
        count = min(PART, rows - start)
        places = np.arange(start, start + count)
        columns = {
            "hour": 5 + places % 4,
            "carrier": np.array(["UA", "DL", "B6"])[places % 3],
            "wind": places % 100 / 10,
            "holiday": places % 2 == 0,
        }
        times = np.datetime64(BEGIN.replace(tzinfo=None), "us") + places * np.timedelta64(1, "s")
        ids = [f"old-{place}" for place in places]
        known = BEGIN + timedelta(seconds=start + count)
        log.append_predictions(ids, times, columns, places % 7 / 7, version=1, known_at=known)
        if start // PART % 10 == 9:
            say(f"{start + count:,} rows in the tables")


def fill_queue(folder: Path, rows: int) -> None:
    """Adds rows that wait to be moved, and leaves them as a process that is killed does."""
    code = "import os, sys; from pathlib import Path; from benchmarks.serving_restart import _fill; "
    code += "_fill(Path(sys.argv[1]), int(sys.argv[2])); os._exit(9)"
    done = subprocess.run([sys.executable, "-c", code, str(folder), str(rows)])
    if done.returncode != 9:
        raise RuntimeError(f"the rows that wait could not be made: the process ended with {done.returncode}")


def _fill(folder: Path, rows: int) -> None:
    from pipelines.arriving import Arriving

    arriving = Arriving(folder)
    arrivals = list(_arrivals(rows))
    for start in range(0, len(arrivals), TOGETHER):
        arriving.add_together(arrivals[start : start + TOGETHER])


def _arrivals(rows: int) -> Iterator[Arrival]:
    from pipelines.arrival import Arrival
    from pipelines.moments import microseconds

    known = microseconds(BEGIN + timedelta(days=200))
    for start in range(0, rows, REQUEST):
        count = min(REQUEST, rows - start)
        columns = {name: [value] * count for name, value in sorted(ROW.items())}
        ids = [f"new-{place}" for place in range(start, start + count)]
        own = start // REQUEST % 2 == 0
        yield Arrival(ids, [known] * count, [[0.5]] * count, columns, known, 1, "127.0.0.1", own)


def _rows(folder: Path) -> int:
    """In the tables and waiting, as a reader finds them."""
    from pipelines.log import Log

    return Log(folder).count()


if __name__ == "__main__":
    sys.exit(options.run("serving_restart", measure))
