"""Dates move on by nature; how long before its row one lies, its hour and its weekday do not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import projects
import pytest
import streams

from models.preparation import PrepareConfig
from models.schema import Schema
from pipelines.service import bundle_of, needed_service, reference_of
from pipelines.stores import Stores
from pipelines.watch import watch
from pipelines.watched_columns import date_names, of_date, watched_columns, with_names_of_dates
from pipelines.window_counts import CountedWindow, window_counts

CUT = datetime(2021, 1, 26, tzinfo=UTC)
MOVED = np.datetime64("2021-02-05")
DATES = '[prepare]\ndates = ["booked"]\n'
SETTINGS = DATES + '[monitor]\nwindow = "day"\n[replay]\ntrain_until = 2021-01-26\n'
NO_DELAY = timedelta(0)
DERIVED = ("days since booked", "hour of booked", "weekday of booked")


def times(*texts: str) -> npt.NDArray[np.datetime64]:
    return np.array(texts, dtype="datetime64[us]")


def test_a_date_is_days_before_its_row_an_hour_and_a_weekday() -> None:
    rows = of_date("booked", times("2024-02-29T06:00", "2024-03-02T18:30"), times("2024-03-01", "2024-03-02"))
    assert rows["days since booked"].tolist() == [0.75, -18.5 / 24]
    assert rows["hour of booked"].tolist() == [6.0, 18.5]
    assert rows["weekday of booked"].tolist() == ["Thursday", "Saturday"]


def test_days_of_the_week_are_those_of_the_calendar() -> None:
    days = np.datetime64("1969-12-20") + np.arange(20_000).astype("timedelta64[D]")
    expected = pd.DatetimeIndex(days).day_name().tolist()
    assert of_date("d", days, None)["weekday of d"].tolist() == expected


@pytest.mark.parametrize(
    "values", [["2024-03-01T06:00+06:00", None, "soon", 7], ["2024-03-01", None, None, ""]]
)
def test_texts_with_a_zone_are_read_and_what_is_no_time_is_missing(values: list[Any]) -> None:
    rows = of_date("booked", values, times(*["2024-03-02"] * 4))
    assert np.isnan(rows["days since booked"]).tolist() == [False, True, True, True]
    assert rows["days since booked"][0] == 1.0
    assert rows["weekday of booked"].tolist() == ["Friday", None, None, None]


def test_where_nobody_knows_when_rows_happened_a_date_has_no_age() -> None:
    assert list(of_date("booked", ["2024-03-01"], None)) == ["hour of booked", "weekday of booked"]


def test_other_columns_stay_as_they_are_and_one_that_is_missing_is_left_out() -> None:
    numbers = np.arange(20.0)
    frame = pd.DataFrame({"x": numbers, "booked": ["2024-03-01", "2024-03-02"] * 10, "y": numbers + 0.5})
    schema = Schema.fit(frame, "y", prepare=PrepareConfig(dates=("booked",)))
    assert date_names(schema) == ("booked",)
    assert list(watched_columns(schema, frame, times(*["2024-03-02"] * 20))) == ["x", *DERIVED]
    assert list(watched_columns(schema, {"x": frame["x"]}, times(*["2024-03-02"] * 20))) == ["x"]
    assert with_names_of_dates(["booked"]) == ["booked", *DERIVED]


# --- the whole way ---


def booked() -> pd.DataFrame:
    """Rows that were booked one to four days before, and from a day on two days earlier still."""
    frame: pd.DataFrame = streams.stream(45, 100)
    rng = np.random.default_rng(5)
    late = frame["when"].to_numpy() >= MOVED
    days = rng.uniform(1, 4, len(frame)) + 2.0 * late
    return frame.assign(booked=frame["when"] - pd.to_timedelta(days, unit="D").round("s"))


@pytest.fixture(scope="module")
def lived(make_stores: Callable[..., Any]) -> Stores:
    stores: Stores = make_stores(booked(), SETTINGS)
    projects.live(stores, CUT)
    return stores


def test_dates_that_lie_longer_back_are_named(lived: Stores) -> None:
    now = datetime(2021, 2, 14, tzinfo=UTC)
    found = watch(lived, needed_service(lived, now), now)
    told = {one.window.start.date().isoformat(): " ".join(one.verdict.reasons) for one in found}
    assert not any("booked" in text for day, text in told.items() if day < str(MOVED))
    assert "days since booked" in told["2021-02-07"]


def test_windows_are_counted_as_the_reference_was(lived: Stores) -> None:
    now = datetime(2021, 2, 14, tzinfo=UTC)
    service = needed_service(lived, now)
    reference = reference_of(lived, service.version)
    assert set(DERIVED) <= set(reference.profile.names)
    window = CountedWindow(0, CUT, CUT + timedelta(days=1), service.version, service.since, now)
    counted = window_counts(lived, [window])[0].profile()
    assert counted.column("days since booked").rows == counted.rows == 100
    assert counted.column("weekday of booked").missing == 0
    assert bundle_of(lived, service.version).schema.watched_names == tuple(
        name for name in reference.profile.names if name not in DERIVED
    )


def test_a_date_that_the_log_does_not_keep_is_not_watched(lived: Stores) -> None:
    now = datetime(2021, 2, 14, tzinfo=UTC)
    reference = reference_of(lived, needed_service(lived, now).version)
    fewer = reference.without(with_names_of_dates(["booked"]))
    assert not set(DERIVED) & {*fewer.profile.names, *(fewer.inputs.profile.names if fewer.inputs else ())}
