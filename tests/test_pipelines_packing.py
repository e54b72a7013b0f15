"""Columns of any origin, packed for a table and unpacked again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipelines.packing import kind_of, pack, strings, unpack
from pipelines.plain_columns import missing, moments, plain


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.array([1.0]), "number"),
        (np.array([1]), "integer"),
        (np.array([True]), "boolean"),
        (np.array(["2013-03-01"], dtype="datetime64[D]"), "time"),
        (np.array(["a"]), "text"),
        ([1, 2.5, None], "number"),
        ([1, None], "integer"),
        ([True, None], "boolean"),
        ([True, 1], "text"),
        (["a", 1], "text"),
        ([datetime(2013, 3, 1)], "time"),
        ([float("nan"), None], None),
        (pd.Series(pd.array([1, None], dtype="Int64")), "number"),
        (pd.Series(["a", None], dtype="category"), "text"),
        (pd.Series([pd.NaT, pd.Timestamp("2013-03-01", tz="UTC")]), "time"),
        ([], None),
    ],
)
def test_a_column_is_of_the_kind_of_its_values(values: Any, kind: str | None) -> None:
    assert kind_of(plain(values)) == kind


@pytest.mark.parametrize("value", [None, float("nan"), np.float32("nan"), pd.NA, pd.NaT])
def test_every_mark_of_a_missing_value_is_known(value: Any) -> None:
    assert missing(value)


@pytest.mark.parametrize("value", [0, "", False, "nan"])
def test_a_value_that_is_false_is_not_missing(value: Any) -> None:
    assert not missing(value)


@pytest.mark.parametrize("kind", ["number", "integer", "boolean", "text", "time"])
@pytest.mark.parametrize(
    "values",
    [
        [1.5, None, "x"],
        [True, False],
        ["a", None],
        [2**60 + 1],
        [None, None],
        [float("inf"), 2],
        [np.int8(3)],
    ],
)
def test_values_survive_a_column_of_any_kind(kind: Any, values: list[Any]) -> None:
    packed = pack(values, kind)
    assert packed is not None
    found = unpack(packed.array, packed.odd, kind).tolist()
    assert [None if missing(value) else value for value in found] == values


def test_moments_of_any_zone_are_in_utc() -> None:
    east = timezone(timedelta(hours=2))
    found = moments([datetime(2013, 3, 1, 12, tzinfo=east), datetime(2013, 3, 1, 12), None, "noon"])
    expected = ["2013-03-01T10:00", "2013-03-01T12:00", "NaT", "NaT"]
    np.testing.assert_array_equal(found, np.array(expected, dtype="datetime64[us]"))


def test_moments_among_other_values_keep_their_text() -> None:
    packed = pack([datetime(2013, 3, 1, tzinfo=UTC), "noon"], "text")
    assert packed is not None
    assert packed.array.to_pylist() == [None, "noon"]
    assert packed.odd is not None
    assert packed.odd.to_pylist() == ['"2013-03-01 00:00:00+00:00"', None]


def test_a_lone_surrogate_is_no_reason_to_lose_a_row() -> None:
    assert strings(["a\ud800", "b"]).to_pylist() == ["a?", "b"]
    assert strings(["a\ud800", "a\ud800"]).to_pylist() == ["a?", "a?"]


@pytest.mark.parametrize("text", ["shop", "Käse", "", None])
def test_the_same_text_in_every_row_is_text_like_any_other(text: str | None) -> None:
    for rows in (1, 2, 5):
        found = strings([text] * rows)
        found.validate(full=True)
        assert (found.type, found.to_pylist()) == (pa.string(), [text] * rows)
    assert strings([text, "other", text]).to_pylist() == [text, "other", text]
    assert strings([]).to_pylist() == []
