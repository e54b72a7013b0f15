"""Few rows are prepared as the schema prepares many, to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.few_rows import FewRows
from models.preparation import PrepareConfig
from models.schema import CategoryColumn, NumberColumn, Schema, Target

NUMBERS = st.none() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
NAMES = NUMBERS | st.booleans() | st.text(max_size=3) | st.sampled_from(["a", "b", "7", 7, 7.0, "x"])


def _schema(**prepare: Any) -> Schema:
    rng = np.random.default_rng(0)
    rows = 400
    frame = {
        "number": [None if one < -1 else one for one in rng.normal(5, 2, rows).tolist()],
        "whole": rng.integers(0, 1000, rows).tolist(),
        "hour": rng.integers(5, 9, rows).tolist(),
        "name": rng.choice(["a", "b", "c"], rows).tolist(),
        "flag": (rng.random(rows) < 0.5).tolist(),
        "same": [3.5] * rows,
        "many": [f"m{one}" for one in rng.integers(0, 90, rows)],
        "y": rng.normal(size=rows).tolist(),
    }
    return Schema.fit(frame, "y", prepare=PrepareConfig(**prepare))


SCHEMAS = {
    "usual": _schema(),
    "robust": _schema(scaling="robust", missing="constant", missing_constant=-99.0),
    "quantile": _schema(scaling="quantile", encoding="hashing"),
    "cycles": _schema(cycles={"hour": 24}, missing_indicator=False),
}


@st.composite
def _rows(draw: Any, schema: Schema) -> list[list[Any]]:
    count = draw(st.integers(1, 5))
    return [
        draw(st.lists(NUMBERS if column.takes == "number" else NAMES, min_size=count, max_size=count))
        for column in schema.columns
    ]


@pytest.mark.parametrize("name", SCHEMAS)
@given(data=st.data())
def test_few_rows_have_the_very_inputs_that_the_schema_gives(name: str, data: Any) -> None:
    schema = SCHEMAS[name]
    columns = data.draw(_rows(schema))
    expected = schema.inputs(dict(zip(schema.column_names, columns, strict=True)))
    np.testing.assert_array_equal(FewRows(schema).inputs(columns), expected)


def test_a_value_that_is_far_out_does_not_overflow() -> None:
    column = NumberColumn("wind", median=0.0, mean=-1e308, scale=1e-9, indicator=False)
    schema = Schema((column,), Target("y", "regression"))
    assert FewRows(schema).inputs([[1e308, None]]).tolist() == [[8.0], [8.0]]


def test_a_schema_of_names_alone_has_no_numbers_to_scale() -> None:
    schema = Schema((CategoryColumn("name", ("a",)),), Target("y", "regression"))
    assert FewRows(schema).inputs([["a", "b", None]]).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
