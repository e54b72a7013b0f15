"""A table that several processes extend."""

from __future__ import annotations

import functools
import os
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from deltalake.exceptions import CommitFailedError
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import delta
from pipelines.delta import Table

FIELDS = pa.schema([pa.field("id", pa.string())])


def one(id: str) -> Any:
    return lambda schema, number: pa.table({"id": [id]}, schema=FIELDS)


def _given(row: Any, schema: Any, number: int) -> Any:
    return row


def ids(table: Table) -> list[str]:
    found, _ = table.read([])
    return sorted(found["id"].to_pylist())


def test_an_append_that_loses_a_race_is_done_again_on_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, failures, write = Table(tmp_path / "table", FIELDS), [1, 1], delta._write

    def failing(*arguments: Any) -> None:
        if failures:
            failures.pop()
            raise CommitFailedError("another process was faster")
        write(*arguments)

    monkeypatch.setattr(delta, "_write", failing)
    assert table.append(one("a"))
    assert ids(table) == ["a"]


def test_an_append_that_always_loses_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any) -> None:
        raise CommitFailedError("another process was faster")

    monkeypatch.setattr(delta, "_write", failing)
    with pytest.raises(CommitFailedError):
        Table(tmp_path / "table", FIELDS).append(one("a"))


def test_two_writers_that_add_the_same_column_agree_on_it(tmp_path: Path) -> None:
    first, second = Table(tmp_path / "table", FIELDS), Table(tmp_path / "table", FIELDS)
    wider = FIELDS.append(pa.field("wind", pa.float64()))
    for table, id in ((first, "a"), (second, "b")):
        row = pa.table({"id": [id], "wind": [1.0]}, schema=wider)
        table.append(functools.partial(_given, row))
    assert first.schema.names == second.schema.names == ["id", "wind"]
    assert ids(first) == ids(second) == ["a", "b"]


def test_a_mark_lands_with_its_rows_and_larger_numbers_only(tmp_path: Path) -> None:
    table = Table(tmp_path / "table", FIELDS)
    assert table.landed("server") == 0
    assert table.append(one("a"), ("server", 2))
    assert not table.append(one("b"), ("server", 2))
    assert not table.append(one("b"), ("server", 1))
    assert table.append(one("c"), ("server", 3))
    assert (table.landed("server"), table.landed("other")) == (3, 0)
    assert table.read([], mark="server")[1] == 3
    assert ids(table) == ["a", "c"]


def test_a_compaction_that_loses_a_race_is_left_for_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(_: Table) -> None:
        raise CommitFailedError("another process was faster")

    monkeypatch.setattr(delta, "_MANY_FILES", 2)
    table = Table(tmp_path / "table", FIELDS)
    with monkeypatch.context() as patch:
        patch.setattr(Table, "_compact", failing)
        for id in ("a", "b", "c"):
            assert table.append(one(id))
    assert "could not be compacted now" in caplog.text
    assert table.append(one("d"))
    assert ids(table) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(("large", "files"), [("", 1), ("_LARGE_BYTES", 4), ("_LARGE_ROWS", 4)])
def test_only_small_files_make_a_process_join_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: str, files: int
) -> None:
    monkeypatch.setattr(delta, "_MANY_FILES", 4)
    if large:
        monkeypatch.setattr(delta, large, 1)
    compactions = []
    compact = Table._compact

    def noted(table: Table) -> None:
        compactions.append(table)
        compact(table)

    monkeypatch.setattr(Table, "_compact", noted)
    for id in ("a", "b", "c", "d"):
        assert Table(tmp_path / "table", FIELDS).append(one(id))
    table = Table(tmp_path / "table", FIELDS)
    assert len(table.files()) == files
    assert len(compactions) == (0 if large else 1)
    assert ids(table) == ["a", "b", "c", "d"]


def test_a_table_that_is_not_there_has_nothing_to_compact(tmp_path: Path) -> None:
    Table(tmp_path / "table", FIELDS).compact()
    assert not (tmp_path / "table").exists()


