"""The log: what is written is what is read, once, as of any moment, from SQLite and from the tables."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from deltalake import DeltaTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines import waiting
from pipelines.errors import Failed, UserError
from pipelines.log import Conflict, LabelledRows, Log

DAY = timedelta(days=1)
START = datetime(2013, 3, 1, tzinfo=UTC)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    opened = Log(tmp_path / "log")
    yield opened
    opened.close()


def add(log: Log, ids: list[str], *, day: int = 0, batch: str | None = None, **columns: Any) -> bool:
    """Rows of one day, an hour apart, known at its end."""
    times = [START + day * DAY + timedelta(hours=hour) for hour in range(len(ids))]
    answers = [[0.25 * (hour + 1)] for hour in range(len(ids))]
    known_at = START + (day + 1) * DAY
    return log.append_predictions(ids, times, columns, answers, version=1, known_at=known_at, batch=batch)


def arrive(log: Log, ids: list[str], *, day: int = 0, version: int = 1, **columns: Any) -> Any:
    times = [START + day * DAY + timedelta(hours=hour) for hour in range(len(ids))]
    answers = [[0.5]] * len(ids)
    return log.arrive(ids, times, columns, answers, version=version, known_at=START + (day + 1) * DAY)


def read(log: Log, **limits: Any) -> LabelledRows:
    return log.predictions(START - 400 * DAY, START + 400 * DAY, **limits)


# --- in bulk -----------------------------------------------------------------------------------------


def test_rows_come_back_as_they_were_received(log: Log) -> None:
    columns: dict[str, Any] = {
        "Wind (m/s)": np.array([1.5, np.nan, np.inf]),
        "carrier": np.array(["UA", None, "ÄÖ\n,"], dtype=object),
        "hour": np.array([7, 8, 9]),
        "holiday": np.array([True, False, True]),
        "noticed": np.array(["2013-01-01", "NaT", "2013-01-03"], dtype="datetime64[us]"),
    }
    add(log, ["a", "b", "c"], **columns)
    rows = read(log)
    assert rows.ids.tolist() == ["a", "b", "c"]
    assert rows.times.tolist() == [(START + timedelta(hours=h)).replace(tzinfo=None) for h in range(3)]
    assert rows.versions.tolist() == [1, 1, 1]
    np.testing.assert_array_equal(rows.predictions, [[0.25], [0.5], [0.75]])
    for name, column in columns.items():
        np.testing.assert_array_equal(rows.columns[name], column)
        assert rows.columns[name].dtype == column.dtype


def test_a_frame_of_pandas_is_taken_column_by_column(log: Log) -> None:
    frame = pd.DataFrame(
        {
            "level": pd.Categorical(["low", None]),
            "count": pd.array([1, None], dtype="Int64"),
            "time": pd.to_datetime(["2013-03-01 12:00+02:00", "2013-03-01 13:00+02:00"]),
        }
    )
    inputs = {name: frame[name] for name in ("level", "count")}
    log.append_predictions(["a", "b"], frame["time"], inputs, [0.5, 0.75], version=3, known_at=START)
    rows = read(log)
    assert rows.times[0] == np.datetime64("2013-03-01T10:00")
    assert rows.columns["level"].tolist() == ["low", None]
    np.testing.assert_array_equal(rows.columns["count"], [1.0, np.nan])
    assert rows.predictions.shape == (2, 1)


def test_a_window_is_half_open_and_in_the_order_of_time(log: Log) -> None:
    add(log, ["late", "later"], day=1)
    add(log, ["early"], day=0)
    assert log.predictions(START, START + DAY).ids.tolist() == ["early"]
    assert log.predictions(START, START + DAY + timedelta(hours=1)).ids.tolist() == ["early", "late"]
    assert read(log).ids.tolist() == ["early", "late", "later"]


def test_rows_of_one_moment_come_in_the_order_of_their_ids(log: Log) -> None:
    for row in ("c", "a", "b"):
        add(log, [row])
    assert read(log).ids.tolist() == ["a", "b", "c"]


def test_an_empty_log_has_no_rows_and_no_span_and_makes_no_folder(log: Log, tmp_path: Path) -> None:
    rows = read(log)
    assert len(rows) == 0
    assert rows.predictions.shape == (0, 1)
    assert rows.labelled.tolist() == []
    assert log.span() is None
    assert log.count() == 0
    assert log.events() == []
    assert not (tmp_path / "log").exists()


def test_the_span_counts_rows_of_both_stores(log: Log) -> None:
    add(log, ["a", "b"])
    arrive(log, ["c"], day=2)
    span = log.span()
    assert span is not None
    assert (span.first, span.last, span.rows) == (START, START + 2 * DAY, 3)
    assert log.count() == 3
    log.flush()
    assert log.count() == 3


def test_a_batch_lands_once(log: Log) -> None:
    assert add(log, ["a"], batch="2013-W09")
    assert not add(log, ["a"], batch="2013-W09")
    assert add(log, ["b"], batch="2013-W10")
    assert read(log).ids.tolist() == ["a", "b"]


def test_an_id_that_landed_twice_is_one_row(log: Log) -> None:
    add(log, ["a", "b"], wind=[1.0, 2.0])
    add(log, ["a"], day=3, wind=[9.0])
    rows = read(log)
    assert rows.ids.tolist() == ["a", "b"]
    assert rows.columns["wind"].tolist() == [1.0, 2.0]


def test_only_the_inputs_that_are_asked_for_are_read(log: Log) -> None:
    add(log, ["a"], wind=[1.0], gust=[2.0])
    assert list(read(log, columns=["gust"]).columns) == ["gust"]
    assert read(log, columns=()).columns == {}


def test_an_input_that_never_had_a_value_is_none_where_it_is_asked_for(log: Log) -> None:
    add(log, ["a"], wind=[None])
    assert read(log, columns=["wind"]).columns["wind"].tolist() == [None]
    assert read(log).columns == {}


def test_a_column_that_comes_later_is_missing_before(log: Log) -> None:
    add(log, ["a"], wind=[1.0])
    add(log, ["b"], day=1, gust=["strong"])
    rows = read(log)
    np.testing.assert_array_equal(rows.columns["wind"], [1.0, np.nan])
    assert rows.columns["gust"].tolist() == [None, "strong"]


def test_text_in_a_column_of_numbers_comes_back_as_text(log: Log) -> None:
    add(log, ["a"], wind=[1.0])
    add(log, ["b", "c"], day=1, wind=["strong", 2.5])
    assert read(log).columns["wind"].tolist() == [1.0, "strong", 2.5]
    np.testing.assert_array_equal(log.predictions(START, START + DAY).columns["wind"], [1.0])


def test_whole_numbers_beyond_those_that_a_double_holds_are_exact(log: Log) -> None:
    add(log, ["a", "b"], serial=[2**60 + 1, 3])
    assert read(log).columns["serial"].tolist() == [2**60 + 1, 3]


def test_names_that_differ_in_case_only_are_two_columns(log: Log) -> None:
    add(log, ["a"], Temp=[1.0], temp=[2.0])
    add(log, ["b"], day=1, temp=[4.0], Temp=[3.0])
    rows = read(log)
    assert rows.columns["Temp"].tolist() == [1.0, 3.0]
    assert rows.columns["temp"].tolist() == [2.0, 4.0]


def test_versions_with_more_outputs_are_read_beside_those_with_fewer(log: Log) -> None:
    add(log, ["a"])
    log.append_predictions(["b"], [START + DAY], {}, [[0.1, 0.9]], version=2, known_at=START + DAY)
    np.testing.assert_array_equal(read(log).predictions, [[0.25, np.nan], [0.1, 0.9]])


@pytest.mark.parametrize(
    ("ids", "times", "columns", "predictions", "message"),
    [
        (["a", "b"], [START, START], {"wind": [1.0]}, [0.5, 0.5], "'wind': 1"),
        (["a", "b"], [START], {}, [0.5, 0.5], "'times': 1"),
        (["a"], [START], {}, [0.5, 0.5], "'predictions': 2"),
        (["a", "a"], [START, START], {}, [0.5, 0.5], "2 ids, of which 1 differ"),
        (["a"], [None], {}, [0.5], "1 of 1 times are missing"),
        (["a"], [START], {}, 0.5, r"shape \(\)"),
        (["a"], [START], {"wind": np.zeros((1, 2))}, [0.5], "one dimension"),
    ],
)
def test_rows_that_do_not_fit_together_are_refused(
    log: Log, ids: Any, times: Any, columns: Any, predictions: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        log.append_predictions(ids, times, columns, predictions, version=1, known_at=START)
    assert log.span() is None


def test_a_moment_without_a_zone_is_refused_where_one_moment_is_asked_for(log: Log) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        log.append_event("verdict", {}, known_at=datetime(2013, 3, 1), author="monitor")
    with pytest.raises(ValueError, match="no time zone"):
        log.predictions(datetime(2013, 3, 1), START)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(-(2**63), 2**63 - 1),
            st.floats(allow_nan=False),
            st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_any_values_in_one_column_come_back_equal(
    tmp_path_factory: pytest.TempPathFactory, values: Any
) -> None:
    log = Log(tmp_path_factory.mktemp("any") / "log")
    add(log, [str(row) for row in range(len(values))], column=values)
    found = read(log, columns=["column"]).columns["column"].tolist()
    assert [None if value != value else value for value in found] == values


# --- labels ------------------------------------------------------------------------------------------


def test_labels_are_aligned_and_missing_where_none_is_known(log: Log) -> None:
    add(log, ["a", "b", "c"])
    log.append_labels(["c", "a", "unknown"], [3, 1, 9], known_at=START + DAY)
    rows = read(log)
    np.testing.assert_array_equal(rows.labels, [1.0, np.nan, 3.0])
    assert rows.labelled.tolist() == [True, False, True]
    assert rows.take(rows.labelled).ids.tolist() == ["a", "c"]


def test_labels_of_text_and_of_true_and_false_keep_their_type(log: Log, tmp_path: Path) -> None:
    add(log, ["a", "b"])
    log.append_labels(["a"], ["late"], known_at=START)
    assert read(log).labels.tolist() == ["late", None]
    other = Log(tmp_path / "other")
    add(other, ["a", "b"])
    other.append_labels(["a", "b"], [True, False], known_at=START)
    assert read(other).labels.tolist() == [True, False]


def test_the_latest_label_that_was_known_holds(log: Log) -> None:
    add(log, ["a"])
    log.append_labels(["a"], [2.0], known_at=START + 5 * DAY)
    log.append_labels(["a"], [1.0], known_at=START + 3 * DAY)
    assert read(log).labels.tolist() == [2.0]
    assert read(log, known_until=START + 4 * DAY).labels.tolist() == [1.0]
    assert np.isnan(read(log, known_until=START + 2 * DAY).labels).tolist() == [True]


def test_of_labels_of_one_moment_the_order_of_arrival_does_not_matter(tmp_path: Path) -> None:
    found = []
    for number, values in enumerate(([1.0, 2.0], [2.0, 1.0])):
        log = Log(tmp_path / str(number))
        add(log, ["a"])
        for value in values:
            log.append_labels(["a"], [value], known_at=START)
        found.append(read(log).labels.tolist())
    assert found[0] == found[1]


@pytest.mark.parametrize("id", ["it's", 'say "x"', "ä ö", "a=b AND c", "\\", "%", "x" * 200])
def test_ids_of_any_form_find_their_labels(log: Log, id: str) -> None:
    add(log, [id, "b"])
    log.append_labels([id], [1.0], known_at=START)
    rows = read(log)
    assert rows.take(rows.labelled).ids.tolist() == [id]


def test_a_label_may_come_before_its_row(log: Log) -> None:
    log.append_labels(["a"], [1.0], known_at=START - DAY)
    add(log, ["a"])
    assert read(log).labels.tolist() == [1.0]


def test_a_missing_label_says_nothing(log: Log) -> None:
    add(log, ["a", "b"])
    log.append_labels(["a", "b"], [1.0, None], known_at=START)
    log.append_labels(["a"], [float("nan")], known_at=START + DAY)
    np.testing.assert_array_equal(read(log).labels, [1.0, np.nan])


def test_labels_that_do_not_fit_their_ids_are_refused(log: Log) -> None:
    with pytest.raises(ValueError, match="2 ids, 1 labels"):
        log.append_labels(["a", "b"], [1.0], known_at=START)


def test_rows_that_were_not_known_yet_are_not_read(log: Log) -> None:
    add(log, ["a"], day=0)
    add(log, ["b"], day=1)
    arrive(log, ["c"], day=2)
    assert read(log, known_until=START + DAY).ids.tolist() == ["a"]
    assert read(log, known_until=START + 3 * DAY).ids.tolist() == ["a", "b", "c"]


# --- events ------------------------------------------------------------------------------------------


def test_events_come_back_in_order_with_their_payload(log: Log) -> None:
    log.append_event("decision", {"rows": np.int64(5)}, known_at=START + DAY, author="monitor")
    log.append_event("verdict", {"loss": np.nan, "names": ("a", "b")}, known_at=START, author="monitor")
    log.append_event("promotion", {"version": 2}, known_at=START + DAY, author="ann", key="v2")
    events = log.events()
    assert [event.kind for event in events] == ["verdict", "decision", "promotion"]
    assert events[0].payload == {"loss": None, "names": ["a", "b"]}
    assert events[1].payload == {"rows": 5}
    assert (events[2].author, events[2].known_at, events[2].key) == ("ann", START + DAY, "v2")
    assert [event.kind for event in log.events(known_until=START)] == ["verdict"]
    assert [event.kind for event in log.events(kind="decision")] == ["decision"]


def test_an_event_of_one_key_lands_once(log: Log) -> None:
    first = log.append_event("verdict", {"n": 1}, known_at=START, author="monitor", key="w1")
    again = log.append_event("verdict", {"n": 2}, known_at=START, author="monitor", key="w1")
    assert (first, again) == (True, False)
    assert [event.payload["n"] for event in log.events()] == [1]


APPENDER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from pipelines.log import Log

log, now = Log(Path(sys.argv[1])), datetime(2013, 3, 1, tzinfo=UTC)
log.append_event("verdict", {}, known_at=now, author=sys.argv[2], key="once")
log.append_labels([sys.argv[2]], [1.0], known_at=now)
"""


