"""The log: what a commit costs with and without an fsync, a window of a million rows, rows that go, and a start.

python -m benchmarks.log [--quick] [--json FILE]

What is compared takes turns in one run. What is told of memory is the peak of a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import options
from benchmarks.cpu import Cost, cost_of
from benchmarks.options import say
from benchmarks.result import Result, at_most, figure

if TYPE_CHECKING:
    from monitoring.bins import ColumnBins
    from monitoring.profile import Profile
    from pipelines.arrival import Arrival
    from pipelines.log import Log

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
ROWS, QUICK_ROWS = 1_000_000, 60_000
WAITING, QUICK_WAITING = 10_000_000, 20_000
COMMITS, QUICK_COMMITS = 2_000, 200
ROUNDS = 3
COLUMNS = 20
PIECE = 50_000  # rows that are made and appended at once
SAMPLE = 500  # rows by which bins are made
TOGETHER = 1000  # rows of a request

WINDOW = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from benchmarks.log import bins, profile_at_once, profile_in_parts
from pipelines.log import Log
print((profile_in_parts if sys.argv[2] == "parts" else profile_at_once)(Log(Path(sys.argv[1])), bins()).rows)
"""
READY = """
import sys, time
from pathlib import Path
began = time.perf_counter()
from pipelines.moving import MovingLog
log = MovingLog(Path(sys.argv[1]))
print(time.perf_counter() - began)
log.close()
"""


def columns_of(rows: int, seed: int) -> dict[str, Any]:
    """15 numbers, 2 counts and 3 of text."""
    rng = np.random.default_rng(seed)
    found: dict[str, Any] = {f"number {place}": rng.normal(size=rows) for place in range(COLUMNS - 5)}
    found |= {f"count {place}": rng.poisson(3, rows) for place in range(2)}
    levels = np.array([f"level {place}" for place in range(10)], dtype=object)
    return found | {f"text {place}": levels[rng.integers(0, 10, rows)] for place in range(3)}


def measure(quick: bool) -> list[Result]:
    """Every figure of this benchmark."""
    rows = QUICK_ROWS if quick else ROWS
    with tempfile.TemporaryDirectory(prefix="losswatch-") as folder:
        place = Path(folder)
        return [
            *_durability(place / "durability", QUICK_COMMITS if quick else COMMITS),
            *_window(place / "window", rows, decided=not quick),
            *_removal(place / "window", rows),
            *_restart(place / "restart", QUICK_WAITING if quick else WAITING, decided=not quick),
        ]


# --- a commit ------------------------------------------------------------------------------------------


def _durability(folder: Path, commits: int) -> list[Result]:
    """One row a commit, and 64 rows a commit, with and without an fsync for each."""
    from pipelines.arriving import Arriving

    found: list[Result] = []
    for rows in (1, 64):
        times: dict[str, list[float]] = {"process": [], "power": []}
        for turn in range(ROUNDS):
            for durability, taken in times.items():
                say(f'durability = "{durability}", {rows} rows a commit, {turn + 1}')
                place = folder / f"{durability}-{rows}-{turn}"
                place.mkdir(parents=True)
                with closing(Arriving(place, durable=durability == "power")) as arriving:
                    taken.append(_commits(arriving.add_together, commits, rows))
        process, power = (min(taken) for taken in times.values())
        named = f"{rows} row{'s' if rows > 1 else ''} a commit"
        found += [
            figure(f'{named}, "process"', 1e6 * process, "us"),
            figure(f'{named}, "power"', 1e6 * power, "us"),
            figure(f'{named}, "power" of "process"', power / process, "times"),
        ]
    return found


def _commits(add: Callable[[list[Arrival]], object], commits: int, rows: int) -> float:
    """Seconds of the clock for one of so many."""
    from pipelines.arrival import Arrival

    columns = {name: values.tolist() for name, values in columns_of(rows, 0).items()}
    ids = [[f"{number}-{row}" for row in range(rows)] for number in range(commits)]
    arrivals = [Arrival(some, [0] * rows, [[0.5]] * rows, columns, 0, 1, "", own=False) for some in ids]
    began = time.perf_counter()
    for arrival in arrivals:
        add([arrival])
    return (time.perf_counter() - began) / commits


# --- a window ------------------------------------------------------------------------------------------


