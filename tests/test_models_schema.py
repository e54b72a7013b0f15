"""Rows become arrays by what the training rows taught, whatever holds them and whatever is wrong with them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.schema import (
    LEAST_ROWS,
    MOST_LEVELS,
    CategoryColumn,
    Fault,
    NumberColumn,
    Schema,
    SchemaError,
    Target,
    infer_task,
)


@pytest.fixture
def frame() -> pd.DataFrame:
    """Sixty flights, each kind of column once."""
    return pd.DataFrame(
        {
            "distance": np.tile([100.0, 300.0], 30),
            "wind": np.tile([1.0, np.nan, 3.0], 20),
            "hour": np.tile([7, 8, 9, 7, 8], 12),
            "carrier": ["UA"] * 40 + ["DL"] * 19 + ["XX"],
            "holiday": np.tile([True, False], 30),
            "late": np.tile(["no", "yes", "yes"], 20),
        }
    )


@pytest.fixture
def schema(frame: pd.DataFrame) -> Schema:
    return Schema.fit(frame, "late")


def row(**changes: Any) -> dict[str, Any]:
    values = {"distance": 200.0, "wind": 2.0, "hour": 8, "carrier": "UA", "holiday": True} | changes
    return {name: [value] for name, value in values.items()}


def named(schema: Schema, **changes: Any) -> dict[str, float]:
    """The inputs of one row by name, those that are not 0."""
    inputs = schema.inputs(row(**changes))[0].tolist()
    return {name: value for name, value in zip(schema.input_names, inputs, strict=True) if value}


def test_each_kind_of_column_is_learned_from_its_values(schema: Schema) -> None:
    distance, wind, hour, carrier, holiday = schema.columns
    assert distance == NumberColumn("distance", 200.0, 200.0, 100.0, indicator=False, low=100.0, high=300.0)
    assert isinstance(wind, NumberColumn)
    assert wind.indicator
    assert hour == CategoryColumn("hour", ("7", "8", "9"))
    assert carrier == CategoryColumn("carrier", ("UA", "DL"))
    assert holiday == NumberColumn("holiday", 0.5, 0.5, 0.5, indicator=False, low=0.0, high=1.0)
    assert schema.target == Target("late", "binary", ("no", "yes"), 0.0, 1.0)


def test_inputs_are_standardised_numbers_and_one_of_each_category(schema: Schema) -> None:
    assert named(schema, distance=300.0, hour=9, holiday=False) == {
        "distance": 1.0,
        "hour = 9": 1.0,
        "carrier = UA": 1.0,
        "holiday": -1.0,
    }
    assert schema.width == len(schema.input_names) == 13
    assert schema.inputs(row()).dtype == np.float32


def test_a_missing_number_is_the_median_and_says_so_where_training_rows_had_missing_ones(
    schema: Schema,
) -> None:
    assert named(schema, wind=None)["wind is missing"] == 1.0
    assert "wind is missing" not in named(schema)
    assert "distance" not in named(schema, distance=float("nan"))


def test_unseen_rare_and_missing_levels_have_a_place(schema: Schema) -> None:
    assert named(schema, carrier="ZZ")["carrier is another"] == 1.0
    assert named(schema, carrier="XX")["carrier is another"] == 1.0
    assert named(schema, carrier=None)["carrier is missing"] == 1.0
    assert named(schema, carrier="")["carrier is missing"] == 1.0


def test_a_whole_number_is_the_same_level_however_it_is_stored(schema: Schema) -> None:
    expected = named(schema, hour=8)
    for value in (8.0, "8", np.int64(8), np.float32(8)):
        assert named(schema, hour=value) == expected


def test_values_beyond_those_of_training_count_as_the_last_that_were_seen(schema: Schema) -> None:
    assert named(schema, distance=1e300)["distance"] == named(schema, distance=300.0)["distance"]
    assert named(schema, distance=-1e300)["distance"] == named(schema, distance=100.0)["distance"]


def test_far_values_without_limits_are_cut_at_eight_deviations() -> None:
    schema = Schema((NumberColumn("x", 0.0, 0.0, 1.0, False),), Target("late", "binary", ("no", "yes")))
    assert schema.inputs({"x": [1e300, -1e300]}).tolist() == [[8.0], [-8.0]]


def test_widening_lets_new_values_in_and_keeps_the_meaning_of_the_old(schema: Schema) -> None:
    wide = schema.widened({name: [500.0] for name in ("distance", "wind", "holiday")})
    assert named(wide, distance=200.0) == named(schema, distance=200.0)
    assert named(wide, distance=500.0)["distance"] == pytest.approx(3.0)
    assert named(schema, distance=500.0)["distance"] == pytest.approx(1.0)
    assert wide.width == schema.width


def test_a_constant_column_is_always_zero(frame: pd.DataFrame) -> None:
    schema = Schema.fit(frame.assign(distance=0.1), "late")
    assert "distance" not in named(schema, distance=5000.0)


def test_one_absurd_value_does_not_set_the_scale(frame: pd.DataFrame) -> None:
    values = np.random.default_rng(0).normal(size=6000)
    values[7] = 1e308
    schema = Schema.fit({"x": values, "late": np.tile(["no", "yes"], 3000)}, "late")
    (column,) = schema.columns
    assert isinstance(column, NumberColumn)
    assert column.scale == pytest.approx(1.0, abs=0.05)


def test_a_rare_one_among_zeros_is_kept(frame: pd.DataFrame) -> None:
    values = np.zeros(6000)
    values[:3] = 1.0
    schema = Schema.fit({"x": values, "late": np.tile(["no", "yes"], 3000)}, "late")
    assert schema.inputs({"x": [1.0]})[0, 0] == 8.0


def test_a_category_keeps_its_most_frequent_levels(frame: pd.DataFrame) -> None:
    names = [f"town {number:03}" for number in range(200) for _ in range(number + 1)]
    schema = Schema.fit({"town": names, "y": np.arange(len(names)) / 7}, "y")
    (column,) = schema.columns
    assert isinstance(column, CategoryColumn)
    assert len(column.levels) == MOST_LEVELS
    assert column.levels[0] == "town 199"


def test_a_name_for_each_row_has_no_level(frame: pd.DataFrame) -> None:
    schema = Schema.fit(frame.assign(carrier=[f"flight {number}" for number in range(60)]), "late")
    assert schema.columns[3] == CategoryColumn("carrier", ())


def test_a_column_without_a_value_takes_anything_later(frame: pd.DataFrame) -> None:
    schema = Schema.fit(frame.assign(wind=np.nan), "late")
    assert schema.columns[1] == CategoryColumn("wind", ())
    assert named(schema, wind=3.5)["wind is another"] == 1.0


def test_whole_numbers_with_many_values_are_numbers(frame: pd.DataFrame) -> None:
    assert isinstance(Schema.fit(frame.assign(hour=range(60)), "late").columns[2], NumberColumn)


@pytest.mark.parametrize(
    "dtypes",
    [
        {"hour": "Int64", "wind": "Float64", "holiday": "boolean", "carrier": "string"},
        {"carrier": "category", "hour": "category"},
        {"distance": object, "wind": object, "hour": object, "holiday": object, "carrier": object},
        {"hour": float, "distance": int},
        {"wind": "double[pyarrow]", "carrier": "string[pyarrow]"},
    ],
)
def test_the_same_rows_in_another_dtype_give_the_same_inputs(
    frame: pd.DataFrame, schema: Schema, dtypes: dict[str, Any]
) -> None:
    other = frame.astype(dtypes)
    np.testing.assert_array_equal(schema.inputs(other), schema.inputs(frame))
    assert Schema.fit(other, "late") == schema


def test_lists_and_arrays_give_what_the_frame_gives(frame: pd.DataFrame, schema: Schema) -> None:
    lists = {str(name): [None if pd.isna(value) else value for value in frame[name]] for name in frame}
    np.testing.assert_array_equal(schema.inputs(lists), schema.inputs(frame))
    np.testing.assert_array_equal(schema.targets(lists), schema.targets(frame))
    assert Schema.fit(lists, "late") == schema


def test_columns_may_come_in_another_order_and_with_others_beside(
    frame: pd.DataFrame, schema: Schema
) -> None:
    other = frame[frame.columns[::-1]].assign(comment="new")
    assert schema.check(other) == ()
    np.testing.assert_array_equal(schema.inputs(other), schema.inputs(frame))


def test_the_callers_rows_stay_as_they_are(frame: pd.DataFrame, schema: Schema) -> None:
    before = frame.copy()
    schema.inputs(frame)
    schema.targets(frame)
    pd.testing.assert_frame_equal(frame, before)


def test_no_rows_give_no_inputs(frame: pd.DataFrame, schema: Schema) -> None:
    assert schema.inputs(frame[:0]).shape == (0, schema.width)
    assert schema.inputs({name: [] for name in schema.column_names}).shape == (0, schema.width)


def test_targets_of_two_classes_are_zero_and_one(schema: Schema) -> None:
    targets = schema.targets({"late": ["yes", "no", None]})
    np.testing.assert_array_equal(targets, np.array([1, 0, np.nan], np.float32))
    assert targets.dtype == np.float32
    assert schema.outputs == 1


def test_targets_of_more_classes_are_positions(frame: pd.DataFrame) -> None:
    schema = Schema.fit(frame.drop(columns="late"), "hour", task="multiclass")
    assert schema.target.classes == ("7", "8", "9")
    targets = schema.targets({"hour": [9.0, 7.0, np.nan]})
    np.testing.assert_array_equal(targets, [2, 0, -1])
    assert targets.dtype == np.int32
    assert schema.outputs == 3


def test_targets_of_a_regression_keep_their_unit(frame: pd.DataFrame) -> None:
    schema = Schema.fit(frame.assign(price=np.arange(60) / 2), "price")
    assert schema.target.task == "regression"
    assert schema.target.classes == ()
    assert schema.target.mean == pytest.approx(14.75)
    assert schema.target.scale == pytest.approx(np.std(np.arange(60) / 2))
    np.testing.assert_array_equal(schema.targets({"price": [3, None]}), np.array([3, np.nan], np.float32))


def test_classes_that_are_numbers_are_sorted_as_numbers() -> None:
    assert Schema.fit({"x": [1.5, 2.5] * 15, "y": [10, 9, 100] * 10}, "y").target.classes == (
        "9",
        "10",
        "100",
    )


def test_true_and_false_are_the_same_classes_as_one_and_zero_when_the_truth_comes() -> None:
    schema = Schema.fit({"x": [1.5, 2.5] * 10, "y": [0, 1] * 10}, "y")
    np.testing.assert_array_equal(schema.targets({"y": [True, False]}), [1, 0])


def test_rows_without_a_target_teach_nothing(frame: pd.DataFrame) -> None:
    late = frame["late"].where(frame["distance"] == 100.0)
    schema = Schema.fit(frame.assign(late=late), "late")
    assert schema.columns[0] == NumberColumn("distance", 100.0, 100.0, 0.0, False, 100.0, 100.0)


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["a", "b", None], "binary"),
        (["a", "b", "c"], "multiclass"),
        ([True, False], "binary"),
        ([0.0, 1.0, np.nan], "binary"),
        (list(range(20)), "multiclass"),
        (list(range(21)), "regression"),
        ([0.5, 1.0], "regression"),
        (pd.Series(range(30)).astype("category"), "multiclass"),
        (pd.Series([1.5, 2.5], dtype="Float64"), "regression"),
    ],
)
def test_the_task_follows_from_the_target(values: Any, task: str) -> None:
    assert infer_task(values) == task


def test_a_task_that_was_chosen_is_kept(frame: pd.DataFrame) -> None:
    assert Schema.fit(frame, "hour", task="regression").target.task == "regression"
    assert Schema.fit(frame, "late", task="multiclass").outputs == 2


def test_columns_left_out_are_no_inputs(frame: pd.DataFrame) -> None:
    dated = frame.assign(when=pd.Timestamp("2024-01-01"))
    schema = Schema.fit(dated, "late", leave_out=["when", "wind", "not there"])
    assert schema.column_names == ("distance", "hour", "carrier", "holiday")


def test_all_faults_are_told_at_once(schema: Schema) -> None:
    faults = schema.check(
        {
            "distance": ["far", 1.0],
            "wind": [np.inf, 1.0],
            "hours": [7, 8],
            "carrier": ["UA", "DL"],
            "holiday": pd.to_datetime(["2024-01-01", "2024-01-02"]),
            "late": ["no", "maybe"],
        },
        with_target=True,
    )
    assert [fault.column for fault in faults] == ["distance", "wind", "hour", "holiday", "late"]
    text = [str(fault) for fault in faults]
    assert text[0] == (
        "column 'distance' is no number in 1 of 2 rows, first in row 0 (from 0), 'far'; expected numbers"
    )
    assert "infinite" in text[1]
    assert text[2] == "column 'hour' is missing; did you mean 'hours'?"
    assert "dates" in text[3]
    assert "'maybe' in row 1" in text[4]


def test_a_column_that_is_shorter_than_the_others_is_a_fault(schema: Schema) -> None:
    rows = row() | {"carrier": ["UA", "UA"]}
    assert schema.check(rows) == (Fault("carrier", "has 2 rows where the columns before it have 1"),)
    with pytest.raises(SchemaError, match="'carrier' has 2 rows"):
        schema.inputs(rows)


def test_a_column_that_is_there_twice_is_a_fault(frame: pd.DataFrame, schema: Schema) -> None:
    twice = pd.concat([frame, frame[["wind"]]], axis=1)
    assert [fault.column for fault in schema.check(twice)] == ["wind"]
    with pytest.raises(SchemaError, match=r"wind.*twice"):
        Schema.fit(twice, "late")


@pytest.mark.parametrize(
    "value",
    ["1.5", "", {}, [1], 1j, object(), float("inf"), -float("inf"), 10**400, pd.Timestamp("2024-01-01")],
)
def test_what_is_no_finite_number_is_refused_where_a_number_belongs(schema: Schema, value: Any) -> None:
    rows = row()
    rows["wind"] = np.array([None], dtype=object)
    rows["wind"][0] = value
    with pytest.raises(SchemaError, match="column 'wind'"):
        schema.inputs(rows)
    assert [fault.column for fault in schema.check(rows)] == ["wind"]


def test_a_missing_target_column_is_a_fault_only_where_it_is_asked_for(schema: Schema) -> None:
    assert schema.check(row()) == ()
    assert [fault.column for fault in schema.check(row(), with_target=True)] == ["late"]
    with pytest.raises(SchemaError, match="'late' is missing"):
        schema.targets(row())


def test_a_long_value_is_cut_in_a_message(schema: Schema) -> None:
    (fault,) = schema.check(row(wind="x\n" * 10_000))
    assert len(str(fault)) < 200
    assert "\n" not in str(fault)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ([None] * 60, "no value in any of 60 rows"),
        (["yes"] * 60, "one class only, 'yes'"),
        ([2.5] * 60, "same value, 2.5"),
        (["yes", "no"] * 4 + [None] * 52, f"8 of 60 rows; expected at least {LEAST_ROWS}"),
        ([f"name {number}" for number in range(60)], "60 different values in 60 rows"),
        ([np.inf, *range(59)], "infinite"),
        (pd.date_range("2024-01-01", periods=60), "dates"),
    ],
)
def test_a_target_that_cannot_be_learned_is_refused(frame: pd.DataFrame, target: Any, message: str) -> None:
    with pytest.raises(SchemaError, match=f"column 'late' .*{message}"):
        Schema.fit(frame.assign(late=target), "late")


def test_a_target_that_is_not_there_names_the_nearest_column(frame: pd.DataFrame) -> None:
    with pytest.raises(SchemaError, match="'lat' is missing; did you mean 'late'"):
        Schema.fit(frame, "lat")


def test_two_classes_are_asked_for_and_three_came(frame: pd.DataFrame) -> None:
    with pytest.raises(SchemaError, match="3 classes; expected 2"):
        Schema.fit(frame, "hour", task="binary")


def test_text_cannot_be_a_quantity(frame: pd.DataFrame) -> None:
    with pytest.raises(SchemaError, match=r"'carrier' .*expected numbers"):
        Schema.fit(frame, "carrier", task="regression")


def test_dates_are_refused_with_advice_together_with_other_faults(frame: pd.DataFrame) -> None:
    bad = frame.assign(when=pd.Timestamp("2024-01-01", tz="UTC"), wind=np.inf)
    with pytest.raises(SchemaError) as error:
        Schema.fit(bad, "late")
    assert [fault.column for fault in error.value.faults] == ["wind", "when"]
    assert "Leave it out" in str(error.value)


def test_dates_inside_objects_are_dates(frame: pd.DataFrame) -> None:
    days = pd.Series(pd.Timestamp("2024-01-01").date(), index=frame.index)
    with pytest.raises(SchemaError, match="holds dates"):
        Schema.fit(frame.assign(when=days), "late")


def test_a_target_alone_is_refused(frame: pd.DataFrame) -> None:
    with pytest.raises(SchemaError, match="at least one other column"):
        Schema.fit(frame[["late"]], "late")


def test_a_column_of_another_length_is_refused_in_training() -> None:
    with pytest.raises(SchemaError, match="has 3 rows where the target has 20"):
        Schema.fit({"x": [1, 2, 3], "y": [0, 1] * 10}, "y")


def test_a_column_name_that_is_not_text_is_refused(frame: pd.DataFrame) -> None:
    with pytest.raises(SchemaError, match="column 7 has a name that is not text"):
        Schema.fit(frame.rename(columns={"wind": 7}), "late")


def test_the_schema_survives_json_and_keeps_its_identity(frame: pd.DataFrame, schema: Schema) -> None:
    again = Schema.from_json(schema.to_json())
    assert again == schema
    assert again.identity == schema.identity
    assert len(schema.identity) == 16
    assert Schema.fit(frame.assign(wind=1.0), "late").identity != schema.identity


def test_a_level_may_hold_any_text(frame: pd.DataFrame) -> None:
    schema = Schema.fit(frame.assign(carrier=['a"\n', "\ud800", "é"] * 20), "late")
    assert Schema.from_json(schema.to_json()) == schema


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "{}", '{"version": 2}', '{"version": 1, "columns": [{"kind": "x"}], "target": {}}'],
)
def test_anything_else_is_not_a_schema(text: str) -> None:
    with pytest.raises(ValueError, match="not a schema"):
        Schema.from_json(text)


def test_an_unknown_kind_of_column_is_named(schema: Schema) -> None:
    whole = json.loads(schema.to_json())
    whole["columns"][0]["kind"] = "picture"
    with pytest.raises(ValueError, match="kind 'picture'"):
        Schema.from_json(json.dumps(whole))


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=3),
    st.sampled_from(["UA", "DL", 7, 8]),
)


@settings(max_examples=200)
@given(st.lists(st.tuples(VALUES, VALUES, VALUES), max_size=5))
def test_any_rows_are_either_refused_with_faults_or_become_finite_inputs(
    cells: list[tuple[Any, Any, Any]],
) -> None:
    schema = Schema(
        (
            NumberColumn("a", 0.0, 0.0, 1.0, True),
            CategoryColumn("b", ("UA", "8")),
            NumberColumn("c", 1.0, 1.0, 0.0, False),
        ),
        Target("y", "binary", ("no", "yes")),
    )
    rows = {name: [cell[position] for cell in cells] for position, name in enumerate("abc")}
    if schema.check(rows):
        with pytest.raises(SchemaError):
            schema.inputs(rows)
    else:
        inputs = schema.inputs(rows)
        assert inputs.shape == (len(cells), schema.width)
        assert np.abs(inputs).max(initial=0.0) <= 8.0
        np.testing.assert_array_equal(inputs[:, 2:6].sum(axis=1), np.ones(len(cells)))


def test_the_schema_works_where_pandas_and_keras_are_not_loaded() -> None:
    code = (
        "import sys; from models import Schema; "
        "s = Schema.fit({'x': [1, 2.5, None, 4] * 5, 'c': ['a', 'b'] * 10, 'y': [0, 1] * 10}, 'y'); "
        "s.inputs({'x': [1], 'c': ['a']}); Schema.from_json(s.to_json()); "
        "sys.exit(bool({'pandas', 'keras', 'tensorflow', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