@pytest.mark.slow
def test_processes_append_at_once_and_one_key_lands_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", APPENDER, str(tmp_path / "log")]
    processes = [subprocess.Popen([*command, f"writer {number}"]) for number in range(6)]
    assert [process.wait() for process in processes] == [0] * 6
    log = Log(tmp_path / "log")
    assert len(log.events()) == 1
    add(log, [f"writer {number}" for number in range(6)])
    assert read(log).labels.tolist() == [1.0] * 6


# --- one request at a time ---------------------------------------------------------------------------


def test_rows_that_arrive_are_read_at_once_and_once_after_the_flush(log: Log) -> None:
    arrive(log, ["a", "b"], hour=[7, 8], carrier=["UA", None])
    log.arrive_labels(["b"], [1], known_at=START + DAY)
    before = read(log)
    assert log.flush() == 3
    assert log.flush() == 0
    after = read(log)
    for rows in (before, after):
        assert rows.ids.tolist() == ["a", "b"]
        assert rows.columns["hour"].tolist() == [7, 8]
        assert rows.columns["carrier"].tolist() == ["UA", None]
        np.testing.assert_array_equal(rows.labels, [np.nan, 1.0])
        assert rows.predictions.tolist() == [[0.5], [0.5]]


def test_a_reader_without_the_right_to_write_sees_what_arrived(log: Log, tmp_path: Path) -> None:
    add(log, ["a"], wind=[1.0])
    arrive(log, ["b"], day=1, wind=[2.0])
    assert read(Log(tmp_path / "log")).columns["wind"].tolist() == [1.0, 2.0]


