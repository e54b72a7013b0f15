"""Every way of writing rows gives the same rows, and every mistake is named with its place."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.schema import Schema
from pipelines.invocations import BadRequest, Form, Invocation, read_invocation

FRAME = {
    "hour": [5, 6, 7] * 10,
    "carrier": ["UA", "DL", "B6"] * 10,
    "wind": [1.5, None, 2.5] * 10,
    "holiday": [True, False] * 15,
    "late": ["yes", "no"] * 15,
}
SCHEMA = Schema.fit(FRAME, "late")
ROWS: list[dict[str, Any]] = [
    {"hour": 5, "carrier": "UA", "wind": 1.5, "holiday": True},
    {"hour": 7, "carrier": None, "wind": None, "holiday": False},
]
COLUMNS = {name: [row[name] for row in ROWS] for name in ROWS[0]}
BOOLEANS = frozenset({"holiday"})


def ask(content: Any, content_type: str = "application/json") -> Invocation:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return read_invocation(body, content_type, Form(SCHEMA, BOOLEANS))


SPLIT = {"columns": list(ROWS[0]), "data": [list(row.values()) for row in ROWS]}


@pytest.mark.parametrize(
    "content",
    [
        {"dataframe_split": SPLIT},
        {"dataframe_split": {**SPLIT, "index": [0, 1]}},
        {"dataframe_records": ROWS},
        {"inputs": COLUMNS},
        {"inputs": ROWS},
        {"instances": ROWS},
        {"instances": SPLIT["data"]},
        {"dataframe_records": [{**row, "unknown": "x"} for row in ROWS]},
    ],
)
def test_every_form_of_mlflow_gives_the_same_rows(content: Any) -> None:
    asked = ask(content)
    assert asked.columns == COLUMNS
    assert (asked.rows, asked.ids, asked.times) == (2, None, None)


def test_what_pandas_writes_as_csv_gives_the_same_rows() -> None:
    text = pd.DataFrame(ROWS).to_csv(index=False)
    assert ask(text.encode(), "text/csv; charset=UTF-8").columns == COLUMNS


def test_csv_takes_whole_numbers_that_pandas_wrote_with_a_point_as_the_level_that_they_are() -> None:
    asked = ask(b"hour,carrier,wind,holiday\n5.0,UA,,false\n,B6,2e1,NaN\n", "text/csv")
    assert asked.columns == {
        "hour": [5, None],
        "carrier": ["UA", "B6"],
        "wind": [None, 20.0],
        "holiday": [False, None],
    }


def test_one_row_may_be_written_without_lists() -> None:
    assert ask({"inputs": ROWS[0]}).rows == 1


def test_a_record_that_lacks_a_column_has_no_value_there() -> None:
    assert ask({"dataframe_records": [ROWS[0], {"hour": 6}]}).columns["wind"] == [1.5, None]


def test_ids_and_times_may_stand_beside_the_rows() -> None:
    asked = ask({"inputs": ROWS, "ids": ["a", "b"], "times": ["2013-03-01T12:00:00+02:00", "2013-03-01"]})
    assert asked.ids == ("a", "b")
    assert asked.times is not None
    expected = np.array(["2013-03-01T10:00", "2013-03-01T00:00"], dtype="datetime64[us]")
    np.testing.assert_array_equal(asked.times, expected)


def _with(**changes: Any) -> dict[str, Any]:
    return {"dataframe_records": [ROWS[0], {**ROWS[1], **changes}]}


@pytest.mark.parametrize(
    ("content", "field", "reason"),
    [
        (b"", "", "not JSON"),
        (b"{", "", "not JSON"),
        (b'{"inputs": {"wind": [NaN]}}', "", "not JSON"),
        (b'{"inputs": {"wind": [Infinity]}}', "", "not JSON"),
        (b'{"inputs": "\xff"}', "", "not JSON"),
        (b'{"inputs": "\\ud800"}', "", "not JSON"),
        (b"[" * 100_000, "", "not JSON"),
        ([], "", "the body is a list; expected an object"),
        ({}, "", "expected exactly one of dataframe_split"),
        ({"inputs": [], "instances": []}, "", "expected exactly one of dataframe_split"),
        ({"inputs": COLUMNS, "id": ["a"]}, "id", "no part of a request"),
        ({"inputs": []}, "", "holds no rows"),
        ({"inputs": {}}, "", "holds no rows"),
        ({"inputs": 3}, "inputs", "a number; expected a list of rows"),
        ({"inputs": [3]}, "inputs[0]", "a number; expected an object"),
        ({"inputs": [[1]]}, "inputs[0]", "expected a list of 4 values"),
        ({"inputs": {**COLUMNS, "wind": [1.0]}}, "wind", "1 values; expected 2, as in another column"),
        ({"inputs": {"hour": [1]}}, "carrier", "missing; expected the columns hour, carrier"),
        ({"dataframe_split": []}, "dataframe_split", "an object with columns and data"),
        ({"dataframe_split": {"columns": [1], "data": []}}, "dataframe_split.columns", "a list of names"),
        (
            {"dataframe_split": {"columns": ["a", "a"], "data": []}},
            "dataframe_split.columns",
            "a name comes twice",
        ),
        ({"dataframe_split": {"columns": ["a"], "data": 1}}, "dataframe_split.data", "a list of rows"),
        (
            {"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}},
            "dataframe_split.data[0]",
            "a list of 1 values",
        ),
        (_with(wind="strong"), "wind", "a text in row 1 (from 0); expected a number or null"),
        (_with(wind=True), "wind", "true or false in row 1 (from 0); expected a number or null"),
        (_with(wind=[1]), "wind", "a list in row 1"),
        (_with(carrier={}), "carrier", "an object in row 1 (from 0); expected a text, a number or null"),
        (b'{"inputs": {"hour": 5, "carrier": "UA", "wind": 1e999, "holiday": true}}', "", ""),
        ({"inputs": ROWS, "ids": "ab"}, "ids", "a list of 2 texts"),
        ({"inputs": ROWS, "ids": ["a"]}, "ids", "a list of 2 texts"),
        ({"inputs": ROWS, "ids": ["a", 1]}, "ids[1]", "1 to 200 printable"),
        ({"inputs": ROWS, "ids": ["a", ""]}, "ids[1]", "1 to 200 printable"),
        ({"inputs": ROWS, "ids": ["a", "a\nb"]}, "ids[1]", "1 to 200 printable"),
        ({"inputs": ROWS, "ids": ["a", "a"]}, "ids", "an id comes twice"),
        ({"inputs": ROWS, "times": ["2013-03-01"]}, "times", "a list of 2 times"),
        ({"inputs": ROWS, "times": ["2013-03-01", "noon"]}, "times[1]", "ISO 8601"),
        ({"inputs": ROWS, "times": ["2013-03-01", 5]}, "times[1]", "ISO 8601"),
        ({"inputs": ROWS, "times": ["2013-03-01", "0001-01-01T00:00:00+14:00"]}, "times[1]", "ISO 8601"),
        (b'{"inputs": [], "inputs": []}', "inputs", "the name comes twice in one object"),
        (b'{"inputs": {"wind": [1], "wind": [2]}}', "wind", "the name comes twice"),
        (b'{"dataframe_records": [{"wind": 1, "wind": 2}]}', "wind", "the name comes twice"),
        (b'{"a": {"b": {"c": 1, "c": 1}}}', "c", "the name comes twice"),
    ],
)
def test_a_mistake_is_refused_with_its_place(content: Any, field: str, reason: str) -> None:
    with pytest.raises(BadRequest) as refused:
        ask(content)
    assert refused.value.status == 400
    assert refused.value.field == field or not field
    assert reason in refused.value.reason


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        (b"", "", "the body is empty"),
        (b"hour,carrier,wind,holiday\n", "", "holds no rows"),
        (b"hour,carrier,wind,holiday\n5,UA,1\n", "row[0]", "a list of 4 values"),
        (b"hour,hour\n5,5\n", "", "a column name comes twice"),
        (
            b"hour,carrier,wind,holiday\n5,UA,strong,true\n",
            "wind",
            "'strong' in row 0 (from 0); expected a number",
        ),
        (b"hour,carrier,wind,holiday\n5,UA,inf,true\n", "wind", "infinite"),
        (b'hour\n"5\n', "", "not CSV"),
        (b"hour\n\xff\n", "", "not CSV in UTF-8"),
    ],
)
def test_a_mistake_in_csv_is_refused_with_its_place(body: bytes, field: str, reason: str) -> None:
    with pytest.raises(BadRequest) as refused:
        ask(body, "text/csv")
    assert (refused.value.field, refused.value.status) == (field, 400)
    assert reason in refused.value.reason


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/json; charset=latin-1", "text/csv; x=1"]
)
def test_another_type_of_content_is_refused(content_type: str) -> None:
    with pytest.raises(BadRequest) as refused:
        ask({"inputs": ROWS}, content_type)
    assert refused.value.status == 415


def test_a_refusal_names_the_rule_and_what_was_expected() -> None:
    with pytest.raises(BadRequest) as refused:
        ask(_with(wind="strong"))
    assert (refused.value.rule, refused.value.expected) == ("type", "a number or null")


def test_a_colon_in_a_text_is_no_name() -> None:
    assert ask(_with(carrier='a": 1, ":')).columns["carrier"][1] == 'a": 1, ":'


def test_more_rows_than_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.invocations.MOST_ROWS", 1)
    with pytest.raises(BadRequest, match="2 rows; expected at most 1 in a request") as refused:
        ask({"inputs": ROWS})
    assert refused.value.status == 413


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.sampled_from(["dataframe_split", "dataframe_records", "inputs", "instances"]), JSON_VALUES, JSON_VALUES
)
def test_whatever_comes_is_read_or_refused(form: str, value: Any, ids: Any) -> None:
    try:
        asked = ask({form: value, "ids": ids})
    except BadRequest:
        return
    assert SCHEMA.inputs(asked.columns).shape == (asked.rows, SCHEMA.width)