def _window(folder: Path, rows: int, *, decided: bool) -> list[Result]:
    say(f"a log of {rows:,} rows with labels")
    fill(folder, rows)
    costs: dict[str, list[Cost]] = {"parts": [], "at once": []}
    for turn in range(ROUNDS if decided else 1):
        for way, taken in costs.items():
            say(f"its window, {way}, {turn + 1}")
            taken.append(cost_of([sys.executable, "-c", WINDOW, str(folder), way]))
    parts, at_once = (min(taken, key=lambda cost: cost.cpu) for taken in costs.values())
    return [
        figure("rows of a window", rows, ""),
        figure("profile in parts, peak", parts.peak / 1e6, "MB"),
        figure("profile of all rows at once, peak", at_once.peak / 1e6, "MB"),
        at_most(0.5, "peak in parts, of at once", parts.peak / at_once.peak, "times", decided=decided),
        figure("profile in parts, CPU", parts.cpu, "s of CPU"),
        figure("profile of all rows at once, CPU", at_once.cpu, "s of CPU"),
    ]


def fill(folder: Path, rows: int) -> None:
    """Rows of one day, in the order of time, and a label of each."""
    from pipelines.log import Log

    log = Log(folder)
    for place, start in enumerate(range(0, rows, PIECE)):
        count = min(PIECE, rows - start)
        times = np.datetime64("2024-01-01", "us") + (
            np.arange(start, start + count) * (86_400_000_000 // rows)
        )
        ids = [f"row-{number:09d}" for number in range(start, start + count)]
        columns = columns_of(count, place)
        log.append_predictions(ids, times, columns, np.full(count, 0.5), version=1, known_at=START + DAY)
        log.append_labels(ids, np.ones(count), known_at=START + 2 * DAY)


def bins() -> tuple[ColumnBins, ...]:
    """The cells of a reference."""
    from monitoring.bins import reference_bins

    return reference_bins(columns_of(SAMPLE, 0))


def profile_in_parts(log: Log, cells: tuple[ColumnBins, ...]) -> Profile:
    """The profile of the window, a part at a time."""
    from monitoring.profile import profile_all

    return profile_all((part.columns for part in log.parts(START, START + DAY)), cells)


def profile_at_once(log: Log, cells: tuple[ColumnBins, ...]) -> Profile:
    """The profile of the window, with all its rows in memory."""
    from monitoring.profile import profile

    return profile(log.predictions(START, START + DAY).columns, cells)


# --- rows that go ----------------------------------------------------------------------------------------


def _removal(folder: Path, rows: int) -> list[Result]:
    from pipelines.delta import Table
    from pipelines.label_rows import LABELS
    from pipelines.log_rows import PREDICTIONS

    ids = [f"row-{number:09d}" for number in range(0, rows, rows // 10)]
    say(f"{len(ids)} of the rows are removed")
    predictions, labels = Table(folder / "predictions", PREDICTIONS), Table(folder / "labels", LABELS)
    began = time.perf_counter()
    for table, along in ((predictions, "time"), (labels, "known_at")):
        table.delete([("id", "in", ids)], along=along)
        table.purge()
    return [figure(f"{len(ids)} rows, spread over all, out of the tables", time.perf_counter() - began, "s")]


# --- a start ---------------------------------------------------------------------------------------------


def _restart(folder: Path, rows: int, *, decided: bool) -> list[Result]:
    """A scoring server that finds so many rows which wait to be moved."""
    say(f"{rows:,} rows wait to be moved")
    _wait(folder, rows)
    times = [_ready(folder) for _ in range(ROUNDS)]
    return [
        figure("rows that wait at a start", rows, ""),
        at_most(5, "until the log takes rows", min(times), "s", decided=decided),
    ]


def _wait(folder: Path, rows: int) -> None:
    from pipelines.arrival import Arrival
    from pipelines.arriving import Arriving
    from pipelines.log_folder import prepare

    prepare(folder)
    columns = {"wind": [1.5] * TOGETHER, "carrier": ["UA"] * TOGETHER}
    times, answers = [0] * TOGETHER, [[0.5]] * TOGETHER
    with closing(Arriving(folder)) as arriving:
        for start in range(0, rows, TOGETHER):
            ids = [f"row-{start + row:09d}" for row in range(TOGETHER)]
            arriving.add_together([Arrival(ids, times, answers, columns, 0, 1, "", own=False)])


def _ready(folder: Path) -> float:
    done = subprocess.run(
        [sys.executable, "-c", READY, str(folder)], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 1 where something asked was missed."""
    return options.run("log", measure, arguments)


if __name__ == "__main__":
    sys.exit(main())
