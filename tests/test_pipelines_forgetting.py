"""What leaves the log: on request with every trace, or because of its age, and never what is still needed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow.parquet as parquet
import pytest

from monitoring.loss_alarm import LossReference
from monitoring.window import WindowLength
from pipelines import erasing, forgetting
from pipelines.arrival import Arrival, ArrivingLabel
from pipelines.errors import Failed, UserError
from pipelines.forgetting import Forgotten, forget, oldest_kept, resume, retain
from pipelines.log import Log
from pipelines.moving import MovingLog
from pipelines.project import open_project
from pipelines.registry import Registry
from pipelines.service import RETRAINING, begin_service
from pipelines.stores import Stores

DAY = timedelta(days=1)
START = datetime(2013, 3, 1, tzinfo=UTC)
LONG_AGO, LATER = START - 4000 * DAY, START + 8000 * DAY


def project_in(folder: Path, log: str = "") -> Any:
    folder.mkdir(exist_ok=True)
    text = f'[data]\npath = "rows.csv"\ntarget = "y"\ntime = "when"\nlabel_delay = "2d"\n[log]\n{log}\n'
    (folder / "losswatch.toml").write_text(text)
    return open_project(folder)


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    project = project_in(tmp_path / "shop")
    opened = Stores(project, cast(Registry, None), Log(project.log_folder(), project.config.log))
    yield opened
    opened.log.close()


def add(log: Log, *ids: str, day: int = 0, keys: list[str | None] | None = None) -> None:
    """Rows of one day in the tables, known at once, and a label of each two days later."""
    times = [START + day * DAY + timedelta(minutes=place) for place in range(len(ids))]
    columns = {"name": [f"name of {id}" for id in ids]}
    known_at = START + day * DAY
    log.append_predictions(ids, times, columns, [0.5] * len(ids), version=1, known_at=known_at, keys=keys)
    log.append_labels(ids, [1.0] * len(ids), known_at=known_at + 2 * DAY)


def arrive(log: Any, *ids: str, day: int = 0, keys: list[str | None] | None = None) -> None:
    time = round((START + day * DAY).timestamp() * 1e6)
    columns = {"name": [f"name of {id}" for id in ids]}
    row = Arrival(ids, [time] * len(ids), [[0.5]] * len(ids), columns, time, 1, "shop", own=True, keys=keys)
    log.arrive_together([row])
    log.take_labels([ArrivingLabel(id, 1.0, time) for id in ids])


def ids_of(log: Log) -> list[str]:
    return sorted(log.predictions(LONG_AGO, LATER, columns=()).ids.tolist())


def files_with(folder: Path, text: str) -> list[str]:
    """Every file under a folder in which a text occurs, in rows or in what is said of them."""
    found = []
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        rows = path.suffix == ".parquet"
        held = str(parquet.read_table(path).to_pylist()).encode() if rows else path.read_bytes()
        found += [path.relative_to(folder).as_posix()] * (text.encode() in held)
    return found


def log_of(stores: Stores) -> Path:
    return stores.project.log_folder()


# --- to forget ---


def test_a_row_goes_with_its_inputs_its_labels_and_every_trace(stores: Stores) -> None:
    add(stores.log, "a-4711", "b-0815")
    add(stores.log, "c", day=1)
    arrive(stores.log, "w-4711", "x-0815", day=2)
    stores.log.flush()
    arrive(stores.log, "y-4711", day=3)
    stores.log.compact()
    stores.log.close()
    found = forget(stores, ["a-4711", "w-4711", "y-4711", "nobody's"])
    assert (found.ids, found.rows, found.labels) == (4, 3, 3)
    assert (found.traces, found.failed) == ((), False)
    assert found.files > 4
    assert files_with(log_of(stores), "4711") == []
    assert ids_of(stores.log) == ids_of(Log(log_of(stores))) == ["b-0815", "c", "x-0815"]
    stores.log.flush()
    arrive(stores.log, "z", day=4)
    stores.log.flush()
    assert ids_of(stores.log) == ["b-0815", "c", "x-0815", "z"]
    rows = stores.log.predictions(LONG_AGO, LATER)
    np.testing.assert_array_equal(rows.labels, np.ones(4))
    (event,) = stores.log.events(kind="forgotten")
    assert event.payload == {"ids": 4, "rows": 3, "labels": 3}


def test_labels_of_a_key_go_with_the_last_row_that_has_it(stores: Stores) -> None:
    add(stores.log, "a", "b", "c", keys=["order-1", "order-2", "order-2"])
    for key in ("order-1", "order-2"):
        stores.log.append_labels([key], [2.0], known_at=START, keyed=True)
    found = forget(stores, ["a", "b"])
    assert (found.rows, found.labels, found.traces) == (2, 3, ())
    assert files_with(log_of(stores), "order-1") == []
    assert stores.log.predictions(LONG_AGO, LATER).labels.tolist() == [1.0]
    assert forget(stores, ["c"]).labels == 2
    assert files_with(log_of(stores), "order-2") == []


def test_versions_that_learned_since_are_told(stores: Stores) -> None:
    add(stores.log, "a", day=3)
    for day, version in ((1, 2), (4, 3), (9, 4)):
        payload = {"challenger": version, "window": 1, "promoted": True}
        stores.log.append_event(RETRAINING, payload, known_at=START + day * DAY, author="test")
    found = forget(stores, ["a"])
    assert found.learned == (3, 4)
    assert (
        "trained since, perhaps on them: versions 3, 4. A network keeps what it learned" in found.lines()[2]
    )
    assert forget(stores, ["a"]).learned == ()


def test_where_nothing_was_logged_there_is_nothing_to_forget(stores: Stores) -> None:
    with pytest.raises(UserError, match="nothing was logged yet"):
        forget(stores, ["a"])
    assert not log_of(stores).exists()


def test_a_server_that_runs_does_its_part_itself(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "_LOOK_SECONDS", 0.01)
    server = MovingLog(log_of(stores))
    arrive(server, "a-4711", "b")
    arrive(server, "c-4711")
    said, ready = [], threading.Event()

    def say(text: str) -> None:
        said.append(text)
        if text.startswith("the scoring server"):
            ready.set()

    def serve() -> None:
        assert ready.wait(60)
        server.flush()

    flushing = threading.Thread(target=serve)
    flushing.start()
    found = forget(stores, ["a-4711", "c-4711"], progress=say)
    flushing.join()
    assert (found.rows, found.labels, found.traces) == (2, 2, ())
    assert files_with(log_of(stores), "4711") == []
    assert ids_of(stores.log) == ["b"]
    server.close()


def test_a_server_that_does_nothing_leaves_it_written_down_and_the_next_goes_on(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "_SERVER_SECONDS", 0.0)
    server = MovingLog(log_of(stores))
    arrive(server, "a-4711", "b")
    with pytest.raises(Failed, match=r"another process is writing it.* stays written down"):
        forget(stores, ["a-4711"])
    server.close()
    assert ids_of(stores.log) == ["a-4711", "b"]
    assert resume(log_of(stores), durable=False)
    assert not resume(log_of(stores), durable=False)
    assert ids_of(stores.log) == ["b"]
    assert files_with(log_of(stores), "4711") == []


def test_what_was_begun_and_cut_off_is_done_by_the_next_command(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(stores.log, "a-4711", "b", keys=["order-1", None])
    stores.log.append_labels(["order-1"], [2.0], known_at=START, keyed=True)

    def killed(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.delta.Table.purge", killed)
        with pytest.raises(KeyboardInterrupt):
            forget(stores, ["a-4711"])
    assert erasing.read_wanted(log_of(stores)) == erasing.Wanted(("a-4711",), ("order-1",), erased=False)
    found = forget(stores, ["c"])
    assert (found.ids, found.traces) == (2, ())
    assert [files_with(log_of(stores), text) for text in ("4711", "order-1")] == [[], []]


@pytest.mark.parametrize("left", ["a file of a version before", "a list of commits", "a row that waits"])
def test_a_trace_that_is_left_is_found(left: str, stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    add(stores.log, "a", "b")
    add(stores.log, "c", day=1)
    if left == "a row that waits":
        arrive(stores.log, "a", day=2)
        monkeypatch.setattr(forgetting, "_erase", lambda *_, **__: None)
    elif left == "a list of commits":
        monkeypatch.setattr("pipelines.delta.Table.purge", lambda table: None)
        monkeypatch.setattr(forgetting, "_holds", lambda opened, named: False)
    else:
        monkeypatch.setattr("pipelines.delta.Table.purge", lambda table: None)
        monkeypatch.setattr(forgetting, "_says", lambda path, opened, ids: False)
    found = forget(stores, ["a"])
    assert found.failed
    assert "still in" in found.lines()[1]


def test_two_lines_say_what_came_of_it() -> None:
    said = Forgotten(2, 1, 0, 7, (), ()).lines()
    assert said == [
        "forgotten: 1 row with inputs and 0 labels, of 2 ids",
        "looked at again: 7 files of the log, none holds any of them",
        "not looked at: your own data, backups, pages that were written, the registry",
    ]


# --- what is older than is wanted ---


def kept_for(stores: Stores, keep: str) -> Stores:
    return replace(stores, project=project_in(stores.project.folder, f'keep = "{keep}"'))


def test_rows_and_labels_that_are_older_go_once_a_day(stores: Stores) -> None:
    for day in range(10):
        add(stores.log, f"day {day}", day=day)
    wanted = kept_for(stores, "5d")
    found = retain(wanted, START + 9 * DAY + timedelta(hours=5))
    assert found is not None
    assert (found.before, found.rows, found.labels) == (START + 4 * DAY, 4, 2)
    rows = stores.log.predictions(LONG_AGO, LATER)
    assert rows.ids.tolist() == [f"day {day}" for day in range(4, 10)]
    np.testing.assert_array_equal(rows.labels, np.ones(6))
    assert retain(wanted, START + 9 * DAY + timedelta(hours=6)) is None
    again = retain(wanted, START + 10 * DAY)
    assert again is not None
    assert (again.rows, again.labels) == (1, 1)
    assert retain(stores, START + 99 * DAY) is None


def test_a_label_that_came_before_its_row_stays_with_it(stores: Stores) -> None:
    add(stores.log, "old")
    stores.log.append_labels(["early", "unknown"], [3.0, 4.0], known_at=START)
    stores.log.append_labels(["order-1", "order-2"], [5.0, 6.0], known_at=START, keyed=True)
    add(stores.log, "early", "ordered", day=8, keys=[None, "order-1"])
    found = retain(kept_for(stores, "5d"), START + 10 * DAY)
    assert found is not None
    # the label of the old row, of nobody's id and of nobody's key
    assert (found.rows, found.labels) == (
        1,
        3,
    )
    left = parquet.read_table(Log(log_of(stores))._labels.files()[0]).to_pydict()
    assert {*left["id"], *left["key"]} == {"early", "order-1", "ordered", None}


def test_rows_that_the_service_is_judged_by_stay(stores: Stores) -> None:
    begin_service(
        stores,
        1,
        now=START + 3 * DAY,
        anchor=START + DAY / 2,
        window=WindowLength.parse("day"),
        reference=LossReference(100, 0.5, 10.0, False, 0.5, 0.01, 0.1, 10.0),
        author="test",
        reason="first",
    )
    wanted = kept_for(stores, "1d")
    assert oldest_kept(wanted, START + 50 * DAY, DAY) == START + 2 * DAY
    assert oldest_kept(wanted, START + 3 * DAY, DAY) == START + DAY  # a label may take two days
    for day in range(6):
        add(stores.log, f"day {day}", day=day)
    found = retain(wanted, START + 50 * DAY)
    assert found is not None
    assert found.rows == 2
    assert ids_of(stores.log) == [f"day {day}" for day in range(2, 6)]


# --- what the monitor does ---


def test_the_monitor_goes_on_with_what_was_begun_and_removes_what_is_old(stores: Stores) -> None:
    for day in range(10):
        add(stores.log, f"day {day}", day=day)
    erasing.write_wanted(log_of(stores), erasing.Wanted(("day 8",)))
    forgetting.tidy(kept_for(stores, "5d"), START + 9 * DAY)
    assert ids_of(stores.log) == ["day 4", "day 5", "day 6", "day 7", "day 9"]
    assert erasing.read_wanted(log_of(stores)) is None


def test_a_log_that_cannot_be_tidied_now_does_not_stop_the_monitor(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError("No space left on device")

    add(stores.log, "a")
    monkeypatch.setattr("pipelines.delta.Table.delete", full)
    forgetting.tidy(kept_for(stores, "5d"), START + 50 * DAY)
    assert "the log could not be tidied now: No space left on device" in caplog.text
    assert ids_of(stores.log) == ["a"]
