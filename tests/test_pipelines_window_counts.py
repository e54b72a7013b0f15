"""Counts of windows: what a profile of the rows says, read once, and never a reason to be without a report."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from monitoring.bins import reference_bins
from monitoring.profile import profile
from pipelines import window_counts as module
from pipelines.bundle import BrokenBundle
from pipelines.log import LabelledRows
from pipelines.window_counts import FILE, CountedWindow, WindowCells, window_counts

START = datetime(2013, 3, 4, tzinfo=UTC)
DAY = timedelta(days=1)
ROWS = 100  # a day
BINS = reference_bins({"wind": np.arange(50.0), "carrier": np.array(["AA", "UA"] * 25, dtype=object)})


def made_rows(day: int) -> dict[str, Any]:
    rng = np.random.default_rng(day)
    return {
        "wind": rng.uniform(-5, 60, ROWS),
        "carrier": rng.choice(np.array(["AA", "UA", "DL", None], dtype=object), ROWS),
    }


@dataclass
class Rows:
    """A log that gives its rows in parts of a third of a day, and counts how often it is asked."""

    days: int = 4
    late: int = 0  # rows of each day that become known after it was due
    asked: list[datetime] = field(default_factory=list)

    def parts(self, start: datetime, end: datetime, **wishes: Any) -> Iterator[LabelledRows]:
        self.asked.append(start)
        for day in range(self.days):
            columns = made_rows(day)
            times = np.datetime64("2013-03-04", "us") + (np.arange(ROWS) + day * ROWS) * np.timedelta64(
                864, "s"
            )
            known = times + np.where(
                np.arange(ROWS) < self.late, np.timedelta64(30, "D"), np.timedelta64(0, "D")
            )
            for part in np.array_split(np.arange(ROWS), 3):
                yield _labelled(
                    {name: values[part] for name, values in columns.items()}, times[part], known[part]
                )


def _labelled(columns: dict[str, Any], times: Any, known: Any) -> LabelledRows:
    size = len(times)
    nothing = np.full(size, None)
    return LabelledRows(
        nothing, times, known, np.ones(size, np.int64), np.zeros((size, 1)), columns, nothing, times, nothing
    )


def windows(days: Sequence[int], **more: Any) -> list[CountedWindow]:
    return [
        CountedWindow(
            k, START + k * DAY, START + (k + 1) * DAY, 1, more.get("since", START), START + (k + 2) * DAY
        )
        for k in days
    ]


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    reference = SimpleNamespace(profile=profile({"wind": [], "carrier": []}, BINS))
    monkeypatch.setattr(module, "reference_of", lambda stores, version: reference)
    monkeypatch.setattr(module, "known_levels", lambda stores, version: {})
    names = ("wind", "carrier")
    schema = SimpleNamespace(columns=(), column_names=names, watched_names=names)
    monkeypatch.setattr(module, "bundle_of", lambda stores, version: SimpleNamespace(schema=schema))
    return SimpleNamespace(project=SimpleNamespace(state=tmp_path), log=Rows())


def counts_of(found: Any) -> list[tuple[int, ...]]:
    profile = found.profile() if isinstance(found, WindowCells) else found
    return [(*column.counts, column.invalid) for column in profile.columns]


def test_the_counts_are_those_of_a_profile_of_the_rows(stores: Any) -> None:
    found = window_counts(stores, windows(range(4)))
    assert {number: one.rows for number, one in found.items()} == dict.fromkeys(range(4), ROWS)
    assert [counts_of(one) for one in found.values()] == [
        counts_of(profile(made_rows(day), BINS)) for day in range(4)
    ]


def test_what_was_counted_is_not_read_again(stores: Any) -> None:
    first = window_counts(stores, windows(range(3)))
    again = window_counts(stores, windows(range(4)))
    assert {number: again[number] for number in first} == first
    assert stores.log.asked == [START, START + 3 * DAY]


def test_rows_that_have_left_the_log_stay_counted(stores: Any) -> None:
    first = window_counts(stores, windows(range(2)))
    stores.log = Rows(days=0)
    assert window_counts(stores, windows(range(2))) == first


def test_rows_known_too_late_for_the_verdict_are_left_aside(stores: Any) -> None:
    stores.log = Rows(late=10)
    assert [one.rows for one in window_counts(stores, windows(range(2))).values()] == [90, 90]


def test_rows_from_before_the_service_are_left_aside(stores: Any) -> None:
    found = window_counts(stores, windows([0], since=START + DAY / 2))
    assert found[0].rows == ROWS / 2


def test_a_window_without_rows_counts_none(stores: Any) -> None:
    assert window_counts(stores, windows([9]))[9].rows == 0


@pytest.mark.parametrize("content", [b"", b"this is no database", b"SQLite format 3\0" + bytes(200)])
def test_a_broken_file_is_made_anew(stores: Any, tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert window_counts(stores, windows([0]))[0].rows == ROWS
    assert window_counts(stores, windows([0]))[0].rows == ROWS
    assert len(stores.log.asked) == 1


def test_counts_that_were_cut_off_are_counted_again(stores: Any, tmp_path: Path) -> None:
    window_counts(stores, windows([0]))
    with sqlite3.connect(tmp_path / FILE) as file:
        file.execute("update counts set counts = x'00'")
    file.close()
    assert window_counts(stores, windows([0]))[0].rows == ROWS


def test_a_folder_that_cannot_be_written_costs_only_time(stores: Any, tmp_path: Path) -> None:
    stores.project.state = tmp_path / "file" / "state"
    (tmp_path / "file").write_text("in the way")
    assert window_counts(stores, windows([0]))[0].rows == ROWS


def test_other_bins_are_counted_apart(stores: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    window_counts(stores, windows([0]))
    bins = reference_bins({"wind": np.arange(90.0)})
    reference = SimpleNamespace(profile=profile({"wind": []}, bins))
    monkeypatch.setattr(module, "reference_of", lambda stores, version: reference)
    assert window_counts(stores, windows([0]))[0].bins == bins


def test_a_version_whose_files_are_gone_has_no_windows(stores: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(stores: Any, version: int) -> Any:
        raise BrokenBundle("gone")

    monkeypatch.setattr(module, "reference_of", gone)
    assert window_counts(cast(Any, stores), windows([0])) == {}
