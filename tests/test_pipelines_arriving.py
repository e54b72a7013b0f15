"""The file of arriving rows: one writer, any reader, whole requests."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from pipelines.arrival import (
    COLUMNS,
    Arrival,
    ArrivingLabel,
    ArrivingRow,
    Busy,
    Conflict,
    Stored,
    ids_from,
    packed,
    unpacked,
)
from pipelines.arriving import Arriving
from pipelines.errors import UserError
from pipelines.waiting import (
    Forgotten,
    moving_labels,
    moving_rows,
    rows_with,
    waiting_batches,
    waiting_count,
    waiting_labels,
    waiting_rows,
)

ROW = ArrivingRow("a", 10, 20, 1, (0.5,), {"wind": 1.5, "carrier": None}, "127.0.0.1")


@pytest.fixture
def arriving(tmp_path: Path) -> Iterator[Arriving]:
    opened = Arriving(tmp_path)
    yield opened
    opened.close()


def test_rows_wait_until_their_batch_has_landed(arriving: Arriving, tmp_path: Path) -> None:
    path = tmp_path / "arriving.db"
    arriving.add([ROW])
    assert arriving.to_move("requests", 4) == (5,)
    moved = moving_rows(path, 5)
    assert (moved.ids, moved.times, moved.predictions) == (["a"], [10], [[0.5]])
    assert moved.known_at.astype(int).tolist() == [20]
    assert (moved.versions.tolist(), moved.callers) == ([1], ["127.0.0.1"])
    assert moved.columns == {"carrier": [None], "wind": [1.5]}
    assert waiting_batches(path, "requests", 4) == (5,)
    arriving.add([replace(ROW, id="b")])
    assert [row.id for row in waiting_rows(path, 4)] == ["a", "b"]
    assert [row.id for row in waiting_rows(path, 5)] == ["b"]
    assert arriving.to_move("requests", 4) == (5, 6)
    assert arriving.to_move("requests", 6) == ()


def test_rows_come_in_while_others_are_parted_into_batches(
    arriving: Arriving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arriving.add([ROW])

    def slowly(*asked: Any) -> bool:
        arriving.add([replace(ROW, id="b")])  # waits for ever where the writer is held
        return False

    monkeypatch.setattr("pipelines.arriving._none_between", slowly)
    assert arriving.to_move("requests", 0) == (1,)
    assert moving_rows(tmp_path / "arriving.db", 1).ids == ["a"]
    assert [row.id for row in waiting_rows(tmp_path / "arriving.db", 1)] == ["b"]


def test_two_that_part_rows_into_batches_at_once_take_each_row_once(
    arriving: Arriving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arriving.add([ROW])
    inside: list[tuple[int, ...]] = []

    def meanwhile(*asked: Any) -> bool:
        monkeypatch.undo()
        inside.append(arriving.to_move("requests", 0))
        return False

    monkeypatch.setattr("pipelines.arriving._none_between", meanwhile)
    assert (arriving.to_move("requests", 0), inside) == ((1,), [(1,)])


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
    assert moving_labels(tmp_path / "arriving.db", 1) == labels


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
    return Arrival([id], [10], [[0.5]], {}, known_at, 1, "", own=False)


def _server_made(start: str, rows: int, times: list[int] | None = None) -> Arrival:
    """Rows to which the server gave their ids, and their times where none are said."""
    columns: dict[str, list[Any]] = {"wind": [1.5 + row for row in range(rows)]}
    answers, ids = [[0.5 + row] for row in range(rows)], ids_from(start, rows)
    return Arrival(ids, times or [20] * rows, answers, columns, 20, 1, "", own=False, start=start)


def _own(*ids: str, wind: float = 1.5, prediction: float = 0.7) -> Arrival:
    columns: dict[str, list[Any]] = {"carrier": [None] * len(ids), "wind": [wind] * len(ids)}
    return Arrival(ids, [10] * len(ids), [[prediction]] * len(ids), columns, 21, 2, "", own=True)


def test_requests_that_come_together_are_one_commit_and_have_an_answer_each(
    arriving: Arriving, tmp_path: Path
) -> None:
    arriving.add([ROW])
    answers = arriving.add_together([_made("b", 20), _own("c", "a", wind=9.0), _own("d", "a")])
    assert [row.id for row in waiting_rows(tmp_path / "arriving.db", 0)] == ["a", "b", "d"]
    assert answers[0] is None
    assert isinstance(answers[1], Conflict)
    assert answers[2] == Stored([[0.7], [0.5]], [2, 1])


def test_an_id_that_comes_twice_in_one_group_is_one_row(arriving: Arriving, tmp_path: Path) -> None:
    answers = arriving.add_together([_own("a", prediction=0.1), _own("a", prediction=0.2)])
    assert answers == [None, Stored([[0.1]], [2])]
    assert len(waiting_rows(tmp_path / "arriving.db", 0)) == 1


@pytest.mark.parametrize("other", [1, True, "1.0", None])
def test_one_number_in_another_form_is_another_row(arriving: Arriving, other: Any) -> None:
    assert arriving.add_together([_own("a", wind=1.0)]) == [None]
    (answer,) = arriving.add_together([_own("a", wind=other)])
    assert isinstance(answer, Conflict)


def test_who_does_not_want_to_wait_for_another_thread_is_told(arriving: Arriving) -> None:
    with arriving._transaction(), pytest.raises(Busy):
        arriving.add_together([_made("a", 1)], wait=False)
    arriving.add_together([_made("a", 1)], wait=False)


def test_many_rows_are_moved_in_several_batches(
    arriving: Arriving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.arriving._BATCH", 4)
    arriving.add([replace(ROW, id=str(number)) for number in range(10)])
    batches = arriving.to_move("requests", 0)
    assert [moving_rows(tmp_path / "arriving.db", batch).ids for batch in batches] == [
        ["0", "1", "2", "3"],
        ["4", "5", "6", "7"],
        ["8", "9"],
    ]


def test_rows_of_a_writer_before_are_parted_like_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.arriving._BATCH", 4)
    first = Arriving(tmp_path)
    first.add([replace(ROW, id=str(number)) for number in range(10)])
    first.close()
    second = Arriving(tmp_path)
    second.add([replace(ROW, id=str(number)) for number in range(10, 15)])
    moved = [moving_rows(tmp_path / "arriving.db", batch).ids for batch in second.to_move("requests", 0)]
    assert [len(ids) for ids in moved] == [4, 4, 2, 4, 1]
    assert [id for ids in moved for id in ids] == [str(number) for number in range(15)]
    second.add([replace(ROW, id=str(number)) for number in range(15, 22)])
    assert [len(moving_rows(tmp_path / "arriving.db", one).ids) for one in second.to_move("requests", 5)] == [
        3,
        4,
    ]
    second.add_labels([ArrivingLabel(str(number), 1, 20) for number in range(9)])
    assert second.to_move("labels", 0) == (1, 2, 3)
    assert len(moving_labels(tmp_path / "arriving.db", 3)) == 1
    second.close()


def test_a_large_request_comes_into_no_batch_that_holds_rows_already(
    arriving: Arriving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.arriving._BATCH", 3)
    for ids in (["a", "b"], ["c", "d", "e", "f", "g"], ["h", "i"], ["j"]):
        arriving.add_together([_own(*ids)])
    moved = [moving_rows(tmp_path / "arriving.db", batch).ids for batch in arriving.to_move("requests", 0)]
    assert moved == [["a", "b"], ["c", "d", "e", "f", "g", "h", "i"], ["j"]]


def test_a_row_that_was_forgotten_may_come_again(arriving: Arriving) -> None:
    arriving.add([ROW])
    arriving.to_move("requests", 0)
    arriving.add([replace(ROW, id="b", known_at=ROW.known_at + 25 * 3600 * 1_000_000)])
    arriving.forget("requests", 1)
    arriving.tidy()
    assert arriving.add_together([_own("a", wind=3.0)]) == [None]


MINUTE = 60 * 1_000_000


def _kept(arriving: Arriving) -> list[str]:
    """The first id of each request that is still there."""
    found = arriving._connection.execute("SELECT content FROM requests ORDER BY number")
    return [orjson.loads(content)[0][0] for (content,) in found]


def test_moved_rows_go_when_no_client_can_send_them_again(
    arriving: Arriving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.arriving._PIECES", 5)
    for number in range(8):
        arriving.add_together([_made(f"made {number}", number * MINUTE)])
        arriving.add([replace(ROW, id=f"own {number}", known_at=number * MINUTE)])
    assert arriving.to_move("requests", 0) == (1,)
    arriving.add_together([_made("last", 15 * MINUTE)])
    arriving.forget("requests", 0)
    arriving.tidy()
    assert len(_kept(arriving)) == 17
    arriving.forget("requests", 1)
    assert len(_kept(arriving)) == 17  # until there is time for it
    arriving.tidy()
    assert _kept(arriving) == [*(f"own {number}" for number in range(8)), "last"]
    arriving.add_together([_made("next day", 24 * 60 * MINUTE + 6 * MINUTE)])
    arriving.forget("requests", 1)
    arriving.tidy()
    assert _kept(arriving) == ["own 6", "own 7", "last", "next day"]


def test_a_few_more_rows_are_deleted_than_come(arriving: Arriving) -> None:
    arriving.add_together([_made(f"made {number}", number) for number in range(40)])
    arriving.to_move("requests", 0)
    arriving.tidy_along()  # nothing has landed
    arriving.forget("requests", 1)
    arriving.tidy_along()
    assert len(_kept(arriving)) == 40  # nor does what came before count
    for number in range(16):
        arriving.add_together([_made(f"new {number}", 100)])
        arriving.tidy_along()
    assert _kept(arriving) == [*(f"made {n}" for n in range(20, 40)), *(f"new {n}" for n in range(16))]
    with arriving._transaction(), pytest.raises(Busy):
        arriving.add_together([_made("other", 100)], wait=False)
    with arriving._transaction():
        arriving._may_delete = 10
        arriving.tidy_along()  # somebody writes: it is left for later
    assert len(_kept(arriving)) == 36
    arriving.tidy_along()
    assert len(_kept(arriving)) < 36


def test_small_requests_do_not_pay_for_large_ones(
    arriving: Arriving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.arriving._PIECES", 10)
    arriving.add_together([_server_made(f"made {number}", 64) for number in range(10)])
    arriving.to_move("requests", 0)
    arriving.tidy_along()
    arriving.forget("requests", 1)
    for number in range(40):
        arriving.add_together([_made(f"new {number}", 100)])
        arriving.tidy_along()
    assert len(_kept(arriving)) == 49  # one of 64 rows, of which 50 were allowed
    arriving.add_together([_server_made("large", 64)])
    arriving.tidy_along()
    assert len(_kept(arriving)) == 48  # and three of 130, for a part of a batch goes as a whole


def test_who_looked_at_the_tables_before_rows_landed_is_told_that_they_are_gone(
    arriving: Arriving, tmp_path: Path
) -> None:
    path = tmp_path / "arriving.db"
    arriving.add_together([_made("a", 1)])
    arriving.add_labels([ArrivingLabel("a", 1.5, 20)])
    assert (arriving.to_move("requests", 0), arriving.to_move("labels", 0)) == ((1,), (1,))
    arriving.add_together([_made("b", 2)])
    arriving.forget("requests", 1)
    arriving.forget("labels", 1)
    assert [row.id for row in waiting_rows(path, 0)] == ["a", "b"]  # it is there yet
    arriving.tidy()
    for asked in (waiting_rows, waiting_count, waiting_labels):
        with pytest.raises(Forgotten):
            asked(path, 0)
    assert ([row.id for row in waiting_rows(path, 1)], waiting_count(path, 1)) == (["b"], 1)
    assert waiting_labels(path, 1) == ()


def test_a_file_of_before_is_read_until_somebody_writes_it(arriving: Arriving, tmp_path: Path) -> None:
    arriving.add_together([_made("a", 1)])
    arriving._connection.execute("DROP TABLE forgotten")
    assert [row.id for row in waiting_rows(tmp_path / "arriving.db", 0)] == ["a"]


def test_what_could_not_be_deleted_is_deleted_later(
    arriving: Arriving, monkeypatch: pytest.MonkeyPatch
) -> None:
    arriving.add_together([_made("a", 1), _made("b", 2)])
    arriving.to_move("requests", 0)
    arriving.forget("requests", 1)
    with monkeypatch.context() as patch:
        patch.setattr("pipelines.arriving._FORGOTTEN", "INSERT INTO nowhere VALUES (?, ?)")
        with pytest.raises(sqlite3.OperationalError):
            arriving.tidy()
    assert _kept(arriving) == ["a", "b"]
    arriving.tidy()
    assert _kept(arriving) == []


def test_what_is_to_be_deleted_is_planned_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.arriving._PIECES", 2)
    first = Arriving(tmp_path)
    first.add_together([_made(f"made {number}", number) for number in range(5)])
    first.to_move("requests", 0)
    first.add_together([_made("last", 5)])
    first.to_move("requests", 0)
    first.forget("requests", 2)
    first.forget("requests", 2)
    assert [(piece.first, piece.last) for piece in first._due] == [(1, 2), (3, 4), (5, 5), (6, 6)]
    first._tidy()
    first.close()
    second = Arriving(tmp_path)  # and again by the next writer, what the first one did not come to
    second.forget("requests", 2)
    assert [(piece.first, piece.last) for piece in second._due] == [(3, 3), (4, 4), (5, 5), (6, 6)]
    second.close()


def test_numbers_go_on_after_everything_was_moved_and_forgotten(tmp_path: Path) -> None:
    first = Arriving(tmp_path)
    first.add_together([_made("a", 1)])
    first.to_move("requests", 0)
    first._connection.execute("DELETE FROM requests")
    first.close()
    second = Arriving(tmp_path)
    second.add_together([_made("b", 2)])
    assert [row.id for row in waiting_rows(tmp_path / "arriving.db", 1)] == ["b"]
    assert second.to_move("requests", 1) == (2,)
    assert moving_rows(tmp_path / "arriving.db", 2).ids == ["b"]
    second.close()


def test_a_file_that_is_removed_while_it_is_written_takes_no_more_rows(
    arriving: Arriving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.arriving._LOOK_SECONDS", 0.0)
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


@pytest.mark.parametrize(("durable", "level"), [(False, 1), (True, 2)])
def test_how_safe_a_commit_is_can_be_chosen(durable: bool, level: int, tmp_path: Path) -> None:
    arriving = Arriving(tmp_path, durable=durable)
    assert arriving._connection.execute("PRAGMA synchronous").fetchone() == (level,)
    assert arriving._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    arriving.close()


# --- rows to which the server gave their ids ---


def _as_stored(arrival: Arrival) -> Arrival:
    kept = dict(
        zip(("number", "rows", "first", "last", *COLUMNS.split(", ")), packed(1, arrival), strict=True)
    )
    return unpacked([kept[name] for name in COLUMNS.split(", ")])


@pytest.mark.parametrize("keys", [None, ["k", None, "l"]])
@pytest.mark.parametrize("times", [[20, 20, 20], [20, 21, 19]])
def test_what_was_packed_is_unpacked(times: list[int], keys: list[str | None] | None) -> None:
    for arrival in (_server_made("18f3-ab", 3, times), _own("a", "b", "c")._replace(times=times)):
        arrival = arrival._replace(keys=keys)
        assert _as_stored(arrival) == arrival._replace(ids=list(arrival.ids))


@pytest.mark.parametrize("rows", [1, 1000, 1001, 70_000])
def test_ids_are_made_anew_as_they_were_given(rows: int) -> None:
    arrival = _server_made("18f3-ab", rows)
    assert _as_stored(arrival).ids == arrival.ids
    assert len(set(arrival.ids)) == rows
    assert arrival.ids == sorted(arrival.ids)


def test_ids_and_times_of_the_server_are_written_once_for_a_request() -> None:
    sizes = [len(packed(1, _server_made("18f3-ab", rows))[-1]) for rows in (100, 200)]
    assert sizes[1] - sizes[0] < 100 * 20  # bytes; an id and a time alone are more


def test_requests_of_a_file_of_before_are_read(arriving: Arriving, tmp_path: Path) -> None:
    made = _server_made("18f3-ab", 2)
    number, *values, _ = packed(1, made)
    content = orjson.dumps((made.ids, made.times, made.predictions, made.columns))  # each id, each time
    places = ", ".join("?" * (len(values) + 2))
    arriving._connection.execute(f"INSERT INTO requests VALUES ({places})", (number, *values, content))
    rows = waiting_rows(tmp_path / "arriving.db", 0)
    assert [(row.id, row.time, row.inputs) for row in rows] == [
        ("18f3-ab-00000", 20, {"wind": 1.5}),
        ("18f3-ab-00001", 20, {"wind": 2.5}),
    ]
    arriving.close()
    with closing(Arriving(tmp_path)) as again:
        assert moving_rows(tmp_path / "arriving.db", *again.to_move("requests", 0)).ids == list(made.ids)


def test_requests_with_and_without_ids_of_their_own_are_moved_together(
    arriving: Arriving, tmp_path: Path
) -> None:
    arriving.add_together([_server_made("18f3-ab", 2), _own("b"), _server_made("18f3-cd", 2, [5, 6])])
    moved = moving_rows(tmp_path / "arriving.db", *arriving.to_move("requests", 0))
    assert moved.ids == [*ids_from("18f3-ab", 2), "b", *ids_from("18f3-cd", 2)]
    assert moved.times == [20, 20, 10, 5, 6]
    assert moved.predictions == [[0.5], [1.5], [0.7], [0.5], [1.5]]
    assert moved.columns["wind"] == [1.5, 2.5, 1.5, 1.5, 2.5]


def test_a_row_is_found_and_erased_by_the_id_that_the_server_gave(arriving: Arriving, tmp_path: Path) -> None:
    path = tmp_path / "arriving.db"
    arriving.add_together([_server_made("18f3-ab", 3), _server_made("18f3-cd", 1)])
    wanted = "18f3-ab-00001"
    assert wanted in {row.id for row in rows_with(path, [wanted])}
    arriving.erase([wanted, "18f3-cd-00000"])
    assert [(row.id, row.prediction, row.inputs["wind"]) for row in waiting_rows(path, 0)] == [
        ("18f3-ab-00000", (0.5,), 1.5),
        ("18f3-ab-00002", (2.5,), 3.5),
    ]
    assert _holding(tmp_path, wanted) == _holding(tmp_path, "18f3-cd") == []


# --- rows that go with every trace ---


def _holding(folder: Path, text: str) -> list[str]:
    """The files of a folder in which a text occurs."""
    return [path.name for path in sorted(folder.iterdir()) if text.encode() in path.read_bytes()]


def test_rows_are_erased_with_their_labels_and_every_trace(arriving: Arriving, tmp_path: Path) -> None:
    path = tmp_path / "arriving.db"
    arriving.add_together([_own("customer-4711", "b"), _made("made-4711", 20), _own("c")])
    arriving.add_labels(
        [
            ArrivingLabel("customer-4711", "truth-0815", 20),
            ArrivingLabel("b", 1, 20),
            ArrivingLabel("key-4711", 1, 20, keyed=True),
            ArrivingLabel("key-4711", 2, 20),
        ]
    )
    assert _holding(tmp_path, "4711") == ["arriving.db-wal"]
    arriving.erase(["customer-4711", "made-4711", "nobody's"], ["key-4711"])
    assert [row.id for row in waiting_rows(path, 0)] == ["b", "c"]
    assert [(label.id, label.value) for label in waiting_labels(path, 0)] == [("b", 1), ("key-4711", 2)]
    arriving.erase(["key-4711"])
    assert [_holding(tmp_path, text) for text in ("4711", "truth-0815")] == [[], []]


def test_a_row_that_is_left_of_a_request_is_known_again(arriving: Arriving) -> None:
    arriving.add_together([_own("a", "b", "c", prediction=0.7)])
    arriving.erase(["a"])
    assert arriving.add_together([_own("b", "c", prediction=0.9)]) == [Stored([[0.7], [0.7]], [2, 2])]
    assert arriving.add_together([_own("a", prediction=0.9)]) == [None]


def test_what_is_erased_from_a_batch_is_not_moved(arriving: Arriving, tmp_path: Path) -> None:
    path = tmp_path / "arriving.db"
    arriving.add_together([_own("a", "b")])
    arriving.add_together([_own("c")])
    arriving.to_move("requests", 0)
    arriving.erase(["a"])
    moved = moving_rows(path, 1)
    assert (moved.ids, moved.columns["wind"]) == (["b", "c"], [1.5, 1.5])
    arriving.erase(["b", "c"])
    assert waiting_batches(path, "requests", 0) == (1,)
    assert moving_rows(path, 1).ids == []


def test_a_row_that_was_moved_and_deleted_before_leaves_no_trace_either(
    arriving: Arriving, tmp_path: Path
) -> None:
    arriving.add([replace(ROW, id="customer-4711")])
    arriving.to_move("requests", 0)
    arriving.add([replace(ROW, id="b", known_at=ROW.known_at + 2 * 86_400_000_000)])
    arriving.forget("requests", 1)
    arriving.tidy()
    arriving.erase(["customer-4711"])
    assert _holding(tmp_path, "4711") == []


def test_a_reader_that_holds_on_to_old_pages_is_waited_for_and_then_told_of(
    arriving: Arriving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.arriving._WIPES", 2)
    arriving.add([ROW])
    with closing(sqlite3.connect(tmp_path / "arriving.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM requests").fetchall()
        with pytest.raises(RuntimeError, match="a reader holds on to pages of before"):
            arriving.erase(["a"])
    arriving.erase(["a"])
    assert waiting_rows(tmp_path / "arriving.db", 0) == ()
