"""Rows of another kind are told; rows of the same kind, with all their weekdays and hours, are not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from models.preparation import PrepareConfig
from models.row_checks import CheckedRows
from models.schema import Schema
from models.split import split_in_time
from monitoring.window import WindowLength
from pipelines.drift_checks import newest_window, production_drift, shift_between, split_drift
from pipelines.log import Log

DAY = WindowLength.parse("day")
BEGIN = datetime(2013, 1, 1, tzinfo=UTC)


HOURS = np.timedelta64(1, "h")


def rows(seed: int = 0, *, moved: float = 0.0, number: int = 3000, later: int = 0) -> CheckedRows:
    """Hourly rows whose newest part has moved so many deviations; they are booked so many hours before, or later."""
    rng = np.random.default_rng(seed)
    split = split_in_time(number)
    wind = rng.normal(np.sin(np.arange(number) / 24), 1, number)
    wind[split.validation] += moved
    columns = {"wind": wind, "carrier": rng.choice(["UA", "DL"], number).astype(object)}
    columns["y"] = columns["wind"] + rng.normal(0, 1, number)
    times = np.datetime64("2013-01-01", "us") + np.arange(number) * HOURS
    columns["booked"] = times - rng.integers(24, 90 * 24, number) * HOURS
    columns["booked"][split.validation] += later * HOURS
    frame = {name: values[split.train] for name, values in columns.items()}
    schema = Schema.fit(frame, "y", prepare=PrepareConfig(dates=("booked",)))
    return CheckedRows(columns, schema, split.train, split.validation, times)


def logged(
    folder: Path, wind: np.ndarray[tuple[int], np.dtype[np.float64]], per: timedelta, *, days: int = 90
) -> Path:
    """A log of rows with these winds, the first at BEGIN, booked up to so many days before."""
    moments = [BEGIN + number * per for number in range(len(wind))]
    rng = np.random.default_rng(9)
    carriers = rng.choice(["UA", "DL"], len(wind)).astype(object)
    times = np.array([moment.replace(tzinfo=None) for moment in moments], dtype="datetime64[us]")
    booked = times - rng.integers(24, days * 24, len(wind)) * HOURS
    Log(folder).append_predictions(
        ids=[str(number) for number in range(len(wind))],
        times=times,
        version=1,
        predictions=np.zeros((len(wind), 1)),
        columns={"wind": wind, "carrier": carriers, "booked": np.datetime_as_string(booked).astype(object)},
        known_at=moments[-1],
    )
    return folder


@pytest.mark.parametrize("seed", range(10))
def test_parts_of_the_same_kind_are_alike(seed: int) -> None:
    assert split_drift(rows(seed)) == ()


def test_a_moved_part_is_told_with_its_columns() -> None:
    (found,) = split_drift(rows(moved=3.0))
    assert (found.check, found.severity) == ("drift in the split", "warning")
    assert "'wind' (" in found.text
    assert "'y' (" in found.text
    assert "'carrier'" not in found.text


def test_dates_that_lie_otherwise_before_their_rows_are_told() -> None:
    (found,) = split_drift(rows(later=30 * 24))
    assert "'days since booked' (" in found.text
    assert "'wind'" not in found.text


def test_too_few_rows_say_nothing() -> None:
    few = {"x": np.zeros(29)}
    assert shift_between({"x": np.arange(100.0)}, np.arange(100), few) is None
    assert shift_between({"x": np.arange(59.0)}, np.arange(59), {"x": np.zeros(40)}) is None
    assert shift_between({}, np.arange(100), {}) is None


def test_production_rows_that_look_like_training_say_nothing(tmp_path: Path) -> None:
    log = logged(tmp_path / "log", rows(5).columns["wind"][:400], timedelta(minutes=10))
    assert production_drift(rows(), log, DAY) == ()


def test_production_rows_of_another_kind_are_told(tmp_path: Path) -> None:
    log = logged(tmp_path / "log", rows(5).columns["wind"][:400] + 4, timedelta(minutes=10))
    (found,) = production_drift(rows(), log, DAY)
    assert (found.check, found.severity) == ("drift of production", "warning")
    assert found.text.startswith("the newest 112 production rows, until 2013-01-03T18:30:00, differ from the")


def test_production_rows_that_are_booked_otherwise_are_told(tmp_path: Path) -> None:
    log = logged(tmp_path / "log", rows(5).columns["wind"][:400], timedelta(minutes=10), days=10)
    (found,) = production_drift(rows(), log, DAY)
    assert "'days since booked' (" in found.text
    assert "'wind'" not in found.text


def test_the_newest_window_is_read_with_the_one_before_where_it_has_just_begun(tmp_path: Path) -> None:
    log = logged(tmp_path / "log", np.zeros(150), timedelta(minutes=10))
    newest = newest_window(log, DAY, ("wind",))
    assert newest is not None
    assert len(newest) == 150


def test_no_log_is_no_trouble_and_none_is_made(tmp_path: Path) -> None:
    assert newest_window(tmp_path / "log", DAY, ("wind",)) is None
    assert production_drift(rows(), tmp_path / "log", DAY) == ()
    assert not (tmp_path / "log").exists()
