"""A log whose tables lie at an address of S3: an S3 on this machine, with real requests."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars
import pytest
import s3

from pipelines.arrival import Arrival
from pipelines.delta import dataset_of
from pipelines.doctor import doctor
from pipelines.errors import Failed, UserError
from pipelines.forgetting import forget
from pipelines.log import Log
from pipelines.log_folder import written_place
from pipelines.log_tables import has_rows, moved_mark
from pipelines.moving import MovingLog
from pipelines.project import open_project
from pipelines.registry import Registry
from pipelines.stores import Stores, open_stores

START, DAY = datetime(2024, 3, 1, tzinfo=UTC), timedelta(days=1)
LATER = START + 400 * DAY
PROJECT = '[data]\npath = "rows.csv"\ntarget = "y"\ntime = "when"\n[store]\nlog = "{log}"\n'


@pytest.fixture(scope="module")
def variables() -> Iterator[dict[str, str]]:
    with s3.running("shop") as found:
        yield found


@pytest.fixture
def address(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> str:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return f"s3://shop/{request.node.name}"


def add(log: Log, *ids: str, day: int = 0) -> None:
    times = [START + day * DAY + timedelta(minutes=place) for place in range(len(ids))]
    columns = {"name": [f"name of {id}" for id in ids], "wind": [float(place) for place in range(len(ids))]}
    log.append_predictions(ids, times, columns, [0.5] * len(ids), version=1, known_at=START + day * DAY)
    log.append_labels(ids, [1.0] * len(ids), known_at=START + (day + 2) * DAY)


def arrive(log: Any, *ids: str, day: int = 0) -> None:
    time = round((START + day * DAY).timestamp() * 1e6)
    columns = {"name": [f"name of {id}" for id in ids], "wind": [1.0] * len(ids)}
    log.arrive_together(
        [Arrival(ids, [time] * len(ids), [[0.5]] * len(ids), columns, time, 1, "shop", own=True)]
    )


def ids_of(log: Log) -> list[str]:
    return sorted(log.predictions(START - DAY, LATER).ids.tolist())


def test_rows_labels_and_events_lie_there_and_only_what_arrives_lies_here(
    tmp_path: Path, address: str
) -> None:
    log = Log(tmp_path / "log", address=address)
    add(log, "a", "b")
    assert log.append_event("found", {"loss": 0.5}, known_at=START, author="me", key="one")
    assert not log.append_event("found", {"loss": 0.5}, known_at=START, author="me", key="one")
    arrive(log, "c", day=1)
    assert ids_of(log) == ["a", "b", "c"]
    assert log.flush() == 1
    assert ids_of(log) == ids_of(Log(tmp_path / "log")) == ["a", "b", "c"]
    rows = log.predictions(START, START + DAY)
    np.testing.assert_array_equal(rows.columns["wind"], [0.0, 1.0])
    np.testing.assert_array_equal(rows.labels, [1.0, 1.0])
    assert [event.payload for event in log.events()] == [{"loss": 0.5}]
    log.close()
    assert not list((tmp_path / "log").rglob("*.parquet"))
    assert dataset_of(f"{address}/predictions").count_rows() == 3
    there = polars.scan_delta(f"{address}/predictions", storage_options={"allow_http": "true"}).collect()
    assert sorted(there["id"]) == ["a", "b", "c"]


def test_a_compaction_and_a_purge_leave_the_rows_and_nothing_else(tmp_path: Path, address: str) -> None:
    log = Log(tmp_path / "log", address=address)
    for day in range(5):
        add(log, f"row {day}", day=day)
    log.compact()
    log._predictions.purge()
    assert len(log._predictions.files()) == 1
    left = [path for path, _ in log._predictions.stored()]
    assert sum(path.endswith(".parquet") and "_delta_log" not in path for path in left) == 1
    assert sum("_delta_log" in path for path in left) < 5
    add(log, "row 5", day=5)
    assert ids_of(log) == [f"row {day}" for day in range(6)]


def test_what_is_to_be_forgotten_goes_from_every_object(tmp_path: Path, address: str) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "losswatch.toml").write_text(PROJECT.format(log=address))
    project = open_project(folder)
    log = Log(project.log_folder(), project.config.log, address=project.log_address())
    stores = Stores(project, cast(Registry, None), log)
    add(log, "a-4711", "b")
    add(log, "c", day=1)
    arrive(log, "w-4711", day=2)
    log.flush()
    log.close()
    found = forget(stores, ["a-4711", "w-4711"])
    assert (found.rows, found.traces) == (2, ())
    assert found.files >= 4
    assert ids_of(log) == ["b", "c"]
    for table in (log._predictions, log._labels):
        for path, opened in table.stored():
            with opened() as stream:
                if path.endswith(".json"):
                    assert b"4711" not in stream.read()


def test_two_machines_move_their_rows_into_the_same_tables(tmp_path: Path, address: str) -> None:
    here = Log(tmp_path / "here", address=address)
    there = Log(tmp_path / "there", address=address)
    for day in range(3):
        arrive(here, f"here {day}", day=day)
        arrive(there, f"there {day}", day=day)
        here.flush()
        there.flush()
    assert moved_mark(tmp_path / "here") != moved_mark(tmp_path / "there")
    assert here.landed("requests") == there.landed("requests") == 3  # each counts its own batches
    assert len(ids_of(here)) == 6
    assert ids_of(here) == ids_of(there)
    here.close()
    there.close()


def test_the_server_moves_rows_there_by_a_process_of_its_own(tmp_path: Path, address: str) -> None:
    log = MovingLog(tmp_path / "log", address=address)
    arrive(log, "a", "b")
    assert log.flush() == 2
    log.close()
    assert ids_of(Log(tmp_path / "log")) == ["a", "b"]


def test_where_it_cannot_be_reached_rows_are_kept_and_moved_later(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log(tmp_path / "log", address=address)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    arrive(log, "a")
    with pytest.raises(Failed, match=r"s3://shop.*AWS_ENDPOINT_URL") as raised:
        log.flush()
    assert "something" not in str(raised.value)
    with pytest.raises(Failed, match="are kept on this machine meanwhile"):
        log.predictions(START, LATER)
    monkeypatch.undo()


def test_rows_that_waited_land_when_it_answers_again(
    tmp_path: Path, variables: dict[str, str], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log(tmp_path / "log", address=address)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    arrive(log, "a")
    with pytest.raises(Failed):
        log.flush()
    monkeypatch.setenv("AWS_ENDPOINT_URL", variables["AWS_ENDPOINT_URL"])
    assert log.flush() == 1
    assert ids_of(log) == ["a"]
    log.close()


def test_a_bucket_that_is_not_there_is_named(tmp_path: Path, address: str) -> None:
    log = Log(tmp_path / "log", address="s3://nobody/log")
    with pytest.raises(Failed, match=r"s3://nobody/log/predictions: .*bucket"):
        add(log, "a")


def test_the_doctor_says_whether_it_answers(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said() -> tuple[str, str]:
        (found,) = (one for one in doctor(tmp_path / "shop").findings if one.part == "store.log")
        return found.state, found.text

    project_with(tmp_path / "shop", address)
    assert said()[0] == "ok"
    assert f"{address} answers" in said()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert said()[0] == "fault"
    assert "AWS_ENDPOINT_URL" in said()[1]


# --- where the project says that they lie ---


def project_with(folder: Path, log: str) -> Any:
    folder.mkdir(exist_ok=True)
    (folder / "losswatch.toml").write_text(PROJECT.format(log=log))
    return open_project(folder)


def test_the_project_says_the_address_and_arriving_rows_stay_beside_it(tmp_path: Path) -> None:
    project = project_with(tmp_path / "shop", "s3://shop/log/")
    assert project.log_address({}) == "s3://shop/log"
    assert project.log_folder({}) == tmp_path / "shop" / ".losswatch" / "log"


@pytest.mark.parametrize("log", ["http://shop/log", "s3://", "gs://shop/log"])
def test_another_address_is_refused(tmp_path: Path, log: str) -> None:
    with pytest.raises(UserError, match=r'store\.log = .*expected a folder.*"s3://bucket/folder"'):
        project_with(tmp_path / "shop", log).log_address({})


def test_a_log_that_lies_here_is_not_left_behind(tmp_path: Path) -> None:
    project = project_with(tmp_path / "shop", "s3://shop/log")
    Log(project.log_folder()).append_event("found", {}, known_at=START, author="me")
    with pytest.raises(UserError, match=r"holds a log already.*copy the folders"):
        open_stores(project)


def test_a_log_that_lies_elsewhere_is_not_left_behind(tmp_path: Path, address: str) -> None:
    project = project_with(tmp_path / "shop", address)
    open_stores(project).log.append_event("found", {}, known_at=START, author="me")
    assert has_rows(project.log_folder())
    place = written_place(project.log_folder())
    assert place is not None
    assert place.address == address
    for log in (".losswatch/log", "s3://shop/other"):
        with pytest.raises(UserError, match=f"lies at {address}"):
            open_stores(project_with(tmp_path / "shop", log))
    with pytest.raises(UserError, match=f"lies at {address}"):
        MovingLog(project.log_folder())