def test_a_second_writer_of_arriving_rows_is_refused(log: Log, tmp_path: Path) -> None:
    arrive(log, ["a"])
    with pytest.raises(UserError, match="another process is writing it"):
        arrive(Log(tmp_path / "log"), ["b"])
    log.close()
    log.close()
    second = Log(tmp_path / "log")
    arrive(second, ["b"])
    second.close()


def test_an_id_that_comes_again_is_one_row_with_its_first_answer(log: Log) -> None:
    arrive(log, ["a"], wind=[1.0])
    again = log.arrive(["a"], [START], {"wind": [1.0]}, [[0.9]], version=2, known_at=START)
    assert (again.versions, again.predictions.tolist()) == ((1,), [[0.5]])
    log.flush()
    arrive(log, ["a"], wind=[1.0])
    assert log.flush() == 0
    assert len(read(log)) == 1


def test_an_id_that_comes_again_with_other_inputs_is_a_conflict_and_adds_nothing(log: Log) -> None:
    arrive(log, ["a"], wind=[1.0])
    with pytest.raises(Conflict, match="id 'a' came before with other inputs"):
        arrive(log, ["b", "a"], wind=[5.0, 2.0])
    assert read(log).ids.tolist() == ["a"]


def test_an_infinite_input_is_refused_because_json_cannot_hold_it(log: Log) -> None:
    with pytest.raises(ValueError, match="'wind' holds an infinite number"):
        arrive(log, ["a"], wind=[np.inf])


