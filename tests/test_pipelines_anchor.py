"""Where windows are counted from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from monitoring.window import WindowLength
from pipelines.anchor import ceil_to, floor_to

MOMENT = datetime(2013, 3, 14, 9, 30, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("window", "floor", "ceiling"),
    [
        ("30min", datetime(2013, 3, 14, 9, 30), datetime(2013, 3, 14, 9, 31)),
        ("hour", datetime(2013, 3, 14, 9), datetime(2013, 3, 14, 10)),
        ("12h", datetime(2013, 3, 14, 9), datetime(2013, 3, 14, 10)),
        ("day", datetime(2013, 3, 14), datetime(2013, 3, 15)),
        ("week", datetime(2013, 3, 14), datetime(2013, 3, 15)),
        ("month", datetime(2013, 3, 1), datetime(2013, 4, 1)),
    ],
)
def test_windows_begin_at_a_full_unit(window: str, floor: datetime, ceiling: datetime) -> None:
    length = WindowLength.parse(window)
    assert floor_to(MOMENT, length) == floor.replace(tzinfo=UTC)
    assert ceil_to(MOMENT, length) == ceiling.replace(tzinfo=UTC)


@pytest.mark.parametrize("window", ["30min", "hour", "day", "week", "month"])
def test_a_full_unit_stays(window: str) -> None:
    full = datetime(2013, 12, 1, tzinfo=UTC)
    assert floor_to(full, WindowLength.parse(window)) == ceil_to(full, WindowLength.parse(window)) == full


def test_the_last_month_of_a_year_ends_in_the_next() -> None:
    assert ceil_to(datetime(2013, 12, 31, 23, tzinfo=UTC), WindowLength(1, "month")) == datetime(
        2014, 1, 1, tzinfo=UTC
    )


def test_days_are_those_of_utc() -> None:
    late = datetime(2013, 3, 14, 22, tzinfo=timezone(timedelta(hours=-5)))
    assert floor_to(late, WindowLength(1, "day")) == datetime(2013, 3, 15, tzinfo=UTC)
