"""The file of arriving rows: one writer, any reader, whole requests."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from pipelines.arriving import (
    Arrival,
    Arriving,
    ArrivingLabel,
    ArrivingRow,
    Busy,
    Conflict,
    PackedRow,
    waiting_labels,
    waiting_rows,
)
from pipelines.errors import UserError

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


def _made(id: str, known_at: int) -> Arrival:
    return Arrival([PackedRow(id, 10, known_at, 1, b"[0.5]", b"{}", "")], own=False)


def test_requests_that_come_together_are_one_commit_and_have_an_answer_each(
    arriving: Arriving, tmp_path: Path
) -> None:
    arriving.add([ROW])
    again = PackedRow("a", 10, 21, 2, b"[0.7]", b'{"carrier":null,"wind":1.5}', "")
    answers = arriving.add_together(
        [
            _made("b", 20),
            Arrival([again._replace(id="c"), again._replace(inputs=b"{}")], own=True),
            Arrival([again], own=True),
        ]
    )
    assert [row.id for row in waiting_rows(tmp_path / "arriving.db", 0)] == ["a", "b"]
    assert isinstance(answers[1], Conflict)
    assert answers[2] == [PackedRow("a", 10, 20, 1, b"[0.5]", again.inputs, "127.0.0.1")]


def test_an_id_that_comes_twice_in_one_group_is_one_row(arriving: Arriving, tmp_path: Path) -> None:
    row = PackedRow("a", 10, 20, 1, b"[0.5]", b"{}", "")
    answers = arriving.add_together([Arrival([row], own=True), Arrival([row._replace(time=11)], own=True)])
    assert answers == [[row], [row]]
    assert len(waiting_rows(tmp_path / "arriving.db", 0)) == 1


def test_who_does_not_want_to_wait_for_another_thread_is_told(arriving: Arriving) -> None:
    with arriving._transaction(), pytest.raises(Busy):
        arriving.add_together([_made("a", 1)], wait=False)
    arriving.add_together([_made("a", 1)], wait=False)


def test_many_rows_are_moved_in_several_batches(arriving: Arriving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.arriving._BATCH", 4)
    arriving.add([replace(ROW, id=str(number)) for number in range(10)])
    batches = arriving.to_move("rows", 0)
    assert [[row.id for row in arriving.rows(batch)] for batch in batches] == [
        ["0", "1", "2", "3"],
        ["4", "5", "6", "7"],
        ["8", "9"],
    ]


def test_moved_rows_go_when_no_reader_and_no_client_can_want_them(
    arriving: Arriving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.arriving._CHUNK", 3)
    minute = 60 * 1_000_000

    def kept() -> list[str]:
        return [id for (id,) in arriving._connection.execute("SELECT id FROM rows ORDER BY number")]

    for number in range(8):
        arriving.add_together([_made(f"made {number}", number * minute)])
        arriving.add([replace(ROW, id=f"own {number}", known_at=number * minute)])
    assert arriving.to_move("rows", 0) == (1,)
    arriving.add_together([_made("last", 15 * minute)])
    arriving.forget("rows", 0)
    assert len(kept()) == 17
    arriving.forget("rows", 1)
    left = [f"own {number}" for number in range(5)]
    assert kept() == [*left, *(f"{who} {n}" for n in (5, 6, 7) for who in ("made", "own")), "last"]
    arriving.add_together([_made("next day", 24 * 60 * minute + 6 * minute)])
    arriving.forget("rows", 1)
    assert kept() == ["own 6", "own 7", "last", "next day"]


def test_numbers_go_on_after_everything_was_moved_and_forgotten(tmp_path: Path) -> None:
    first = Arriving(tmp_path)
    first.add_together([_made("a", 1)])
    first.to_move("rows", 0)
    first._connection.execute("DELETE FROM rows")
    first.close()
    second = Arriving(tmp_path)
    second.add_together([_made("b", 2)])
    assert [row.id for row in waiting_rows(tmp_path / "arriving.db", 1)] == ["b"]
    assert second.to_move("rows", 1) == (2,)
    assert [row.id for row in second.rows(2)] == ["b"]
    second.close()


def test_a_file_that_is_removed_while_it_is_written_takes_no_more_rows(
    arriving: Arriving, tmp_path: Path
) -> None:
    arriving.add([ROW])
    (tmp_path / "arriving.db").rename(tmp_path / "elsewhere")
    with pytest.raises(sqlite3.OperationalError, match="removed or replaced"):
        arriving.add([replace(ROW, id="b")])
    (tmp_path / "elsewhere").rename(tmp_path / "arriving.db")
    arriving.add([replace(ROW, id="b")])


def test_a_damaged_file_is_refused_at_the_start(tmp_path: Path) -> None:
    first = Arriving(tmp_path)
    first.add([replace(ROW, id=str(number), caller="x" * 3000) for number in range(50)])
    first.close()
    with (tmp_path / "arriving.db").open("r+b") as file:
        file.seek(5 * 4096)
        file.write(b"\xff" * 4096)
    with pytest.raises(UserError, match=r"arriving.db: damaged \(.*\). Restore the log from a backup"):
        Arriving(tmp_path)
    (tmp_path / "arriving.db").write_bytes(b"nothing of the kind" * 500)
    with pytest.raises(UserError, match="not a database"):
        Arriving(tmp_path)


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
