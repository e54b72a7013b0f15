"""The file of arriving rows: one writer, any reader, whole requests."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from pipelines.arriving import Arriving, ArrivingLabel, ArrivingRow, Conflict, waiting_labels, waiting_rows

ROW = ArrivingRow("a", 10, 20, 1, (0.5,), {"wind": 1.5, "carrier": None}, "127.0.0.1")


@pytest.fixture
def arriving(tmp_path: Path) -> Iterator[Arriving]:
    opened = Arriving(tmp_path)
    yield opened
    opened.close()


def test_rows_wait_until_their_batch_has_landed(arriving: Arriving, tmp_path: Path) -> None:
    path = tmp_path / "arriving.db"
    arriving.add([ROW])
    assert arriving.to_move("rows", 4) == (5,)
    assert arriving.rows(5) == (ROW,)
    arriving.add([replace(ROW, id="b")])
    assert [row.id for row in waiting_rows(path, 4)] == ["a", "b"]
    assert [row.id for row in waiting_rows(path, 5)] == ["b"]
    assert arriving.to_move("rows", 4) == (5, 6)
    assert arriving.to_move("rows", 6) == ()


def test_a_reader_may_ask_for_a_part(arriving: Arriving, tmp_path: Path) -> None:
    path = tmp_path / "arriving.db"
    arriving.add([ROW, replace(ROW, id="b", time=11, known_at=21)])
    assert [row.id for row in waiting_rows(path, 0, start=10, end=11)] == ["a"]
    assert [row.id for row in waiting_rows(path, 0, known_until=20)] == ["a"]


def test_labels_wait_in_the_order_in_which_they_came(arriving: Arriving, tmp_path: Path) -> None:
    labels = (ArrivingLabel("a", 1.5, 20), ArrivingLabel("a", "late", 21), ArrivingLabel("b", True, 22))
    arriving.add_labels(labels)
    assert waiting_labels(tmp_path / "arriving.db", 0) == labels
    assert waiting_labels(tmp_path / "arriving.db", 0, known_until=20) == labels[:1]
    assert arriving.to_move("labels", 0) == (1,)
    assert arriving.labels(1) == labels


def test_a_request_comes_in_whole_or_not_at_all(arriving: Arriving, tmp_path: Path) -> None:
    arriving.add([ROW])
    with pytest.raises(Conflict):
        arriving.add([replace(ROW, id="b"), replace(ROW, inputs={})])
    assert waiting_rows(tmp_path / "arriving.db", 0) == (ROW,)


def test_the_order_of_inputs_does_not_make_another_row(arriving: Arriving) -> None:
    arriving.add([ROW])
    again = replace(ROW, version=2, inputs=dict(reversed(list(ROW.inputs.items()))))
    assert arriving.add([again]) == (ROW,)


def test_a_full_disk_leaves_no_half_request_and_the_next_one_comes_in(
    arriving: Arriving, tmp_path: Path
) -> None:
    pages = arriving._connection.execute("PRAGMA page_count").fetchone()[0]
    arriving._connection.execute(f"PRAGMA max_page_count = {pages}")
    large = [replace(ROW, id=str(number), caller="x" * 1000) for number in range(50)]
    with pytest.raises(sqlite3.OperationalError, match="full"):
        arriving.add(large)
    assert waiting_rows(tmp_path / "arriving.db", 0) == ()
    arriving._connection.execute("PRAGMA max_page_count = 100000")
    assert len(arriving.add(large)) == 50


def test_without_a_file_or_its_tables_nothing_waits(tmp_path: Path) -> None:
    assert waiting_rows(tmp_path / "arriving.db", 0) == ()
    (tmp_path / "arriving.db").touch()
    assert waiting_labels(tmp_path / "arriving.db", 0) == ()


@pytest.mark.parametrize(("synchronous", "level"), [("NORMAL", 1), ("FULL", 2)])
def test_how_safe_a_commit_is_can_be_chosen(
    synchronous: Literal["NORMAL", "FULL"], level: int, tmp_path: Path
) -> None:
    arriving = Arriving(tmp_path, synchronous=synchronous)
    assert arriving._connection.execute("PRAGMA synchronous").fetchone() == (level,)
    assert arriving._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    arriving.close()
