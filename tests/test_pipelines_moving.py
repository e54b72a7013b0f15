"""Rows are moved into the tables by another process, once, whatever happens to it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from pipelines.arrival import Arrival, ArrivingLabel
from pipelines.errors import UserError
from pipelines.file_lock import Locked, file_lock
from pipelines.keeping import LogConfig
from pipelines.log import Log
from pipelines.log_folder import MOVING
from pipelines.moving import MovingLog, Turns
from pipelines.waiting import QUEUES

NOW = datetime(2013, 3, 1, 12, tzinfo=UTC)
MICROSECONDS = 1_362_139_200_000_000


@pytest.fixture
def moving(tmp_path: Path) -> Iterator[MovingLog]:
    opened = MovingLog(tmp_path / "log")
    yield opened
    opened.close()


def arrival(*ids: str) -> Arrival:
    columns = {"wind": [float(place) for place in range(len(ids))]}
    times = [MICROSECONDS] * len(ids)
    return Arrival(ids, times, [[0.5]] * len(ids), columns, MICROSECONDS, 3, "shop", own=True)


def logged(folder: Path) -> Any:
    return Log(folder / "log").predictions(NOW - timedelta(days=1), NOW + timedelta(days=1))


def test_rows_and_labels_are_moved_once(moving: MovingLog, tmp_path: Path) -> None:
    moving.arrive_together([arrival("a", "b"), arrival("c")])
    moving.take_labels([ArrivingLabel("b", 1, MICROSECONDS)])
    assert moving.flush() == 4
    assert moving.flush() == 0
    moving.arrive_together([arrival("d")])
    assert moving.flush() == 1
    tables = Log(tmp_path / "log")
    assert (tables.landed("requests"), tables.landed("labels")) == (2, 1)
    found = logged(tmp_path)
    assert found.ids.tolist() == ["a", "b", "c", "d"]
    assert found.columns["wind"].tolist() == [0.0, 1.0, 0.0, 0.0]
    assert found.labels.tolist()[1] == 1.0


def test_a_move_that_ends_before_all_has_landed_is_taken_up_by_the_next(
    moving: MovingLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.arriving._BATCH", 2)
    moving.arrive_together([arrival("a", "b"), arrival("c", "d"), arrival("e")])
    moving.take_labels([ArrivingLabel("b", 1, MICROSECONDS)])
    tables = Log(tmp_path / "log")

    def at_once(_: MovingLog) -> dict[str, int]:
        moved = tables.move(enough=lambda left: True)
        return {queue: tables.landed(queue) for queue in QUEUES} | {"moved": moved}

    monkeypatch.setattr(MovingLog, "_move", at_once)
    monkeypatch.setattr(moving, "_landed", dict.fromkeys(QUEUES, 0))
    assert moving.flush() == 3  # a batch of rows and one of labels
    assert moving.flush() == 2
    assert moving.flush() == 1
    assert moving.flush() == 0
    assert logged(tmp_path).ids.tolist() == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize(("at_once", "commits"), [(2**26, 1), (1000, 2), (1, 23)])
def test_batches_that_wait_land_together_each_with_what_is_new_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int, commits: int
) -> None:
    monkeypatch.setattr("pipelines.arriving._BATCH", 1)
    monkeypatch.setattr("pipelines.log._BYTES_AT_ONCE", at_once)
    sent = [arrival(str(number)) for number in range(23)]
    sent[1] = sent[1]._replace(columns={"wind": ["calm"], "tail": [7]})
    sent[2] = sent[2]._replace(columns={"tail": ["N1"]})
    with closing(Log(tmp_path / "log")) as log:
        log.arrive_together(sent)
        assert log.flush() == 23
        assert log.landed("requests") == 23
    table = DeltaTable(tmp_path / "log" / "predictions")
    assert table.version() == commits  # the empty table is the one before
    found = logged(tmp_path)
    assert found.ids.tolist() == sorted(map(str, range(23)))
    order = [int(id) for id in found.ids]
    assert [found.columns["wind"][order.index(place)] for place in range(4)] == [0.0, "calm", None, 0.0]
    assert [found.columns["tail"][order.index(place)] for place in range(4)] == [None, 7, "N1", None]


def test_a_column_that_comes_from_elsewhere_while_rows_are_read_is_theirs_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.arriving._BATCH", 1)
    columns = {"tail": [7]}
    with closing(Log(tmp_path / "log")) as log:
        log.arrive_together([arrival(id)._replace(columns=columns) for id in ("b", "c")])
        log._writer().to_move("requests", 0)

        def brought(left: int) -> bool:
            if left == 1:
                Log(tmp_path / "log").append_predictions(
                    ["a"], [NOW], {"Tail": ["N1"], "tail": ["N2"]}, [0.5], version=3, known_at=NOW
                )
            return False

        assert log.move(enough=brought) == 2
    found = logged(tmp_path)
    assert found.ids.tolist() == ["a", "b", "c"]
    assert found.columns["tail"].tolist() == ["N2", 7, 7]
    assert found.columns["Tail"].tolist() == ["N1", None, None]


@pytest.mark.parametrize(("hurried", "files"), [(False, 1), (True, 64)])
def test_small_files_are_joined_when_all_has_been_moved_unless_the_server_waits_for_its_end(
    tmp_path: Path, hurried: bool, files: int
) -> None:
    tables = Log(tmp_path / "log")
    for number in range(63):
        tables.append_predictions([f"b{number}"], [NOW], {"wind": [1.0]}, [0.5], version=3, known_at=NOW)
    with closing(MovingLog(tmp_path / "log")) as moving:
        moving.arrive_together([arrival("a")])
        moving._arriving.to_move("requests", 0)
        if hurried:
            moving.hurry()
        moving.flush()
    assert Log(tmp_path / "log").landed("requests") == 1
    assert len(DeltaTable(tmp_path / "log" / "predictions").file_uris()) == files


def test_who_hurries_moves_a_batch_and_leaves_the_rest_to_the_next_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.arriving._BATCH", 2)
    moving = MovingLog(tmp_path / "log")
    moving.arrive_together([arrival("a", "b"), arrival("c", "d"), arrival("e")])
    moving._arriving.to_move("requests", 0)  # numbered, as after a move that was cut off
    moving.hurry()
    moving.hurry()
    # the third and fourth; the first two were moved while it looked where the tables stand
    assert moving.flush() == 2
    assert logged(tmp_path).ids.tolist() == ["a", "b", "c", "d", "e"]  # a reader finds them wherever they are
    assert Log(tmp_path / "log").landed("requests") == 2
    moving.close()
    moving.close()
    with closing(MovingLog(tmp_path / "log")) as after:
        after.flush()
    assert Log(tmp_path / "log").landed("requests") == 3


def test_between_batches_it_rests_the_less_the_more_wait() -> None:
    now, rested = [0.0], []

    def rest(seconds: float) -> bool:
        rested.append(seconds)
        now[0] += seconds
        return False

    turns = Turns(lambda: now[0], rest)
    for taken, left in ((2.0, 3), (1.0, 300), (1.0, 1500), (4.0, 0)):
        now[0] += taken
        assert not turns.ended(left)
    assert rested == [2.0, 0.5, 0.1, 4.0]
    now[0] += 100.0
    assert turns.ended(3)  # the writer deletes what has landed, now and then
    assert Turns(lambda: 0.0, lambda seconds: True).ended(3)


def _is_moved(folder: Path) -> bool:
    """Whether a process is moving rows now."""
    try:
        with file_lock(folder / MOVING, wait=0):
            return False
    except Locked:
        return True


def test_a_move_that_is_under_way_ends_after_its_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.arriving._BATCH", 1)
    moving = MovingLog(tmp_path / "log")
    assert moving.flush() == 0
    moving.arrive_together([arrival(str(number)) for number in range(2000)])
    flushing = threading.Thread(target=moving.flush)
    flushing.start()
    end = time.monotonic() + 60
    while not _is_moved(tmp_path / "log"):
        assert time.monotonic() < end
    moving.close()  # it waits for the move
    flushing.join(60)
    assert not flushing.is_alive()
    assert 0 < Log(tmp_path / "log").landed("requests") < 2000
    assert len(logged(tmp_path).ids) == 2000


def test_a_move_that_fails_loses_nothing_and_the_next_one_goes_on(
    moving: MovingLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moving.arrive_together([arrival("a")])

    def killed(command: Any, **_: Any) -> Any:
        return subprocess.CompletedProcess(command, -9, "", "Killed")

    with monkeypatch.context() as patch:
        patch.setattr("subprocess.run", killed)
        with pytest.raises(RuntimeError, match="moving ended with -9: Killed"):
            moving.flush()
    assert logged(tmp_path).ids.tolist() == ["a"]
    assert moving.flush() == 1
    assert logged(tmp_path).ids.tolist() == ["a"]


def test_rows_of_a_server_that_was_killed_are_moved_by_the_next(tmp_path: Path) -> None:
    first = MovingLog(tmp_path / "log")
    first.arrive_together([arrival("a")])
    first._arriving.to_move("requests", 0)
    first.close()
    second = MovingLog(tmp_path / "log")
    second.arrive_together([arrival("b")])
    assert second.flush() == 1  # the first one's row was moved before
    assert logged(tmp_path).ids.tolist() == ["a", "b"]
    second.close()


def test_a_log_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "version").write_text("9")
    with pytest.raises(UserError, match="a log of version '9'"):
        MovingLog(tmp_path / "log")


def test_what_moves_rows_is_told_how_safely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moving = MovingLog(tmp_path / "log", LogConfig(durability="power"))
    assert moving._arriving._connection.execute("PRAGMA synchronous").fetchone() == (2,)
    moving.arrive_together([arrival("a")])
    commands = []
    run = subprocess.run

    def noted(command: Any, **options: Any) -> Any:
        commands.append(command)
        return run(command, **options)

    monkeypatch.setattr("subprocess.run", noted)
    assert moving.flush() == 1
    assert [command[-1] for command in commands] == ["power", "power"]
    moving.close()


STANDS_BACK = """
import os
from pathlib import Path
from threading import Barrier, Thread
from pipelines.moving import stand_back

session, started, stood_back = Path("/proc/self/autogroup"), Barrier(2), Barrier(2)

def other():
    started.wait()
    stood_back.wait()
    print(os.nice(0))

def shown():
    return session.read_text().split()[-1:] if session.exists() else []

thread, begun, before = Thread(target=other), os.nice(0), shown()
thread.start()
started.wait()
stand_back(10, begun)
stood_back.wait()
thread.join()
print(os.nice(0), *before, *shown())
"""


@pytest.mark.parametrize("own", [True, False])
def test_a_process_that_stands_back_says_so_for_its_own_session_only(own: bool) -> None:
    command = [sys.executable, "-c", STANDS_BACK]
    done = subprocess.run(command, start_new_session=own, capture_output=True, text=True, timeout=60)
    of_thread, niceness, *session = done.stdout.split()
    ten_more = str(min(os.nice(0) + 10, 19))
    assert niceness == ten_more, done.stderr
    assert of_thread == (ten_more if own else str(os.nice(0)))
    # A kernel that shares nothing out by sessions has no such file, or an empty one.
    if session:
        before, after = session
        assert after == ("10" if own else before)
