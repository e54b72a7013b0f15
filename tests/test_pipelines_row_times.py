from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipelines.errors import UserError
from pipelines.row_times import is_number_part, row_times


def times(time_format: str | None = None, **columns: Any) -> list[str]:
    """The moments of the rows, to the second where nothing is finer."""
    found = row_times(pd.DataFrame(columns), list(columns), time_format)
    assert found.dtype == np.dtype("datetime64[ns]")
    return [str(moment).removesuffix(".000000000") for moment in found]


def refusal(time_format: str | None = None, **columns: Any) -> str:
    with pytest.raises(UserError) as error:
        row_times(pd.DataFrame(columns), list(columns), time_format)
    return str(error.value)


# --- one column ---


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2013-01-31", "2013-01-31T00:00:00"),
        ("2013-01-31 05:06", "2013-01-31T05:06:00"),
        ("2013-01-31T05:06:07Z", "2013-01-31T05:06:07"),
        ("2013-01-31T05:06:07+02:00", "2013-01-31T03:06:07"),
        ("1/31/2013", "2013-01-31T00:00:00"),
        ("31.1.2013 5:06", "2013-01-31T05:06:00"),
        ("31/01/13", "2013-01-31T00:00:00"),
        ("1/31/2013 11:06:07 PM", "2013-01-31T23:06:07"),
        ("31-01-2013 05:06:07.5", "2013-01-31T05:06:07.500000000"),
        ("31 Jan 2013", "2013-01-31T00:00:00"),
        ("20130131", "2013-01-31T00:00:00"),
        (20130131, "2013-01-31T00:00:00"),
        (1359590400, "2013-01-31T00:00:00"),
        ("1359590400", "2013-01-31T00:00:00"),
        (1359590400.5, "2013-01-31T00:00:00.500000000"),
        (1359590400000, "2013-01-31T00:00:00"),
        (1359590400000000, "2013-01-31T00:00:00"),
        (2013, "2013-01-01T00:00:00"),
        (pd.Timestamp("2013-01-31 05:00", tz="Europe/Berlin"), "2013-01-31T04:00:00"),
        (pd.Timestamp("2013-01-31 05:00"), "2013-01-31T05:00:00"),
        (date(2013, 1, 31), "2013-01-31T00:00:00"),
    ],
)
def test_one_column_says_the_time_in_any_usual_form(written: Any, moment: str) -> None:
    assert times(when=[written]) == [moment]


def test_summer_and_winter_offsets_may_stand_in_one_column() -> None:
    assert times(when=["2013-10-27T02:30+02:00", "2013-10-27T02:30+01:00"]) == [
        "2013-10-27T00:30:00",
        "2013-10-27T01:30:00",
    ]


def test_a_day_after_the_twelfth_decides_what_stands_first() -> None:
    assert times(when=["2/1/2013", "13/1/2013"])[0] == "2013-01-02T00:00:00"
    assert times(when=["1/2/2013", "1/13/2013"])[0] == "2013-01-02T00:00:00"


def test_the_order_of_the_rows_decides_where_days_do_not() -> None:
    assert times(when=["2/1/2013", "3/1/2013", "1/2/2013"])[0] == "2013-01-02T00:00:00"


def test_where_nothing_decides_the_format_is_asked_for() -> None:
    assert "data.time_format (--time-format)" in refusal(when=["2/1/2013", "3/1/2013"])


def test_a_format_decides() -> None:
    assert times("%d/%m/%Y", when=["2/1/2013"]) == ["2013-01-02T00:00:00"]


def test_a_format_reads_numbers_and_several_columns() -> None:
    assert times("%Y%m%d", when=[20130131]) == ["2013-01-31T00:00:00"]
    assert times("%d.%m.%Y %H%M", day=["31.1.2013"], clock=["0130"]) == ["2013-01-31T01:30:00"]
    assert times("%Y %j", year=[2013.0], day=[32]) == ["2013-02-01T00:00:00"]


# --- several columns ---