def test_what_is_durable_is_on_disk_before_the_call_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []

    def noted(path: Path) -> None:
        assert path.exists()
        synced.append(path.relative_to(tmp_path).as_posix())

    monkeypatch.setattr(delta, "sync", noted)
    Table(tmp_path / "quick", FIELDS).append(one("a"))
    assert synced == []
    table = Table(tmp_path / "table", FIELDS, durable=True)
    table.append(one("a"))
    (rows,) = [path.name for path in (tmp_path / "table").glob("*.parquet")]
    first, second = (f"table/_delta_log/{version:020d}.json" for version in range(2))
    folders = ["table", "table/_delta_log", "."]
    assert synced == [first, *folders, f"table/{rows}", second, *folders]


def test_a_compaction_that_is_durable_is_on_disk_before_its_files_take_the_place_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = Table(tmp_path / "table", FIELDS, durable=True)
    table.append(one("a"))
    table.append(one("b"))
    synced: list[Path] = []
    monkeypatch.setattr(delta, "sync", synced.append)
    table.compact()
    (joined,) = table.files()
    assert Path(joined) in synced
    assert ids(table) == ["a", "b"]


def test_what_a_killed_process_left_is_settled_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Table(tmp_path / "table", FIELDS).append(one("a"))
    synced: list[Path] = []
    monkeypatch.setattr(delta, "sync", synced.append)
    Table(tmp_path / "table", FIELDS).settle()
    assert synced == []
    later = Table(tmp_path / "table", FIELDS, durable=True)
    later.settle()
    assert {Path(file) for file in later.files()} < set(synced)


def test_a_commit_of_which_power_took_the_content_counts_as_none(tmp_path: Path) -> None:
    table = Table(tmp_path / "table", FIELDS)
    table.append(one("a"), ("server", 1))
    table.append(one("b"), ("server", 2))
    max((tmp_path / "table" / "_delta_log").glob("*.json")).write_bytes(b"")
    after = Table(tmp_path / "table", FIELDS)
    assert (after.landed("server"), ids(after)) == (1, ["a"])
    assert after.append(one("b"), ("server", 2))
    assert ids(after) == ["a", "b"]


# --- rows that go ---


TIMES = pa.schema([pa.field("id", pa.string()), pa.field("time", pa.timestamp("us", "UTC"))])
START = datetime(2013, 3, 1, tzinfo=UTC)


def days(table: Table, *, since: int = 0, until: int = 4) -> Table:
    """A table with a row for each day."""
    for day in range(since, until):
        row = pa.table({"id": [f"day {day}"], "time": [START + timedelta(days=day)]}, schema=TIMES)
        table.append(functools.partial(_given, row), ("days", day + 1))
    return table


def on_disk(folder: Path, text: str) -> list[str]:
    """Where a text is found in any file under a folder: in rows and in what is said of them."""
    found = []
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        held = str(parquet.read_table(path).to_pylist()) if path.suffix == ".parquet" else path.read_text()
        found += [path.name] * (text in held)
    return found


def test_rows_are_removed_by_name_and_marks_stay(tmp_path: Path) -> None:
    table = days(Table(tmp_path / "table", TIMES))
    assert table.delete([("id", "in", ["day 1", "day 3", "it's another"])], along="time") == 2
    assert ids(table) == ids(Table(tmp_path / "table", TIMES)) == ["day 0", "day 2"]
    assert table.landed("days") == 4
    assert table.delete([("id", "in", [])], along="time") == 0
    assert table.delete([("no such column", "in", ["a"])], along="time") == 0
    assert Table(tmp_path / "none", TIMES).delete([("id", "in", ["a"])], along="time") == 0


def test_rows_of_before_a_moment_are_removed_but_those_that_are_named(tmp_path: Path) -> None:
    table = days(Table(tmp_path / "table", TIMES))
    table.compact()
    but = [("id", "not in", ["day 0"]), ("no such column", "not in", ["a"])]
    assert table.delete([("time", "<", START + timedelta(days=2)), *but], along="time") == 1
    assert ids(table) == ["day 0", "day 2", "day 3"]
    assert table.delete([("time", "<", START + timedelta(days=3))], along="time") == 2
    assert ids(table) == ["day 3"]
    assert table.delete([("time", "<", START + timedelta(days=9))], along="time") == 1
    assert ids(table) == ids(Table(tmp_path / "table", TIMES)) == []
    days(table, since=4, until=6)
    assert ids(table) == ["day 4", "day 5"]


