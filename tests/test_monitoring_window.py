"""Windows: half-open, in UTC, right by the calendar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from monitoring.window import WindowLength, cut, locate, rows_by_window, to_utc

MARCH = datetime(2013, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "count", "unit"),
    [("hour", 1, "hour"), ("week", 1, "week"), ("7d", 7, "day"), ("12h", 12, "hour"), ("30min", 30, "minute"),
     ("2 weeks", 2, "week"), ("3 months", 3, "month"), (" Day ", 1, "day")],
)  # fmt: skip
def test_a_length_is_read_from_words(text: str, count: int, unit: str) -> None:
    assert WindowLength.parse(text) == WindowLength(count, unit)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "7x", "0d", "000h", "-1d", "1.5d", "d7", "a week", "7", "10000000d"])
def test_a_wrong_length_is_refused_with_advice(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not the length of a window. Write hour, day, week, month"):
        WindowLength.parse(text)


def test_windows_cover_the_time_without_gaps() -> None:
    windows = cut(np.array(["2013-03-01", "2013-04-02"], dtype="datetime64[ns]"), MARCH, "week")
    assert [w.start for w in windows[1:]] == [w.end for w in windows[:-1]]
    assert windows[0].start == MARCH
    assert windows[-1].end == MARCH + timedelta(weeks=5)


def test_a_time_on_the_border_belongs_to_the_later_window() -> None:
    windows = cut(np.array(["2013-03-08"], dtype="datetime64[s]"), MARCH, "week")
    assert len(windows) == 2
    assert locate(np.array(["2013-03-08"], dtype="datetime64[s]"), windows).tolist() == [1]


def test_months_follow_the_calendar_from_any_day() -> None:
    windows = cut(["2012-01-31", "2012-05-30"], datetime(2012, 1, 31), "month")
    assert [str(w.end.date()) for w in windows] == ["2012-02-29", "2012-03-31", "2012-04-30", "2012-05-31"]


def test_the_last_day_of_a_clamped_month_is_in_exactly_one_window() -> None:
    days = np.arange("2012-01-31", "2013-03-02", dtype="datetime64[D]")
    windows = cut(days, datetime(2012, 1, 31), "month")
    assert (locate(days, windows) >= 0).all()
    assert windows[-1].start <= datetime(2013, 3, 1, tzinfo=UTC) < windows[-1].end


def test_rows_before_the_start_and_rows_without_time_are_left_aside() -> None:
    times = pd.Series([pd.Timestamp("2013-02-01"), pd.NaT, pd.Timestamp("2013-03-02")])
    windows = cut(times, MARCH, "day")
    assert len(windows) == 2
    assert locate(times, windows).tolist() == [-1, -1, 1]


def test_only_rows_before_the_start_give_no_window() -> None:
    assert cut(["2012-01-01"], MARCH, "day") == []
    assert cut(np.array([], dtype="datetime64[s]"), MARCH, "day") == []


def test_a_zone_is_turned_into_utc() -> None:
    local = pd.Series(pd.date_range("2013-03-10", periods=24, freq="h", tz="America/New_York"))
    assert to_utc(local)[0] == np.datetime64("2013-03-10T05:00")
    assert to_utc(list(local)).tolist() == to_utc(local).tolist()
    assert to_utc(pd.DatetimeIndex(local)).tolist() == to_utc(local).tolist()


def test_a_start_may_be_a_pandas_or_a_numpy_time() -> None:
    times = ["2013-03-05"]
    assert cut(times, pd.Timestamp("2013-03-01"), "week") == cut(times, MARCH, "week")
    assert cut(times, np.datetime64("2013-03-01T00"), "week") == cut(times, MARCH, "week")
    assert cut(times, pd.Timestamp("2013-03-01 01:00", tz="Europe/Paris"), "week") == cut(
        times, MARCH, "week"
    )


def test_rows_go_to_their_window_in_their_own_order() -> None:
    times = np.array(["2013-03-09", "2013-03-01", "2013-03-08", "2012-01-01"], dtype="datetime64[s]")
    groups = rows_by_window(times, cut(times, MARCH, "week"))
    assert [rows.tolist() for rows in groups] == [[1], [0, 2]]


def test_an_empty_window_is_in_the_list() -> None:
    times = ["2013-03-01", "2013-03-20"]
    windows = cut(times, MARCH, "week")
    assert [len(rows) for rows in rows_by_window(times, windows)] == [1, 0, 1]


def test_no_windows_hold_no_rows() -> None:
    assert locate(["2013-03-01"], []).tolist() == [-1]
    assert rows_by_window(["2013-03-01"], []) == []


def test_a_wild_time_is_refused_before_memory_is_spent() -> None:
    with pytest.raises(ValueError, match="look for a wrong time among the rows"):
        cut(["2013-03-01", "2199-01-01"], MARCH, "minute")


def test_a_million_rows_are_each_in_one_window() -> None:
    times = np.datetime64("2013-03-01", "s") + np.arange(1_000_000) * np.timedelta64(30, "s")
    groups = rows_by_window(times, cut(times, MARCH, "hour"))
    assert (np.concatenate(groups) == np.arange(1_000_000)).all()
