"""Other ways to prepare rows: learned on training rows, the same after JSON, untouched where nothing is asked."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import QuantileTransformer

from models.preparation import (
    CyclicColumn,
    DateColumn,
    HashedColumn,
    PrepareConfig,
    QuantileColumn,
    robust_centre_and_scale,
)
from models.schema import CategoryColumn, EmbeddedColumn, NumberColumn, Schema, SchemaError

ROWS = 1000


def frame(rows: int = ROWS) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "wind": rng.exponential(3, rows),
            "rain": np.where(np.arange(rows) % 5 == 0, np.nan, rng.normal(2, 1, rows)),
            "direction": rng.uniform(0, 360, rows),
            "airport": [f"A{number}" for number in rng.integers(0, 150, rows)],
            "carrier": rng.choice(["UA", "DL"], rows),
            "booked": (pd.Timestamp("2013-01-01") + pd.to_timedelta(np.arange(rows) * 13, unit="h")).astype(
                str
            ),
            "y": rng.normal(size=rows),
        }
    )


def fitted(*names: str, rows: pd.DataFrame | None = None, **settings: Any) -> Schema:
    chosen = (frame() if rows is None else rows)[[*names, "y"]]
    return Schema.fit(chosen, "y", prepare=PrepareConfig(**settings))


def inputs(schema: Schema, **columns: list[Any]) -> Any:
    return schema.inputs(columns)


# --- nothing asked for ---


def test_without_settings_a_schema_is_what_it_always_was() -> None:
    rows = frame().drop(columns="booked")
    schema = Schema.fit(rows, "y")
    assert schema == Schema.fit(rows, "y", prepare=PrepareConfig())
    written = json.loads(schema.to_json())
    assert [sorted(column) for column in written["columns"][:1]] == [
        ["high", "indicator", "kind", "low", "mean", "median", "name", "scale"]
    ]
    assert schema.identity == hashlib.sha256(schema.to_json().encode()).hexdigest()[:16]


def test_a_schema_written_before_there_were_settings_is_read() -> None:
    text = (
        '{"version": 1, "columns": [{"kind": "number", "name": "x", "median": 1.0, "mean": 2.0, "scale": 0.5, '
        '"indicator": true, "low": 0.0, "high": 4.0}, {"kind": "category", "name": "c", "levels": ["a"]}], '
        '"target": {"name": "y", "task": "regression", "classes": [], "mean": 0.0, "scale": 1.0}}'
    )
    schema = Schema.from_json(text)
    assert schema.columns == (NumberColumn("x", 1.0, 2.0, 0.5, True, 0.0, 4.0), CategoryColumn("c", ("a",)))
    assert schema.to_json() == text


# --- scaling ---


def test_a_robust_scale_is_that_of_the_middle_half() -> None:
    (column,) = fitted("wind", scaling="robust").columns
    assert isinstance(column, NumberColumn)
    low, middle, high = np.quantile(frame()["wind"], [0.25, 0.5, 0.75])
    assert (column.mean, column.scale) == pytest.approx((middle, (high - low) / 1.349))


def test_a_robust_scale_of_a_normal_column_is_its_deviation() -> None:
    numbers = np.random.default_rng(0).normal(7, 3, 100_000)
    assert robust_centre_and_scale(numbers) == pytest.approx((7, 3), rel=0.02)


def test_a_column_that_is_mostly_one_value_keeps_its_standard_scale() -> None:
    rows = frame().assign(wind=np.where(np.arange(ROWS) % 5 == 0, frame()["wind"], 0.0))
    assert fitted("wind", rows=rows, scaling="robust") == fitted("wind", rows=rows)


def test_a_quantile_scale_is_close_to_that_of_scikit_learn() -> None:
    rows = frame()
    schema = fitted("wind", scaling="quantile")
    theirs = QuantileTransformer(n_quantiles=ROWS, output_distribution="normal").fit(
        rows[["wind"]].to_numpy()
    )
    ours = schema.inputs(rows)[:, 0]
    inner = np.abs(ours) < 2
    np.testing.assert_allclose(ours[inner], theirs.transform(rows[["wind"]].to_numpy())[inner, 0], atol=0.05)


def test_a_quantile_scale_is_normal_whatever_the_column_and_keeps_the_order() -> None:
    schema = fitted("wind", scaling="quantile")
    scores = schema.inputs(frame())[:, 0]
    assert (scores.mean(), scores.std()) == pytest.approx((0, 1), abs=0.05)
    order = np.argsort(frame()["wind"])
    assert (np.diff(scores[order]) >= 0).all()
    assert np.abs(inputs(schema, wind=[-1e300, 1e300])).max() == pytest.approx(2.807, abs=0.001)


def test_a_value_that_many_rows_share_has_their_middle_rank() -> None:
    numbers = np.array([0.0] * 500 + list(np.linspace(1, 2, 500)))
    column = QuantileColumn.fit("x", numbers, 0.0, indicator=False)
    filled = np.zeros((1, 1), np.float32)
    column.fill(filled, [0.0])
    assert filled[0, 0] == pytest.approx(-0.674, abs=0.01)  # rank 0.25


# --- missing ---


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "median"),
        ({"missing": "mean"}, "mean"),
        ({"missing": "constant", "missing_constant": -1.0}, -1.0),
        ({"missing": "constant", "missing_constant": 99.0}, 99.0),
        ({"missing": "constant", "missing_constant": 99.0, "scaling": "robust"}, 99.0),
    ],
)
def test_a_missing_number_is_what_was_asked_for(settings: dict[str, Any], expected: Any) -> None:
    schema = fitted("rain", **settings)
    (column,) = schema.columns
    assert isinstance(column, NumberColumn)
    value = getattr(frame()["rain"], expected)() if isinstance(expected, str) else expected
    given_in = (value - column.mean) / column.scale
    np.testing.assert_allclose(inputs(schema, rain=[None]), [[np.clip(given_in, -8, 8), 1]], rtol=1e-5)


def test_the_input_that_says_missing_may_be_left_out() -> None:
    assert fitted("rain", missing_indicator=False).input_names == ("rain",)
    assert fitted("rain").input_names == ("rain", "rain is missing")


def test_a_missing_number_has_its_place_on_a_quantile_scale() -> None:
    schema = fitted("rain", scaling="quantile")
    np.testing.assert_allclose(inputs(schema, rain=[None]), [[0, 1]], atol=0.01)


# --- categories ---


def test_many_levels_are_hashed_and_few_are_not() -> None:
    schema = fitted("airport", "carrier", encoding="hashing", hash_inputs=16)
    airport, carrier = schema.columns
    assert airport == HashedColumn("airport", 16)
    assert isinstance(carrier, CategoryColumn)
    prepared = schema.inputs(frame())
    assert prepared.shape == (ROWS, 17 + 4)
    assert (np.abs(prepared[:, :17]).sum(axis=1) == 1).all()
    assert (prepared[:, :16] != 0).any(axis=0).all()


@given(st.lists(st.one_of(st.none(), st.text(max_size=5), st.integers(-9, 9)), min_size=1, max_size=20))
def test_a_level_has_one_place_wherever_it_comes(levels: list[Any]) -> None:
    column = HashedColumn("x", 8)
    together = np.zeros((len(levels), 9), np.float32)
    column.fill(together, levels)
    for row, level in enumerate(levels):
        alone = np.zeros((1, 9), np.float32)
        column.fill(alone, [level])
        np.testing.assert_array_equal(alone[0], together[row])
    assert all(together[row, 8] == (level is None or level == "") for row, level in enumerate(levels))


def test_the_place_of_a_level_is_the_same_in_every_process() -> None:
    filled = np.zeros((3, 9), np.float32)
    HashedColumn("x", 8).fill(filled, ["EWR", "JFK", None])
    assert [int(place) for place in np.abs(filled).argmax(axis=1)] == [1, 7, 8]


def test_no_rows_are_hashed_to_none() -> None:
    schema = Schema((HashedColumn("x", 4),), fitted("wind").target)
    assert schema.inputs({"x": []}).shape == (0, 5)


def test_many_levels_are_embedded_and_few_are_not() -> None:
    schema = fitted("airport", "carrier", encoding="embedding", embedding_size=5)
    airport, carrier = schema.columns
    assert isinstance(airport, EmbeddedColumn)
    assert airport.size == 5
    assert len(airport.levels) > 64
    assert type(carrier) is CategoryColumn
    assert schema.embedded == ((airport, slice(0, len(airport.levels) + 2)),)
    assert Schema.from_json(schema.to_json()) == schema


def test_an_embedded_column_has_the_inputs_of_a_category() -> None:
    schema = fitted("airport", encoding="embedding")
    (airport,) = schema.columns
    assert isinstance(airport, EmbeddedColumn)
    plain = Schema((CategoryColumn("airport", airport.levels),), schema.target)
    assert schema.input_names == plain.input_names
    np.testing.assert_array_equal(schema.inputs(frame()), plain.inputs(frame()))


def test_the_most_frequent_levels_are_embedded() -> None:
    schema = fitted("airport", encoding="embedding", embedding_levels=70)
    assert len(schema.embedded[0][0].levels) == 70


def test_numbers_that_are_names_become_a_category() -> None:
    stations = np.arange(ROWS) % 40
    rows = {"station": stations, "y": np.arange(ROWS) % 2}
    (number,) = Schema.fit(rows, "y").columns
    assert isinstance(number, NumberColumn)
    (category,) = Schema.fit(rows, "y", prepare=PrepareConfig(categories=("station",))).columns
    assert category == CategoryColumn("station", tuple(sorted(map(str, range(40)))))


@pytest.mark.parametrize("other", [{"dates": ("x",)}, {"cycles": {"x": 24}}])
def test_a_column_is_named_in_one_list_only(other: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"'x' is named in \w+ and in categories"):
        PrepareConfig(categories=("x",), **other)


# --- cycles and dates ---


def test_a_cycle_closes() -> None:
    schema = fitted("direction", cycles={"direction": 360})
    prepared = inputs(schema, direction=[0, 90, 180, 270, 360, -90])
    np.testing.assert_allclose(prepared, [[0, 1], [1, 0], [0, -1], [-1, 0], [0, 1], [-1, 0]], atol=1e-6)
    assert schema.input_names == ("direction sine", "direction cosine")


def test_a_cycle_takes_whole_numbers_that_would_have_been_a_category() -> None:
    rows = frame().assign(hour=np.arange(ROWS) % 24)
    (column,) = fitted("hour", rows=rows, cycles={"hour": 24}).columns
    assert column == CyclicColumn("hour", 24.0, False)


def test_a_missing_cycle_is_no_direction_and_says_so() -> None:
    schema = fitted("rain", cycles={"rain": 12})
    np.testing.assert_array_equal(inputs(schema, rain=[None]), [[0, 0, 1]])


def test_a_date_is_its_hour_weekday_day_of_the_year_and_a_trend() -> None:
    schema = fitted("booked", dates=("booked",))
    assert schema.input_names == (
        "booked hour sine",
        "booked hour cosine",
        "booked weekday sine",
        "booked weekday cosine",
        "booked day of year sine",
        "booked day of year cosine",
        "booked trend",
    )
    morning, week_later = inputs(schema, booked=["2013-03-04T06:00", "2013-03-11T06:00"])
    np.testing.assert_allclose(morning[:2], [1, 0], atol=1e-6)
    np.testing.assert_allclose(morning[:4], week_later[:4], atol=1e-5)
    assert week_later[6] > morning[6]
    trend = schema.inputs(frame())[:, 6]
    assert (trend.mean(), trend.std()) == pytest.approx((0, 1), abs=1e-5)


def test_what_does_not_vary_or_is_the_trend_is_no_input() -> None:
    midnights = pd.date_range("2013-01-01", periods=ROWS, freq="D").astype(str)
    short = pd.date_range("2013-01-01", periods=ROWS, freq="h").astype(str)
    days = fitted("booked", rows=frame().assign(booked=midnights), dates=("booked",))
    hours = fitted("booked", rows=frame().assign(booked=short), dates=("booked",))
    assert [name for name in days.input_names if "hour" in name] == []
    assert [name for name in hours.input_names if "year" in name] == []


def test_a_later_moment_counts_as_the_last_until_the_schema_is_widened() -> None:
    schema = fitted("booked", dates=("booked",))
    last, later = inputs(schema, booked=[frame()["booked"].iloc[-1], "2033-01-01"])
    assert last[6] == later[6]
    wider = schema.widened({"booked": ["2016-01-01", None]})
    assert wider.inputs({"booked": ["2033-01-01"]})[0, 6] > last[6]
    assert schema.widened({"booked": [None]}) == schema
    np.testing.assert_array_equal(wider.inputs(frame()), schema.inputs(frame()))


def test_dates_are_the_same_however_they_are_stored() -> None:
    rows = frame().assign(booked=pd.to_datetime(frame()["booked"]))
    stored = fitted("booked", rows=rows, dates=("booked",))
    assert stored == fitted("booked", dates=("booked",))
    np.testing.assert_array_equal(stored.inputs(rows), stored.inputs(frame()))


def test_what_is_no_date_is_a_fault_in_training_and_in_service() -> None:
    with pytest.raises(
        SchemaError, match="column 'carrier' is no time in 1,000 of 1,000 rows, first in row 0"
    ):
        fitted("carrier", dates=("carrier",))
    schema = fitted("booked", dates=("booked",))
    (fault,) = schema.check({"booked": ["2013-01-01", "soon"]})
    assert fault.problem.startswith("is no time in 1 of 2 rows, first in row 1 (from 0), 'soon'")


def test_a_date_is_not_watched_for_it_moves_on_by_nature() -> None:
    assert fitted("wind", "booked", dates=("booked",)).watched_names == ("wind",)


def test_a_missing_date_is_nothing_and_says_so() -> None:
    rows = frame()
    rows.loc[::7, "booked"] = None
    schema = fitted("booked", rows=rows, dates=("booked",))
    np.testing.assert_array_equal(inputs(schema, booked=[None]), [[0] * 7 + [1]])
    assert isinstance(schema.columns[0], DateColumn)


# --- all of them ---


@pytest.mark.parametrize("scaling", ["standard", "robust", "quantile"])
def test_every_kind_of_column_survives_json(scaling: str) -> None:
    settings = {
        "encoding": "hashing",
        "dates": ("booked",),
        "cycles": {"direction": 360.0},
        "scaling": scaling,
    }
    schema = Schema.fit(frame(), "y", prepare=PrepareConfig(**settings))  # type: ignore[arg-type]
    again = Schema.from_json(schema.to_json())
    assert (again, again.identity) == (schema, schema.identity)
    np.testing.assert_array_equal(again.inputs(frame()), schema.inputs(frame()))
    assert np.isfinite(schema.inputs(frame())).all()
    assert schema.inputs(frame()).shape == (ROWS, len(schema.input_names))


def test_what_is_learned_is_learned_from_the_rows_that_came() -> None:
    early = frame().iloc[:500]
    settings = PrepareConfig(scaling="quantile", dates=("booked",), cycles={"direction": 360.0})
    schema = Schema.fit(early, "y", prepare=settings)
    later = frame().assign(wind=lambda rows: np.where(np.arange(ROWS) < 500, rows["wind"], 1e6))
    assert Schema.fit(later.iloc[:500], "y", prepare=settings) == schema


def test_a_column_that_is_named_and_not_there_is_a_fault() -> None:
    with pytest.raises(SchemaError, match="column 'winds' is missing; did you mean 'wind'"):
        fitted("wind", cycles={"winds": 3.0})


@pytest.mark.parametrize("period", [0, -1, float("inf"), True, "day"])
def test_a_period_that_is_none_is_refused(period: Any) -> None:
    with pytest.raises(ValueError, match=r"cycles: the period of 'hour' is .*; expected a number above 0"):
        PrepareConfig(cycles={"hour": period})


def test_a_column_cannot_be_a_date_and_a_cycle() -> None:
    with pytest.raises(ValueError, match="'hour' is named in dates and in cycles"):
        PrepareConfig(dates=("hour",), cycles={"hour": 24})