def test_files_that_do_not_reach_into_the_time_of_what_goes_stay_as_they_are(tmp_path: Path) -> None:
    table = days(Table(tmp_path / "table", TIMES))
    before = set(table.files())
    assert table.delete([("id", "in", ["day 1"])], along="time") == 1
    assert len(before - set(table.files())) == 1
    assert set(table.files()) < before


def test_what_is_left_can_be_filtered_like_any_row(tmp_path: Path) -> None:
    table = Table(tmp_path / "table", TIMES)
    rows = pa.table({"id": ["a", "b", None, "d"], "time": [START] * 4}, schema=TIMES)
    table.append(functools.partial(_given, rows))
    assert table.delete([("id", "in", ["a"])], along="time") == 1
    assert [len(table.read([("id", sign, value)])[0]) for sign, value in (("in", ["b"]), ("=", "d"))] == [
        1,
        1,
    ]
    assert parquet.read_schema(table.files()[0]) == TIMES


@given(
    st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=5), min_size=1, max_size=6),
    st.sets(st.integers(0, 30)),
)
@settings(max_examples=15)
def test_whatever_is_removed_all_else_stays(parts: list[list[int]], gone: set[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        table = Table(Path(folder) / "table", TIMES)
        for numbers in parts:
            times = [START + timedelta(milliseconds=number / 7) for number in numbers]
            rows = pa.table({"id": [str(number) for number in numbers], "time": times}, schema=TIMES)
            table.append(functools.partial(_given, rows))
        every = [number for numbers in parts for number in numbers]
        removed = table.delete([("id", "in", sorted(map(str, gone)))], along="time")
        left = sorted(str(number) for number in every if number not in gone)
        assert (removed, ids(table)) == (len(every) - len(left), left)


def test_after_a_purge_nothing_on_disk_holds_a_removed_row(tmp_path: Path) -> None:
    folder = tmp_path / "table"
    table = days(Table(folder, TIMES))
    (left,) = [path for path in table.files() if "day 1" in str(parquet.read_table(path)["id"])]
    (folder / "part-of-a-killed-process.parquet").write_bytes(Path(left).read_bytes())
    table.delete([("id", "in", ["day 1"])], along="time")
    assert len(on_disk(folder, "day 1")) == 3  # the first file, what was said of it, and what was left
    table.purge()
    assert on_disk(folder, "day 1") == []
    assert ids(table) == ids(Table(folder, TIMES)) == ["day 0", "day 2", "day 3"]
    days(table, since=4, until=6)
    assert Table(folder, TIMES).landed("days") == 6
    Table(tmp_path / "none", TIMES).purge()


def test_a_reader_whose_files_are_purged_reads_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = days(Table(tmp_path / "table", TIMES))
    reader = Table(tmp_path / "table", TIMES)
    chosen = []

    def late(schema: Any) -> list[str]:
        if not chosen:  # between the look at the table and the reading of its files
            table.delete([("id", "in", ["day 1"])], along="time")
            table.purge()
        chosen.append(1)
        return list(schema.names)

    found, _ = reader.read([], late)
    assert sorted(found["id"].to_pylist()) == ["day 0", "day 2", "day 3"]
    days(table, since=4, until=5)
    assert len(ids(reader)) == 4


def test_a_compaction_removes_what_a_killed_process_left_long_ago(tmp_path: Path) -> None:
    table = days(Table(tmp_path / "table", TIMES))
    for name, age in (("old", 2), ("new", 0)):
        left = tmp_path / "table" / f"{name}.parquet"
        left.write_bytes(b"half a file")
        os.utime(left, (time.time() - age * 86_400,) * 2)
    table.compact()
    assert not (tmp_path / "table" / "old.parquet").exists()
    assert (tmp_path / "table" / "new.parquet").exists()


@pytest.mark.slow
def test_the_list_of_commits_does_not_grow_for_ever(tmp_path: Path) -> None:
    table = Table(tmp_path / "table", FIELDS)
    log = tmp_path / "table" / "_delta_log"
    for number in range(105):
        table.append(one(str(number)))
    for path in log.glob("*.json"):
        os.utime(path, (time.time() - 3 * 86_400,) * 2)
    for number in range(105, 205):
        table.append(one(str(number)))
    assert len(list(log.glob("*.json"))) < 140
    assert len(ids(Table(tmp_path / "table", FIELDS))) == 205