def test_rows_without_inputs_arrive_too(log: Log) -> None:
    arrive(log, ["a"])
    assert read(log).ids.tolist() == ["a"]


class Cut(Exception):
    """The process ends here."""


def test_a_flush_that_was_cut_off_after_the_tables_does_not_add_twice(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrive(log, ["a"])
    with monkeypatch.context() as patch:
        patch.setattr("pipelines.arriving.Arriving.forget", _cut)
        with pytest.raises(Cut):
            log.flush()
    arrive(log, ["b"], day=1)
    assert read(log).ids.tolist() == ["a", "b"]
    assert log.flush() == 1
    assert read(log).ids.tolist() == ["a", "b"]


def test_a_flush_that_was_cut_off_before_the_tables_is_done_again(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrive(log, ["a"])
    with monkeypatch.context() as patch:
        patch.setattr("pipelines.delta.Table.append", _cut)
        with pytest.raises(Cut):
            log.flush()
    arrive(log, ["b"], day=1)
    assert read(log).ids.tolist() == ["a", "b"]
    assert log.flush() == 2
    assert read(log).ids.tolist() == ["a", "b"]


def _cut(*_: Any, **options: Any) -> None:
    raise Cut


def test_rows_of_long_ago_are_forgotten_in_sqlite_only(log: Log) -> None:
    arrive(log, ["a"], day=0)
    log.flush()
    arrive(log, ["b"], day=9)
    log.flush()
    arrive(log, ["a"], day=10)
    assert log.flush() == 1
    assert read(log).ids.tolist() == ["a", "b"]


def test_a_reader_beside_whom_rows_land_and_are_deleted_reads_anew(
    log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrive(log, ["a"])
    log.flush()
    reader = Log(tmp_path / "log")
    for ask, expected in (
        (lambda: read(reader).ids.tolist(), ["a", "b"]),
        (reader.count, 3),
        (lambda: reader.names_of_rows("id", {"a", "d"}), {"a", "d"}),
    ):
        arrive(log, ["abcd"[reader.count()]], day=1)
        late = iter([1])

        def before(path: Path, *asked: Any, late: Iterator[int] = late, **limits: Any) -> Any:
            if next(late, None):
                log.flush()  # what waited a moment ago has landed, and is gone here
            return waiting.waiting_rows(path, *asked, **limits)

        def count(path: Path, landed: int, late: Iterator[int] = late, **gaps: Any) -> int:
            if next(late, None):
                log.flush()
            return waiting.waiting_count(path, landed, **gaps)

        with monkeypatch.context() as patch:
            patch.setattr("pipelines.log.waiting_rows", before)
            patch.setattr("pipelines.log.waiting_count", count)
            assert ask() == expected


def test_who_never_comes_in_time_is_told_so(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> Any:
        raise waiting.Forgotten(next(looks))

    looks = itertools.count()
    arrive(log, ["a"])
    log.flush()
    monkeypatch.setattr("pipelines.log.waiting_rows", never)
    with pytest.raises(Failed, match="rows land more quickly than they are read"):
        read(log)


def test_tables_put_back_from_a_backup_are_read_with_what_is_there(
    log: Log, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arrive(log, ["a"])
    log.flush()
    shutil.copytree(tmp_path / "log" / "predictions", tmp_path / "backup")
    arrive(log, ["b"], day=1)
    log.flush()
    arrive(log, ["late"], day=20)  # of the batch of b nothing is kept for a retry any more
    log.flush()
    arrive(log, ["waits"], day=20)
    shutil.rmtree(tmp_path / "log" / "predictions")
    (tmp_path / "backup").rename(tmp_path / "log" / "predictions")
    reader = Log(tmp_path / "log")
    assert read(reader).ids.tolist() == ["a", "late", "waits"]
    assert (reader.count(), reader.names_of_rows("id", {"b", "waits"})) == (3, {"waits"})
    (told,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "older than arriving.db" in told


WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from pipelines.log import Log

log, start = Log(Path(sys.argv[1])), datetime(2013, 3, 1, tzinfo=UTC)
for number in range(100_000):
    log.arrive([f"{number:06d}"], [start], {"wind": [1.0]}, [[0.5]], version=1, known_at=start)
    print(f"{number:06d}", flush=True)
    if number % 50 == 49:
        log.flush()
"""


@pytest.mark.slow
def test_a_row_that_was_acknowledged_survives_the_kill_of_its_process(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    for wait in (0.2, 0.5):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            acknowledged.append(process.stdout.readline().strip())
            time.sleep(wait)
            os.kill(process.pid, signal.SIGKILL)
            acknowledged += process.stdout.read().split()
    found = read(Log(tmp_path / "log")).ids.tolist()
    assert set(acknowledged) <= set(found)
    assert len(found) == len(set(found))
    reopened = Log(tmp_path / "log")
    reopened.flush()
    assert read(reopened).ids.tolist() == found
    reopened.close()


# --- the store ---------------------------------------------------------------------------------------


def test_a_log_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "version").write_text("7\n")
    with pytest.raises(UserError, match=r"a log of version '7', and this losswatch reads version '1'"):
        Log(tmp_path)


def test_a_log_without_its_version_is_refused(log: Log, tmp_path: Path) -> None:
    add(log, ["a"])
    (tmp_path / "log" / "version").unlink()
    with pytest.raises(UserError, match="a log without its file 'version'"):
        Log(tmp_path / "log")


def test_an_address_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a folder on this machine"):
        Log(Path("s3://bucket/log"))


def test_other_engines_read_one_type_to_a_column(log: Log, tmp_path: Path) -> None:
    add(log, ["a", "b"], wind=[1.0, "strong"], hour=[7, 8])
    add(log, ["c"], day=1, wind=[2.0], hour=[9])
    table = DeltaTable(tmp_path / "log" / "predictions").to_pyarrow_dataset().to_table()
    types = {field.name: str(field.type) for field in table.schema}
    assert types["input_hour"] == "double"
    assert types["time"] == "timestamp[us, tz=UTC]"
    assert sorted(table["input_hour"].to_pylist()) == [7.0, 8.0, 9.0]


def test_many_appends_are_joined_into_few_files_and_nothing_changes(
    log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.delta._MANY_FILES", 4)
    log = Log(tmp_path / "log")
    for day in range(9):
        add(log, [f"row {day}"], day=day, wind=[float(day)])
    files = DeltaTable(tmp_path / "log" / "predictions").file_uris()
    assert len(files) <= 5
    assert read(log).columns["wind"].tolist() == [float(day) for day in range(9)]
    assert not add(log, ["again"], batch=None) or len(read(log)) == 10
    log.compact()
    assert len(DeltaTable(tmp_path / "log" / "predictions").file_uris()) == 1
    assert len(read(log)) == 10


def test_appending_does_not_import_pandas(tmp_path: Path) -> None:
    code = (
        "import sys; from datetime import UTC, datetime; from pathlib import Path\n"
        "from pipelines.log import Log\n"
        "log, now = Log(Path(sys.argv[1])), datetime(2013, 3, 1, tzinfo=UTC)\n"
        "log.arrive(['a'], [now], {'wind': [1.0], 'carrier': ['UA']}, [[0.5]], version=1, known_at=now)\n"
        "log.arrive_labels(['a'], [1], known_at=now)\n"
        "log.append_event('verdict', {'n': 1}, known_at=now, author='monitor', key='k')\n"
        "assert log.flush() == 2\n"
        "assert 'pandas' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "log")], check=True)


# --- a part at a time -----------------------------------------------------------------------------------


def whole(parts: list[LabelledRows]) -> dict[str, Any]:
    """Parts laid side by side."""
    named = {"ids", "times", "known_at", "versions", "predictions", "labels", "labelled_at", "keys"}
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in sorted(named)}
    return joined | {
        f"column {name}": np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns
    }


def test_parts_are_the_rows_in_their_order(log: Log) -> None:
    for day in (3, 1, 2):
        add(log, [f"{day} {hour}" for hour in range(9)], day=day, wind=np.arange(9.0) + day)
    log.append_labels([f"2 {hour}" for hour in range(5)], np.arange(5.0), known_at=START)
    arrive(log, ["w 0", "w 1", "w 2"], day=2, wind=[7.0, 8.0, 9.0])
    add(log, ["1 0", "3 8"], day=5, wind=[99.0, 98.0])  # came before, and are known
    add(log, ["2 1"], day=0, wind=[97.0])  # known before
    every, asked = read(log), (START - DAY, START + 9 * DAY)
    parts = list(log.parts(*asked, rows=4))
    assert len(parts) > 6
    assert max(map(len, parts)) <= 5
    for name, values in whole([every]).items():
        np.testing.assert_array_equal(whole(parts)[name], values)
    assert len(list(log.parts(*asked))) == 1
    limited = {"known_until": START + 3 * DAY, "columns": ["wind"]}
    np.testing.assert_array_equal(
        whole(list(log.parts(*asked, rows=4, **limited)))["ids"], log.predictions(*asked, **limited).ids
    )


def test_there_is_one_part_where_there_is_no_row(log: Log) -> None:
    assert [len(part) for part in log.parts(START, START + DAY)] == [0]


def test_rows_of_one_moment_stay_together(log: Log) -> None:
    log.append_predictions(list("abcdef"), [START] * 6, {}, [0.5] * 6, version=1, known_at=START)
    add(log, ["g", "h"], day=1)
    assert [part.ids.tolist() for part in log.parts(START, START + 2 * DAY, rows=2)] == [
        list("abcdef"),
        ["g", "h"],
    ]


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 12), st.integers(0, 30), st.integers(0, 9)),
        min_size=1,
        max_size=40,
        unique=True,
    ),
    size=st.integers(1, 7),
)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_came_twice_and_when_parts_are_the_same_rows(
    rows: list[tuple[int, int, int]], size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    log = Log(tmp_path_factory.mktemp("parts") / "log")
    for id, minute, known in rows:
        log.append_predictions(
            [str(id)],
            [START + timedelta(minutes=minute)],
            {"x": [minute]},
            [0.5],
            version=1,
            known_at=START + known * DAY,
        )
    parts = list(log.parts(START, START + DAY, rows=size))
    for name, values in whole([log.predictions(START, START + DAY)]).items():
        np.testing.assert_array_equal(whole(parts)[name], values)


# --- columns that come later --------------------------------------------------------------------------------


def test_rows_of_before_a_column_came_have_it_missing(log: Log) -> None:
    add(log, ["a", "b"], day=0, wind=[1.0, 2.0])
    arrive(log, ["c"], day=1, wind=[3.0])
    arrive(log, ["d"], day=2, wind=[4.0], gust=[5.0], carrier=["UA"])
    log.flush()
    arrive(log, ["e"], day=3, gust=[6.0], carrier=[None], holiday=[True])
    for _ in range(2):
        rows = read(log)
        np.testing.assert_array_equal(rows.columns["wind"], [1.0, 2.0, 3.0, 4.0, np.nan])
        np.testing.assert_array_equal(rows.columns["gust"], [np.nan, np.nan, np.nan, 5.0, 6.0])
        assert rows.columns["carrier"].tolist() == [None, None, None, "UA", None]
        assert rows.columns["holiday"].tolist() == [None, None, None, None, True]
        log.flush()
        log.compact()
