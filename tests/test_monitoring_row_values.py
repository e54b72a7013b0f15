"""Values of a column, whatever they came as."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from monitoring.row_values import as_array, holds_names, read_levels, read_numbers
from monitoring.values import is_missing, level_of


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([1, 2], np.int8), [1.0, 2.0]),
        ([True, False], [1.0, 0.0]),
        (["1e3", " ", "x"], [1000.0, np.nan, np.inf]),
        ([None, pd.NA, float("nan")], [np.nan] * 3),
        ([Decimal("2.5"), 10**400], [2.5, np.inf]),
    ],
)
def test_values_are_numbers_missing_or_none(values: Any, expected: list[float]) -> None:
    np.testing.assert_array_equal(read_numbers(values), expected)


@pytest.mark.parametrize(
    ("values", "names"),
    [(["a"], True), ([1, None], False), ([None], True), (np.zeros(0, object), True), ([1, "a"], True)],
)
def test_names_are_told_from_numbers(values: Any, names: bool) -> None:
    assert holds_names(values) is names


def test_one_level_is_one_whatever_its_type() -> None:
    levels, places = read_levels([1, 1.0, True, "1", None, np.nan])
    assert levels == ["1", None]
    assert places.tolist() == [0, 0, 0, 0, 1, 1]


def test_no_rows_have_no_levels() -> None:
    levels, places = read_levels([])
    assert (levels, len(places)) == ([], 0)


def test_a_whole_text_is_cut() -> None:
    assert len(level_of("x" * 1000)) == 200


def test_missing_is_known_in_all_its_forms() -> None:
    assert [is_missing(value) for value in (None, np.nan, pd.NaT, pd.NA, 0, "", "nan")] == [True] * 4 + [
        False
    ] * 3


def test_a_list_with_text_keeps_its_numbers() -> None:
    assert as_array([1, "a"]).tolist() == [1, "a"]
    assert as_array([1, 2.5]).dtype == np.float64
