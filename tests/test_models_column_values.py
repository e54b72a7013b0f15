"""The values of a column are read alike, whatever holds them."""

from __future__ import annotations

import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest

from models.column_values import (
    as_array,
    codes_of,
    is_missing,
    kind_of,
    level_of,
    levels_of,
    moments_of,
    numbers_of,
    shown,
)


@pytest.mark.parametrize(
    "value", [None, float("nan"), np.nan, np.float32("nan"), pd.NA, pd.NaT, np.datetime64("NaT")]
)
def test_every_sign_of_nothing_is_missing(value: Any) -> None:
    assert is_missing(value)
    assert level_of(value) is None


@pytest.mark.parametrize("value", [0, "", False, 0.0, "nan", [], np.datetime64("2024-01-01")])
def test_empty_and_zero_are_values(value: Any) -> None:
    assert not is_missing(value)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2.5, True, Decimal(3), Fraction(1, 2), None], "number"),
        (["a", 1], "text"),
        ([None, float("nan"), pd.NA], "empty"),
        ([], "empty"),
        (np.array([np.nan]), "empty"),
        ([datetime.date(2024, 1, 1)], "date"),
        ([datetime.timedelta(1), None], "date"),
        (np.array(["2024-01-01"], "datetime64[D]"), "date"),
        (np.array(["a"]), "text"),
        (np.array([True]), "number"),
    ],
)
def test_the_kind_follows_from_the_values(values: Any, kind: str) -> None:
    assert kind_of(values) == kind


def test_numbers_of_any_type_are_read() -> None:
    values = [1, 2.5, True, Decimal("0.5"), Fraction(1, 4), np.float32(2), np.int8(3), pd.NA, None]
    np.testing.assert_array_equal(numbers_of(values), [1, 2.5, 1, 0.5, 0.25, 2, 3, np.nan, np.nan])


def test_a_whole_number_beyond_the_range_of_floats_is_infinite() -> None:
    with pytest.raises(ValueError, match=r"is infinite in 1 of 3 rows, first in row 1 \(from 0\)"):
        numbers_of([1, 10**400, None])


@pytest.mark.parametrize(
    ("values", "what"),
    [
        (np.array(["1.5"]), "holds text, such as '1.5'"),
        (np.array(["2024-01-01"], "datetime64[D]"), "holds dates"),
        ([1.0, "1.5"], "is no number in 1 of 2 rows, first in row 1 .from 0., '1.5'"),
        ([[1.0], [2.0]], "one value a row"),
        (3.0, "one value a row"),
    ],
)
def test_what_holds_no_numbers_says_what_it_holds(values: Any, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        numbers_of(values)


def test_a_column_of_text_without_rows_holds_no_wrong_number() -> None:
    assert numbers_of(np.array([], dtype="U3")).shape == (0,)


def test_levels_of_an_array_of_numbers_are_those_of_a_list() -> None:
    values = [3.0, float("nan"), 0.5, -2.0]
    assert levels_of(np.array(values)) == levels_of(values) == ["3", None, "0.5", "-2"]


def test_codes_are_the_same_for_arrays_lists_and_series() -> None:
    levels = {"7": 0, "-1": 1}
    for values in (
        [7, -1, 9, None],
        np.array([7.0, -1.0, 9.0, np.nan]),
        pd.Series([7, -1, 9, None], dtype="Int64"),
    ):
        assert codes_of(values, levels, other=2, missing=3).tolist() == [0, 1, 2, 3]


def test_codes_of_text_that_looks_like_a_number_are_not_those_of_the_number() -> None:
    assert codes_of(["07", "7"], {"07": 0, "٣": 1}, other=2, missing=3).tolist() == [0, 2]


def test_codes_of_dates_and_of_lists_are_those_of_their_text() -> None:
    days = np.array(["2024-01-01", "2024-01-02"], "datetime64[D]")
    assert codes_of(days, {"2024-01-02": 0}, other=1, missing=2).tolist() == [1, 0]
    cells = np.empty(2, dtype=object)
    cells[:] = [[1], "a"]
    assert codes_of(cells, {"a": 0}, other=1, missing=2).tolist() == [1, 0]


def test_an_array_is_not_copied_and_a_list_keeps_its_values() -> None:
    array = np.arange(3.0)
    assert as_array(array) is array
    assert as_array([1, "a"]).tolist() == [1, "a"]


def test_shown_values_are_short_and_of_one_line() -> None:
    assert shown("a\nb") == "'a\\nb'"
    assert shown("x" * 100) == "'" + "x" * 39 + "..."
    assert shown(["a"]) == "'a'"


def test_a_moment_is_the_same_however_it_is_written() -> None:
    at = datetime.datetime(2013, 1, 31, 5, tzinfo=datetime.UTC)
    ways: list[Any] = [
        at,
        at.replace(tzinfo=None),
        at.astimezone(datetime.timezone(datetime.timedelta(hours=2))),
        "2013-01-31T05:00",
        "2013-01-31 05:00:00Z",
        "2013-01-31T07:00+02:00",
        np.datetime64("2013-01-31T05"),
    ]
    assert set(moments_of(ways).tolist()) == {at.replace(tzinfo=None)}
    assert moments_of(np.array(["2013-01-31T05"], "datetime64[h]")).tolist() == [at.replace(tzinfo=None)]
    assert moments_of([datetime.date(2013, 1, 31)]).tolist() == [datetime.datetime(2013, 1, 31)]


def test_a_missing_moment_is_not_a_time() -> None:
    assert np.isnat(moments_of([None, "", float("nan"), np.datetime64("NaT")])).all()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["2013-01-31", "soon"], r"is no time in 1 of 2 rows, first in row 1 \(from 0\), 'soon'; expected"),
        ([17.5], "is no time in 1 of 1 rows"),
        (np.array([17.5]), "holds numbers, such as 17.5; expected times"),
    ],
)
def test_what_is_no_moment_is_told(values: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        moments_of(values)
