"""A table that several processes extend."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake.exceptions import CommitFailedError

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
        patch.setattr(Table, "compact", failing)
        for id in ("a", "b", "c"):
            assert table.append(one(id))
    assert "could not be compacted now" in caplog.text
    assert table.append(one("d"))
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
    assert joined in synced
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
    assert set(later.files()) < set(synced)


def test_a_commit_of_which_power_took_the_content_counts_as_none(tmp_path: Path) -> None:
    table = Table(tmp_path / "table", FIELDS)
    table.append(one("a"), ("server", 1))
    table.append(one("b"), ("server", 2))
    max((tmp_path / "table" / "_delta_log").glob("*.json")).write_bytes(b"")
    after = Table(tmp_path / "table", FIELDS)
    assert (after.landed("server"), ids(after)) == (1, ["a"])
    assert after.append(one("b"), ("server", 2))
    assert ids(after) == ["a", "b"]
