"""What is written down to be forgotten, and who takes it out of the rows that wait."""

from __future__ import annotations

from pathlib import Path

from pipelines.arrival import ArrivingLabel, ArrivingRow
from pipelines.arriving import Arriving
from pipelines.erasing import WANTED, Wanted, erase_waiting, read_wanted, write_wanted
from pipelines.waiting import waiting_labels, waiting_rows


def test_what_is_written_down_is_erased_once(tmp_path: Path) -> None:
    arriving = Arriving(tmp_path)
    rows = [ArrivingRow(id, 10, 20, 1, (0.5,), {}) for id in ("a", "b")]
    arriving.add(rows)
    arriving.add_labels([ArrivingLabel("a", 1, 20), ArrivingLabel("order-1", 1, 20, keyed=True)])
    erase_waiting(tmp_path, arriving)
    assert len(waiting_rows(tmp_path / "arriving.db", 0)) == 2
    write_wanted(tmp_path, Wanted(("a",), ("order-1",)))
    erase_waiting(tmp_path, arriving)
    assert [row.id for row in waiting_rows(tmp_path / "arriving.db", 0)] == ["b"]
    assert waiting_labels(tmp_path / "arriving.db", 0) == ()
    assert read_wanted(tmp_path) == Wanted(("a",), ("order-1",), erased=True)
    arriving.add(rows[:1])  # a new row, sent after it was forgotten
    erase_waiting(tmp_path, arriving)
    assert [row.id for row in waiting_rows(tmp_path / "arriving.db", 0)] == ["b", "a"]
    arriving.close()


def test_nothing_is_wanted_where_nothing_is_written(tmp_path: Path) -> None:
    assert read_wanted(tmp_path) is None
    assert not (tmp_path / WANTED).exists()
