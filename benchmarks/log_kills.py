"""A log killed with SIGKILL while rows are moved, joined, forgotten and aged out: none is lost, twice or back again.

python -m benchmarks.log_kills [--quick] [--json FILE]

Each process is forked from one that has loaded the libraries and done nothing. It takes rows and labels, moves them,
compacts, forgets and removes what is old, in an order drawn by chance, and says what is done. Afterwards a process that
knows nothing of them reads the log.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from benchmarks import options
from benchmarks.forked import Plant, Tell, forked
from benchmarks.options import say
from benchmarks.result import Result, at_most, figure

if TYPE_CHECKING:
    from pipelines.registry import Registry
    from pipelines.stores import Stores

KILLS, QUICK = 1_000, 25
START, STEP = datetime(2024, 1, 1, tzinfo=UTC), timedelta(minutes=20)  # of the rows
TOGETHER = 5  # rows of a request
MOST_WORK, LONGEST = 4, 0.3  # works that a process may end, and seconds that it lives afterwards at most
WORK = (("move", 40), ("compact", 15), ("forget", 30), ("retain", 15))
PROJECT = '[data]\npath = "rows.csv"\ntarget = "y"\ntime = "when"\n[log]\nkeep = "1d"\n'


@dataclass
class Said:
    """What the processes said. rows: numbers of those that were acknowledged; written: ids that are to be forgotten, by
    what is on disk; forgotten: those of which it was said to be done; before: rows of before this number are too old.
    """

    rows: set[int] = field(default_factory=set)
    written: set[int] = field(default_factory=set)
    forgotten: set[int] = field(default_factory=set)
    before: int = 0
    done: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Kills:
    """What is left. lost: acknowledged rows, or labels of theirs, that are not there; back: rows that were forgotten or
    too old, and are; traces: files that still hold one that was forgotten; sound: whether all of it can be read.
    """

    kills: int
    rows: int
    forgotten: int
    lost: int
    twice: int
    back: int
    traces: int
    sound: bool
    done: dict[str, int]


def measure(quick: bool) -> list[Result]:
    """Every figure of this benchmark."""
    with tempfile.TemporaryDirectory(prefix="losswatch-") as folder:
        found = killed(Path(folder), QUICK if quick else KILLS)
    return [
        figure("kills", found.kills, ""),
        *(figure(f"times that it was done: {name}", count, "") for name, count in sorted(found.done.items())),
        figure("acknowledged rows", found.rows, ""),
        figure("rows forgotten", found.forgotten, ""),
        at_most(0, "acknowledged rows lost", found.lost, ""),
        at_most(0, "rows twice", found.twice, ""),
        at_most(0, "rows that came back", found.back, ""),
        at_most(0, "files with a trace of what was forgotten", found.traces, ""),
        at_most(0, "damaged files", float(not found.sound), ""),
    ]


def killed(folder: Path, kills: int, *, plant: Plant | None = None, seed: int = 0) -> Kills:
    """Kills processes on one log. plant: called in each of them, to make it a wrong one."""
    for name in ("log", "forgetting", "project", "stores"):
        import_module(f"pipelines.{name}")  # loaded once, before any process is forked
    (folder / "losswatch.toml").write_text(PROJECT, "utf-8")
    rng, said = random.Random(seed), Said()
    for number in range(kills):
        work = partial(_work, folder, said, random.Random(rng.randrange(2**32)))
        with forked(work, folder / "error", plant=plant) as process:
            heard = process.hear(partial(_enough, rng.randint(0, MOST_WORK)))
            time.sleep(rng.uniform(0.0, LONGEST))
            process.kill()
            for line in (heard + process.rest()).splitlines():
                _note(said, *line.split())
        if number % 100 == 99:
            say(f"{number + 1} kills, {len(said.rows):,} rows, {len(said.forgotten):,} forgotten")
    return _checked(folder, said, kills)


def _enough(works: int, heard: str) -> bool:
    """Whether the first row is acknowledged and so many works are done."""
    return "row" in heard and heard.count("done") >= works


def _note(said: Said, what: str, name: str, number: str = "0") -> None:
    if what == "row":
        said.rows.add(int(name))
    elif what == "written":
        said.written.add(int(name))
    elif what == "old":
        said.before = max(said.before, int(name))
    else:
        said.done[name] = said.done.get(name, 0) + 1
        if name == "forget":
            said.forgotten.add(int(number))


# --- what is killed ---


def opened(folder: Path) -> Stores:
    """The project's log, with no registry."""
    from pipelines.log import Log
    from pipelines.project import open_project
    from pipelines.stores import Stores

    project = open_project(folder)
    return Stores(project, cast("Registry", None), Log(project.log_folder(), project.config.log))


