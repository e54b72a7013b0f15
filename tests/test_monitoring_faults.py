"""Data faults: a broken feed is found, and nothing that the world may do by itself is taken for one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from monitoring.bins import reference_bins
from monitoring.faults import DataFault, data_faults
from monitoring.profile import Profile, merge_all, profile

Array = NDArray[Any]
Frame = dict[str, Array]
WEEKS = 10
ROWS = 400


def week(k: int, rows: int = ROWS) -> Frame:
    """A week of rows: number columns of several shapes, categories, a flag, a calendar."""
    rng = np.random.default_rng(100 + k)
    airline = rng.choice(np.array(["UA", "DL", "AA", "B6"], dtype=object), rows, p=[0.4, 0.3, 0.2, 0.1])
    return {
        "celsius": rng.normal(9 + 3 * np.sin(k), 8, rows),
        "price": rng.lognormal(3, 0.6, rows),
        "pressure": rng.normal(1013, 8, rows),
        "score": rng.normal(0, 1, rows),
        "count": rng.poisson(15, rows),
        "rain": np.where(rng.random(rows) < 0.85, 0.0, rng.exponential(2.0, rows)),
        "flag": rng.random(rows) < 0.03,
        "day": 7.0 * k + rng.integers(0, 7, rows),
        "month": np.full(rows, 1 + k // 4),
        "fixed": np.full(rows, 2.5),
        "airline": airline,
        "date": np.array(
            [f"2013-{1 + (7 * k + d) // 28:02d}-{(7 * k + d) % 28:02d}" for d in rng.integers(0, 7, rows)],
            dtype=object,
        ),
        "plane": np.array([f"N{p}" for p in rng.integers(0, 5000, rows)], dtype=object),
    }


BLOCK_ROWS = [week(k) for k in range(WEEKS)]
BINS = reference_bins({name: np.concatenate([w[name] for w in BLOCK_ROWS]) for name in BLOCK_ROWS[0]})
BLOCKS = [profile(rows, BINS) for rows in BLOCK_ROWS]
REFERENCE = merge_all(BLOCKS)


def faults(current: Frame, blocks: list[Profile] | None = None) -> tuple[DataFault, ...]:
    return data_faults(REFERENCE, profile(current, BINS), blocks=BLOCKS if blocks is None else blocks)


def changed(column: str, change: Callable[[Array], Array], k: int = 50) -> Frame:
    """Week 50 with one column changed."""
    rows = week(k)
    return {**rows, column: change(rows[column])}


def found(column: str, change: Callable[[Array], Array]) -> list[tuple[str, str]]:
    """The faults of that column, changed in week 50; the other columns are not counted, to save time."""
    reference, *blocks = (Profile(p.rows, (p.column(column),)) for p in (REFERENCE, *BLOCKS))
    current = profile({column: change(week(50)[column])}, reference.bins)
    return [(fault.column, fault.kind) for fault in data_faults(reference, current, blocks=blocks)]


def some(share: float, value: Any) -> Callable[[Array], Array]:
    """Replace that share of the rows by a value."""

    def change(values: Array) -> Array:
        return np.where(np.random.default_rng(0).random(len(values)) < share, value, values.astype(object))

    return change


def renamed(old: str, new: str) -> Callable[[Array], Array]:
    return lambda values: np.where(values == old, new, values)


# --- what is a fault ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["celsius", "airline", "flag"])
def test_a_column_that_is_not_there_is_a_fault(column: str) -> None:
    rows = week(50)
    del rows[column]
    assert [(fault.column, fault.kind) for fault in faults(rows)] == [(column, "column absent")]


@pytest.mark.parametrize("column", ["celsius", "airline", "rain", "fixed"])
def test_all_values_missing_is_a_fault(column: str) -> None:
    assert found(column, some(1.0, None)) == [(column, "all missing")]


@pytest.mark.parametrize("column", ["celsius", "airline"])
def test_a_burst_of_missing_values_is_a_fault(column: str) -> None:
    assert found(column, some(0.4, None)) == [(column, "many missing")]


@pytest.mark.parametrize("value", [np.inf, -np.inf, "n/a", "1,5"])
def test_text_or_infinite_in_a_number_column_is_a_fault(value: Any) -> None:
    assert found("price", some(0.1, value)) == [("price", "invalid values")]


@pytest.mark.parametrize("column", ["celsius", "price", "count", "score"])
@pytest.mark.parametrize("value", [0.0, 17.0, -999.0])
def test_a_stuck_number_is_a_fault(column: str, value: float) -> None:
    assert found(column, lambda values: np.full(len(values), value)) == [(column, "constant")]


@pytest.mark.parametrize("level", ["UA", "none"])
def test_a_stuck_category_is_a_fault(level: str) -> None:
    assert found("airline", lambda values: np.full(len(values), level, dtype=object)) == [
        ("airline", "constant")
    ]


@pytest.mark.parametrize("column", ["price", "pressure", "count", "score"])
@pytest.mark.parametrize("factor", [10, 60, 100, 1000, 0.1, 0.01, 1 / 60, 0.001])
def test_another_unit_is_a_fault(column: str, factor: float) -> None:
    assert found(column, lambda values: values * factor) == [(column, "another unit")]


@pytest.mark.parametrize(
    "change", [lambda c: 1.8 * c + 32, lambda c: c + 273.15], ids=["Fahrenheit", "Kelvin"]
)
def test_another_scale_of_temperature_is_a_fault(change: Callable[[Array], Array]) -> None:
    assert found("celsius", change) == [("celsius", "another unit")]


def test_fahrenheit_that_becomes_celsius_is_a_fault() -> None:
    fahrenheit = [{"t": 1.8 * rows["celsius"] + 32} for rows in BLOCK_ROWS]
    bins = reference_bins({"t": np.concatenate([rows["t"] for rows in fahrenheit])})
    blocks = [profile(rows, bins) for rows in fahrenheit]
    current = profile({"t": week(50)["celsius"]}, bins)
    assert data_faults(merge_all(blocks), current)[0].evidence.startswith("Fahrenheit to Celsius: mean 4")


def test_a_renamed_level_is_a_fault_that_names_both() -> None:
    assert [str(fault) for fault in faults(changed("airline", renamed("DL", "Delta")))] == [
        "airline: level renamed: 'DL' (30% of rows) is gone, 'Delta' is new (30%)"
    ]


def test_levels_in_another_spelling_are_a_fault() -> None:
    lower = np.vectorize(str.lower, otypes=[object])
    assert found("airline", lower) == [("airline", "level renamed")]


def test_levels_that_became_codes_are_a_fault() -> None:
    codes = np.random.default_rng(0).integers(0, 900, ROWS)
    assert found("airline", lambda values: codes) == [("airline", "unknown levels")]


# --- what is none ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", range(11, 60, 4))
def test_ordinary_weeks_have_no_fault(k: int) -> None:
    assert faults(week(k)) == ()


@pytest.mark.parametrize("deviations", [-3.0, -1.0, 0.5, 1.0, 3.0, 6.0])
@pytest.mark.parametrize("column", ["celsius", "price", "pressure", "score", "count"])
def test_a_shift_of_the_mean_is_no_fault(column: str, deviations: float) -> None:
    assert found(column, lambda values: values + deviations * values.std()) == []


@pytest.mark.parametrize("column", ["price", "count", "pressure", "score", "celsius"])
def test_slow_growth_is_no_fault_on_its_way_to_sevenfold(column: str) -> None:
    for factor in np.geomspace(1, 7, 25):
        assert found(column, lambda values, factor=factor: values * factor) == []  # type: ignore[misc]


def test_counts_that_grow_are_no_fault() -> None:
    for mean in np.geomspace(15, 120, 40):
        counts = np.random.default_rng(3).poisson(mean, ROWS)
        assert found("count", lambda values, counts=counts: counts) == []  # type: ignore[misc]


def test_a_new_season_is_no_fault() -> None:
    for warmer in range(-30, 31, 2):
        assert found("celsius", lambda values, warmer=warmer: values + warmer) == []  # type: ignore[misc]


def test_a_drift_of_the_spread_is_no_fault() -> None:
    for factor in (0.2, 0.5, 2, 4, 7):
        assert found("score", lambda values, factor=factor: values * factor) == []  # type: ignore[misc]


@pytest.mark.parametrize("column", ["rain", "flag", "month", "fixed"])
def test_a_column_that_often_stands_still_may_stand_still(column: str) -> None:
    assert found(column, lambda values: np.zeros(len(values))) == []


def test_a_constant_of_the_reference_that_moves_is_no_fault() -> None:
    assert found("fixed", lambda values: np.random.default_rng(0).normal(size=len(values))) == []


def test_a_few_infinite_values_are_no_fault() -> None:
    values = week(50)["price"].astype(object)
    values[:4] = [np.inf, "oops", -np.inf, "n/a"]
    assert found("price", lambda _: values) == []


def test_more_missing_values_than_before_are_no_fault_by_themselves() -> None:
    assert found("celsius", some(0.2, None)) == []


def test_a_column_that_was_missing_for_weeks_may_be_missing_again() -> None:
    sparse = [
        {"x": np.full(ROWS, np.nan) if k % 4 == 0 else rows["score"]} for k, rows in enumerate(BLOCK_ROWS)
    ]
    bins = reference_bins({"x": np.concatenate([rows["x"] for rows in sparse])})
    blocks = [profile(rows, bins) for rows in sparse]
    for current in ({"x": np.full(ROWS, np.nan)}, {"y": np.zeros(ROWS)}):
        assert data_faults(merge_all(blocks), profile(current, bins), blocks=blocks) == ()


def test_another_mixture_of_levels_is_no_fault() -> None:
    rng = np.random.default_rng(0)
    mixture = rng.choice(np.array(["UA", "B6", "WN"], dtype=object), ROWS, p=[0.1, 0.3, 0.6])
    assert found("airline", lambda values: mixture) == []


def test_a_level_that_goes_without_a_successor_is_no_fault() -> None:
    assert found("airline", renamed("B6", "UA")) == []


def test_without_windows_of_the_reference_only_the_plain_rules_speak() -> None:
    stuck = changed("celsius", lambda values: np.zeros(len(values)))
    codes = changed("airline", renamed("UA", "United"))
    gone = changed("score", some(1.0, None))
    assert [len(faults(rows, [])) for rows in (stuck, codes, gone)] == [0, 0, 1]


@pytest.mark.parametrize("rows", [0, 1, 10, 29])
def test_few_rows_prove_nothing(rows: int) -> None:
    for column, change in (
        ("celsius", some(1.0, None)),
        ("price", some(1.0, "x")),
        ("price", lambda v: v * 100),
    ):
        few = {name: values[:rows] for name, values in changed(column, change).items()}
        assert faults(few) == ()


def test_each_column_has_one_fault_at_most_and_all_columns_are_judged() -> None:
    rows = changed("celsius", some(1.0, None))
    rows["price"] = rows["price"] * 100
    rows["airline"] = renamed("UA", "United")(rows["airline"])
    assert [(fault.column, fault.kind) for fault in faults(rows)] == [
        ("celsius", "all missing"),
        ("price", "another unit"),
        ("airline", "level renamed"),
    ]


def test_profiles_of_other_bins_are_refused() -> None:
    other = profile({"x": np.arange(3.0)}, reference_bins({"x": np.arange(3.0)}))
    with pytest.raises(ValueError, match="other bins"):
        data_faults(REFERENCE, other)
