"""Rows that wait, moved into the tables of the log by a process of its own, now and then.

python -m pipelines.moving FOLDER DURABILITY    moves what is numbered and says on which batch the tables stand; as soon
                                                as its input ends, no further batch is begun

The scoring server itself then needs no table library: a hundred MB less, and no answer waits for the packing.
"""

from __future__ import annotations

import contextlib
import gc
import json
import math
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from io import FileIO
from pathlib import Path
from typing import cast

from pipelines.arrival import Arrival, ArrivingLabel, Conflict, Stored
from pipelines.arriving import Arriving
from pipelines.environment import PYTHON
from pipelines.erasing import erase_waiting
from pipelines.keeping import ColumnRules, Durability, LogConfig
from pipelines.log_folder import check_place, check_version, prepare
from pipelines.waiting import QUEUES

_SECONDS = 600.0  # for one move
_ROUND = 20.0  # seconds after which a move ends that still has batches: what came meanwhile is then parted
_BEHIND = 150  # batches; the more are left above so many, the less it rests and stands back
_NICE = 10  # answers go first
_LESS_NICE = 5  # each time that the batches left are twice as many
_ONE_CORE = {"TOKIO_WORKER_THREADS": "1"}  # the library of the tables would take all of them


class MovingLog:
    """What a scoring server needs of the log: it takes rows and labels, and has them moved."""

    def __init__(self, folder: Path, config: LogConfig | None = None, *, address: str | None = None) -> None:
        """`UserError` where another process takes rows, or another version of losswatch wrote the log.

        address: where the tables lie, if not in the folder.
        """
        config = config or LogConfig()
        durable = config.durability == "power"
        check_version(folder)
        check_place(folder, address)
        prepare(folder, durable=durable, address=address)
        self._folder, self._config = folder, config
        self._rules = ColumnRules(folder, config)
        self._arriving = Arriving(folder, durable=durable)
        self._landed: dict[str, int] | None = None
        self._moved_of = -1
        self._moving = threading.Lock()
        reading, writing = os.pipe()  # input of the processes that move: it ends when they are to hurry
        self._input, self._go_on = FileIO(reading, "rb"), FileIO(writing, "wb")

    def arrive_together(
        self, arrivals: Sequence[Arrival], *, wait: bool = True
    ) -> list[Stored | Conflict | None]:
        """See `Log.arrive_together`."""
        return self._arriving.add_together(self._rules.kept_of(arrivals), wait=wait)

    def take_labels(self, labels: Sequence[ArrivingLabel]) -> None:
        """See `Log.take_labels`."""
        self._arriving.add_labels(labels)

    def flush(self) -> int:
        """Has moved what arrived since the last time; returns the number of rows and labels.

        RuntimeError where the process that moves failed: nothing is lost, and the next one goes on.
        """
        with self._moving:
            erase_waiting(self._folder, self._arriving)
            taken = self._arriving.taken
            if taken == self._moved_of:
                self._arriving.tidy()  # nobody asks now
                return 0
            landed = self._landed or self._move()
            waiting = {queue: self._arriving.to_move(queue, landed[queue]) for queue in QUEUES}
            landed = self._move()
            for queue in QUEUES:
                self._arriving.forget(queue, landed[queue])
            if all(max(batches, default=0) <= landed[queue] for queue, batches in waiting.items()):
                self._moved_of = taken
            return landed["moved"]

    def tidy_along(self) -> None:
        """Deletes some of what was moved, after each time that rows were taken."""
        self._arriving.tidy_along()

    def _move(self) -> dict[str, int]:
        command = [*PYTHON, "-m", "pipelines.moving", str(self._folder), self._config.durability]
        done = subprocess.run(
            command,
            stdin=self._input,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            start_new_session=True,
            env=os.environ | _ONE_CORE,
        )
        if done.returncode:
            raise RuntimeError(f"moving ended with {done.returncode}: {done.stderr.strip()[-500:]}")
        landed: dict[str, int] = json.loads(done.stdout)
        self._landed = landed
        return landed

    def hurry(self) -> None:
        """See `Log.hurry`."""
        self._go_on.close()

    def close(self) -> None:
        """Lets go of the right to write arriving rows. Nothing is lost without it. A second call does nothing."""
        self.hurry()
        with self._moving:
            self._input.close()
        self._arriving.close()


def main(folder: Path, durability: Durability) -> None:
    """Moves what is numbered, and prints the last batches of the tables and the number of rows as JSON."""
    from pipelines.log import Log

    gc.disable()  # it lives for a minute and makes many lists and no circles: a fifth of the time
    log = Log(folder, LogConfig(durability=durability))
    begun = os.getpriority(os.PRIO_PROCESS, 0)
    stand_back(niceness(sum(len(log.batches(queue)) for queue in QUEUES)), begun)
    turns = Turns(time.monotonic, _hurried)
    moved = log.move(enough=turns.ended)
    said = {queue: log.landed(queue) for queue in QUEUES} | {"moved": moved}
    if not _hurried(0.0):
        stand_back(_NICE, begun)  # it takes seconds at a stretch, and moves nothing
        log.compact_if_many()
    sys.stdout.write(json.dumps(said))


def niceness(left: int) -> int:
    """How far to stand back with so many batches left: else they would grow more and more, and fill the disk.

    >>> [niceness(left) for left in (0, 150, 300, 600, 5000)]
    [10, 10, 5, 0, 0]
    """
    doublings = math.log2(max(left, _BEHIND) / _BEHIND)
    return max(0, round(_NICE - _LESS_NICE * doublings))


def stand_back(by: int, begun: int) -> None:
    """Lets others have the processors first; whoever stands back further cannot undo it. begun: niceness as it began.

    Where Linux shares them out by sessions first (autogroup, sched(7)), what a process says of itself counts only
    within its own; then the session says it, if it is this process's own.
    """
    own = os.getsid(0) == os.getpid()
    os.setpriority(os.PRIO_PGRP if own else os.PRIO_PROCESS, 0, begun + by)  # of all threads, if it is alone
    if own:
        with contextlib.suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(by), "ascii")


class Turns:
    """After each batch the server has the machine to itself for as long as the batch took.

    Else it would be slower for seconds, and rows would wait that need not. Where rows come more quickly than they are
    moved so, it rests less and less: else more and more would wait, and fill the disk.
    """

    def __init__(self, clock: Callable[[], float], rest: Callable[[float], bool]) -> None:
        """clock: seconds; rest: waits for so many, and tells whether the server hurries."""
        self._clock, self._rest = clock, rest
        self._begun = clock()
        self._end = self._begun + _ROUND

    def ended(self, left: int) -> bool:
        """Whether no further batch is to be begun. left: batches that wait."""
        hurried = self._rest((self._clock() - self._begun) * min(1.0, _BEHIND / max(left, 1)))
        self._begun = self._clock()
        return hurried or self._begun > self._end


def _hurried(seconds: float) -> bool:
    """Waits until the server ends its input, or some seconds are over."""
    ended, _, _ = select.select([sys.stdin], [], [], seconds)
    return bool(ended)


if __name__ == "__main__":
    main(Path(sys.argv[1]), cast(Durability, sys.argv[2]))