def id_of(number: int) -> str:
    """The id of a row, which is part of no other one's."""
    return f"row-{number:07d}"


def _work(folder: Path, said: Said, rng: random.Random, tell: Tell) -> None:
    stores, rows = opened(folder), set(said.rows)
    number = max(rows, default=-1) + 1

    while True:
        some = range(number, number + TOGETHER)
        _take(stores, some)
        for one in some:
            tell(f"row {one}")
        rows.update(some)
        number += TOGETHER
        (what,) = rng.choices([name for name, _ in WORK], [weight for _, weight in WORK])
        if what == "move":
            stores.log.flush()
        elif what == "compact":
            stores.log.compact()
        elif what == "forget":
            what = f"forget {_forget(stores, rng.choice(sorted(rows)), tell)}"
        else:
            _retain(stores, number, tell)
        tell(f"done {what}")


def _take(stores: Stores, numbers: Sequence[int]) -> None:
    from pipelines.arrival import Arrival, ArrivingLabel

    times = [_microseconds(number) for number in numbers]
    ids, columns = [id_of(number) for number in numbers], {"wind": [float(number) for number in numbers]}
    own = numbers[0] % 2 == 0
    row = Arrival(ids, times, [[0.5]] * len(ids), columns, times[0], 1, "", own=own)
    stores.log.arrive_together([row])
    stores.log.take_labels([ArrivingLabel(id, 1.0, times[-1]) for id in ids])


def _microseconds(number: int) -> int:
    return round((START + number * STEP).timestamp() * 1e6)


def _forget(stores: Stores, number: int, tell: Tell) -> int:
    from pipelines.forgetting import forget

    def progress(text: str) -> None:
        tell(f"written {number}")

    stores.log.close()  # the right to write passes on
    forget(stores, [id_of(number)], progress=progress)
    return number


def _retain(stores: Stores, number: int, tell: Tell) -> None:
    from pipelines.forgetting import retain

    stores.log.flush()
    found = retain(stores, START + number * STEP)
    if found is not None:
        tell(f"old {max(0, -((START - found.before) // STEP))}")


# --- afterwards ---

READ = """
import json, sqlite3, sys
from pathlib import Path
from benchmarks.log_kills import id_of, opened
from pipelines.delta import dataset_of
from pipelines.erasing import Wanted
from pipelines.forgetting import _looked_at, resume
folder, forgotten = Path(sys.argv[1]), json.load(sys.stdin)
stores = opened(folder)
log = stores.project.log_folder()
resume(log, durable=False)
connection = sqlite3.connect(f"file:{log}/arriving.db?mode=ro", uri=True)
(sound,) = connection.execute("PRAGMA integrity_check").fetchone()
connection.close()
stores.log.flush()
ids = {name: dataset_of(log / name).to_table(columns=["id"])["id"].to_pylist() for name in ("predictions", "labels")}
traces = _looked_at(log, Wanted(tuple(map(id_of, forgotten))))[1]
json.dump(ids | {"sound": sound, "traces": traces}, sys.stdout)
"""


def _checked(folder: Path, said: Said, kills: int) -> Kills:
    gone = said.written | said.forgotten
    done = subprocess.run(
        [sys.executable, "-c", READ, str(folder)],
        input=json.dumps(sorted(gone)),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        say(f"the log cannot be read: {done.stderr[-800:]}")
        return Kills(kills, len(said.rows), len(gone), 0, 0, 0, 0, sound=False, done=said.done)
    left: Any = json.loads(done.stdout)
    there, labelled = set(left["predictions"]), set(left["labels"])
    kept = {id_of(number) for number in said.rows - gone if number >= said.before}
    back = {id_of(number) for number in gone | {one for one in said.rows if one < said.before}}
    return Kills(
        kills,
        len(said.rows),
        len(gone),
        lost=len(kept - there) + len(kept - labelled),
        twice=len(left["predictions"]) - len(there),
        back=len(back & there),
        traces=len(left["traces"]),
        sound=left["sound"] == "ok",
        done=said.done,
    )


if __name__ == "__main__":
    sys.exit(options.run("log_kills", measure))