def test_a_date_and_an_hour_number_add_up() -> None:
    assert times(dteday=["1/1/2011", "1/31/2011"], hr=[0, 23]) == [
        "2011-01-01T00:00:00",
        "2011-01-31T23:00:00",
    ]
    assert times(dteday=["2011-01-01"], hr=["24"]) == ["2011-01-02T00:00:00"]
    assert times(dteday=[pd.Timestamp("2011-01-01")], hr=[1.5]) == ["2011-01-01T01:30:00"]


def test_hours_minutes_and_seconds_add_up() -> None:
    assert times(day=["2011-01-01"], h=[1], m=[2], s=[3]) == ["2011-01-01T01:02:03"]


def test_a_date_and_a_clock_time_are_read_together() -> None:
    assert times(day=["31.1.2011"], clock=["17:05"]) == ["2011-01-31T17:05:00"]
    assert times(day=[pd.Timestamp("2011-01-31")], clock=["17:05:30"]) == ["2011-01-31T17:05:30"]


def test_year_month_day_and_more_are_read_together() -> None:
    assert times(year=[2013], month=[2], day=[28], hour=[5]) == ["2013-02-28T05:00:00"]
    assert times(year=["2013"], month=["2"]) == ["2013-02-01T00:00:00"]


# --- what is refused ---


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"when": ["2013-01-01", "soon", "2013-01-03"]}, "time 'when' is 'soon' in row 2 of 3"),
        ({"when": ["2013-01-01", None]}, "time 'when' is missing in row 2 of 2"),
        ({"when": ["1/31/2011", "1/32/2011"]}, "time 'when' is '1/32/2011' in row 2"),
        ({"when": ["9999-01-01"]}, "'9999-01-01' in row 1"),
        ({"when": [None, None]}, "time 'when' is missing in row 1"),
        ({"when": ["", "2013-01-01"]}, "time 'when' is '' in row 1"),
        ({"when": [pd.Timestamp("2013-01-01"), pd.NaT]}, "time 'when' is missing in row 2"),
        ({"when": [0.0, 0.5]}, "numbers from 0 to 0.5, which are no plausible seconds"),
        ({"when": [20130131, 20130132]}, "time 'when' is 32 in row 2"),
        ({"when": [20130131.0, None]}, "is missing in row 2"),
        (
            {"day": ["2011-01-01"] * 2, "hr": [5, 25]},
            "time 'hr' is 25 in row 2 of 2: expected hours from 0 to 24",
        ),
        ({"day": ["2011-01-01"] * 2, "hr": [5, None]}, "time 'hr' is missing in row 2"),
        ({"day": ["2011-01-01"], "hr": ["noon"]}, "'2011-01-01 noon'"),
        ({"year": [2013], "month": [13]}, "time 'month' is 13 in row 1"),
        (
            {"year": [2013], "month": [2], "day": [30]},
            "time 'day' is 30 in row 1 of 1: expected a day of its month",
        ),
        ({"d": ["2011-01-01"], "h": [1], "m": [1], "s": [1], "x": [1]}, "'x' is one too many"),
        ({"d": ["2011-01-01"], "h": [pd.Timestamp("2011-01-01")]}, "'h' is neither numbers nor texts"),
    ],
)
def test_the_first_row_without_a_time_is_named(columns: dict[str, Any], expected: str) -> None:
    assert expected in refusal(**columns)


def test_a_row_that_the_format_does_not_read_is_named() -> None:
    assert "is '2013-01-01' in row 1 of 1: expected a time of the form '%d.%m.%Y'" in refusal(
        "%d.%m.%Y", when=["2013-01-01"]
    )


def test_a_format_that_is_none_is_refused() -> None:
    assert "time_format '%Q' is not a format" in refusal("%Q", when=["2013-01-01"])


def test_number_parts_are_told_from_texts() -> None:
    assert is_number_part(pd.Series(["0", "23"]))
    assert not is_number_part(pd.Series(["0:30"]))
    assert not is_number_part(pd.Series([True]))
