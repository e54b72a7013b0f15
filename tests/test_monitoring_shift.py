"""Shift: equal to the formulas others use, quiet where nothing changes, quick where something does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial import distance as scipy_distance

from monitoring.bins import ColumnBins, reference_bins
from monitoring.profile import ColumnProfile, Profile, merge_all, profile
from monitoring.shift import (
    ShiftResult,
    ShiftThresholds,
    calibrate,
    compare,
    distance_of,
    jensen_shannon,
    population_stability,
    weight_of,
)

Floats = NDArray[np.float64]
COLUMNS = 20


@dataclass(frozen=True)
class Stream:
    """Windows of normal columns, in order: the reference's, then those to be judged."""

    reference: list[Profile]
    current: list[Profile]


def independent(windows: int, rng: np.random.Generator) -> Floats:
    return np.zeros((windows, COLUMNS))


def autocorrelated(
    windows: int, rng: np.random.Generator, alike: float = 0.9, deviation: float = 0.3
) -> Floats:
    effects = rng.normal(size=(windows, COLUMNS))
    for k in range(1, windows):
        effects[k] = alike * effects[k - 1] + math.sqrt(1 - alike**2) * effects[k]
    return deviation * effects


def weekly(windows: int, rng: np.random.Generator) -> Floats:
    week = 0.4 * np.array([0.0, 0.0, 0.1, 0.0, 0.2, 1.0, 0.8])
    return np.tile(np.resize(week, windows)[:, None], (1, COLUMNS))


def daily(windows: int, rng: np.random.Generator) -> Floats:
    return np.tile(0.5 * np.sin(2 * np.pi * np.arange(windows) / 24)[:, None], (1, COLUMNS))


def stream(effects: Floats, reference: int, rows: int, rng: np.random.Generator) -> Stream:
    """Count windows of `rows` rows, whose columns are normal with the given means, shape (windows, columns)."""
    values = rng.normal(size=(len(effects), rows, effects.shape[1])) + effects[:, None, :]
    columns = [f"x{k}" for k in range(effects.shape[1])]
    learned = values[:reference].reshape(-1, effects.shape[1])
    bins = reference_bins(dict(zip(columns, learned.T, strict=True)))
    windows = [_counted(window, bins) for window in values]
    return Stream(windows[:reference], windows[reference:])


def _counted(window: Floats, bins: Sequence[ColumnBins]) -> Profile:
    """As `profile`, without the parts that shift does not look at: these tests count a million rows."""
    columns = []
    for column, values in zip(bins, window.T, strict=True):
        cells = np.searchsorted(column.edges, values, side="right")
        columns.append(ColumnProfile(column, (*np.bincount(cells, minlength=column.cells).tolist(), 0)))
    return Profile(len(window), tuple(columns))


def judged(windows: Stream) -> list[ShiftResult]:
    thresholds = calibrate(windows.reference)
    reference = merge_all(windows.reference)
    return [compare(reference, window, thresholds) for window in windows.current]


def shares(seed: int, cells: int = 8) -> Floats:
    return np.random.default_rng(seed).dirichlet(np.ones(cells))


# --- by hand and against others -----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_the_distance_equals_scipys(seed: int) -> None:
    one, two = shares(seed), shares(seed + 100)
    assert jensen_shannon(one, two) == pytest.approx(scipy_distance.jensenshannon(one, two), rel=1e-9)


def test_the_distance_equals_scipys_with_empty_cells() -> None:
    one, two = np.array([0.5, 0.5, 0.0, 0.0]), np.array([0.0, 0.25, 0.75, 0.0])
    assert jensen_shannon(one, two) == pytest.approx(scipy_distance.jensenshannon(one, two), rel=1e-9)


def test_population_stability_is_the_sum_that_is_known_by_that_name() -> None:
    by_hand = (0.5 - 0.4) * math.log(0.5 / 0.4) + (0.5 - 0.6) * math.log(0.5 / 0.6)
    assert population_stability(np.array([0.5, 0.5]), np.array([0.4, 0.6])) == pytest.approx(
        by_hand, rel=1e-12
    )


def test_a_sample_lies_at_no_distance_from_itself_and_far_from_another() -> None:
    assert jensen_shannon(shares(0), shares(0)) == pytest.approx(0, abs=1e-7)
    assert jensen_shannon(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == pytest.approx(math.sqrt(math.log(2)))


def test_the_weight_of_a_shift_is_about_its_square() -> None:
    from scipy.stats import norm

    edges = np.linspace(-8, 9, 400)
    for moved in (0.25, 0.5, 1.0):
        one, two = np.diff(norm.cdf(edges)), np.diff(norm.cdf(edges - moved))
        assert weight_of(jensen_shannon(one, two)) == pytest.approx(moved**2, rel=0.05)


def test_weight_and_distance_are_each_others_inverse() -> None:
    for distance in (0.0, 0.1, 0.5, 0.83):
        assert distance_of(float(weight_of(distance))) == pytest.approx(distance, abs=1e-9)
    assert distance_of(1e9) < math.sqrt(math.log(2))


# --- calibration ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "effects", [independent, weekly, daily, autocorrelated], ids=lambda f: str(f.__name__)
)
def test_where_nothing_changes_half_a_year_of_days_is_not_called_shifted(effects) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(1)
    results = judged(stream(effects(56 + 180, rng), 56, 200, rng))
    assert sum(result.shifted for result in results) == 0


@pytest.mark.slow
@pytest.mark.parametrize("windows", [20, 50])
@pytest.mark.parametrize(("rows", "seeds"), [(200, 14), (1000, 2)])
@pytest.mark.parametrize(
    "effects", [independent, weekly, daily, autocorrelated], ids=lambda f: str(f.__name__)
)
def test_false_alarms_stay_within_one_in_a_thousand(  # type: ignore[no-untyped-def]
    effects, rows: int, seeds: int, windows: int
) -> None:
    start = max(windows, 24) if effects is daily else windows  # a season counts where the reference covers it
    alarms = judged_windows = 0
    for seed in range(seeds):
        rng = np.random.default_rng(100 + seed)
        results = judged(stream(effects(start + 150, rng), start, rows, rng))
        alarms += sum(result.shifted for result in results)
        judged_windows += len(results)
    assert alarms <= judged_windows / 1000


@pytest.mark.parametrize("seed", range(5))
def test_one_column_of_twenty_is_found_and_named_in_the_first_window(seed: int) -> None:
    rng = np.random.default_rng(seed)
    effects = np.zeros((21, COLUMNS))
    effects[20, 7] = 1.0
    assert judged(stream(effects, 20, 200, rng))[0].names == ("x7",)


@pytest.mark.slow
def test_one_column_of_twenty_is_found_in_the_first_window_almost_always() -> None:
    found = 0
    for seed in range(100):
        effects = np.zeros((21, COLUMNS))
        effects[20, seed % COLUMNS] = 1.0
        names = judged(stream(effects, 20, 200, np.random.default_rng(1000 + seed)))[0].names
        found += names == (f"x{seed % COLUMNS}",)
    assert found >= 98


def test_a_shift_beyond_a_weekly_pattern_is_found() -> None:
    rng = np.random.default_rng(3)
    effects = weekly(63, rng)
    effects[56:, 4] += 1.5
    assert all(result.names == ("x4",) for result in judged(stream(effects, 56, 500, rng)))


@pytest.mark.parametrize("windows", [1, 4, 8, 30])
def test_a_column_beyond_all_that_was_seen_has_moved_however_restless_it_was(windows: int) -> None:
    rng = np.random.default_rng(0)
    effects = autocorrelated(windows + 1, rng, deviation=2.0)
    effects[windows, 3] = 30.0
    assert "x3" in judged(stream(effects, windows, 200, rng))[0].names


def test_a_threshold_falls_with_the_rows_of_the_window_and_rises_with_the_columns() -> None:
    rng = np.random.default_rng(0)
    few = calibrate(stream(np.zeros((20, 2)), 20, 200, rng).reference)
    many = calibrate(stream(np.zeros((20, 30)), 20, 200, rng).reference)
    at = [few.columns[0].at(rows) for rows in (30, 100, 200, 1000, 10_000, 10**7)]
    assert at == sorted(at, reverse=True)
    assert many.columns[0].at(200) > few.columns[0].at(200)


def test_fewer_windows_in_the_reference_make_it_more_careful() -> None:
    rng = np.random.default_rng(0)
    at = [
        calibrate(stream(np.zeros((b, 3)), b, 200, rng).reference).columns[0].at(200) for b in (1, 3, 8, 30)
    ]
    assert at == sorted(at, reverse=True)
    assert at[0] > 0.75


def test_even_one_window_lets_a_replaced_column_be_seen() -> None:
    reference = {"x": np.random.default_rng(0).normal(size=500)}
    bins = reference_bins(reference)
    thresholds = calibrate([profile(reference, bins)])
    gone = profile({"x": np.full(500, np.nan)}, bins)
    assert compare(profile(reference, bins), gone, thresholds).names == ("x",)


# --- every kind of column ---------------------------------------------------------------------------------------


def odd_columns(rows: int, rng: np.random.Generator) -> dict[str, NDArray[np.generic]]:
    level = rng.choice(np.array(["a", "b", "c"], dtype=object), rows, p=[0.6, 0.3, 0.1])
    numbers = rng.normal(size=rows)
    numbers[rng.random(rows) < 0.01] = np.nan
    return {"number": numbers, "constant": np.full(rows, 3.0), "level": level, "gone": np.full(rows, np.nan)}


def against_odd_reference(current: dict[str, NDArray[np.generic]]) -> ShiftResult:
    rng = np.random.default_rng(5)
    windows = [odd_columns(300, rng) for _ in range(20)]
    bins = reference_bins({name: np.concatenate([w[name] for w in windows]) for name in windows[0]})
    blocks = [profile(window, bins) for window in windows]
    return compare(merge_all(blocks), profile(current, bins), calibrate(blocks))


def test_odd_columns_that_stay_as_they_are_do_not_shift() -> None:
    assert against_odd_reference(odd_columns(300, np.random.default_rng(6))).names == ()


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("number", np.full(300, np.nan)),
        ("number", np.full(300, np.inf)),
        ("number", np.full(300, "text", dtype=object)),
        ("constant", np.linspace(0, 1, 300)),
        ("level", np.full(300, "new", dtype=object)),
        ("level", np.full(300, None, dtype=object)),
        ("gone", np.arange(300.0)),
    ],
    ids=["missing", "infinite", "text", "constant moves", "new level", "missing level", "comes back"],
)
def test_a_changed_column_is_named_alone(column: str, values: NDArray[np.generic]) -> None:
    current = odd_columns(300, np.random.default_rng(6)) | {column: values}
    assert against_odd_reference(current).names == (column,)


def test_a_column_that_is_not_there_is_shifted() -> None:
    current = odd_columns(300, np.random.default_rng(6))
    del current["level"]
    assert against_odd_reference(current).names == ("level",)


def test_a_higher_missing_share_is_a_shift() -> None:
    current = odd_columns(300, np.random.default_rng(6))
    current["number"] = np.where(np.arange(300) < 90, np.nan, current["number"])
    moved = against_odd_reference(current).shifted_columns[0]
    assert (moved.name, moved.cell) == ("number", "missing")
    assert moved.current_share == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize("rows", [0, 1, 29])
def test_a_window_with_few_rows_is_not_judged(rows: int) -> None:
    result = against_odd_reference(
        {k: v[:rows] for k, v in odd_columns(300, np.random.default_rng(6)).items()}
    )
    assert not result.enough_rows
    assert not result.shifted


def test_a_result_says_in_words_what_moved() -> None:
    current = odd_columns(300, np.random.default_rng(6)) | {"level": np.full(300, "new", dtype=object)}
    words = [str(column) for column in against_odd_reference(current).columns]
    assert words[2].startswith("level: distance 0.8")
    assert words[2].endswith("'other' 0.0% -> 100.0% of rows")
    assert "<=" in words[0]


def test_the_order_of_columns_does_not_matter() -> None:
    rng = np.random.default_rng(5)
    windows = [odd_columns(200, rng) for _ in range(12)]
    results = []
    for names in (list(windows[0]), list(windows[0])[::-1]):
        bins = reference_bins({name: np.concatenate([w[name] for w in windows]) for name in names})
        blocks = [profile(window, bins) for window in windows]
        result = compare(merge_all(blocks), blocks[0], calibrate(blocks))
        results.append({c.name: (c.distance, pytest.approx(c.threshold, rel=1e-9)) for c in result.columns})
    assert results[0] == results[1]


# --- errors and records -----------------------------------------------------------------------------------------


def test_thresholds_come_back_from_json() -> None:
    thresholds = calibrate(stream(np.zeros((10, 3)), 10, 100, np.random.default_rng(0)).reference)
    assert ShiftThresholds.from_json(thresholds.to_json()) == thresholds


@pytest.mark.parametrize("false_alarms", [0.0, 1.0, -1.0, math.nan])
def test_a_share_of_false_alarms_that_is_none_is_refused(false_alarms: float) -> None:
    with pytest.raises(ValueError, match="a probability per window is expected"):
        calibrate([], false_alarms=false_alarms)


def test_a_reference_without_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="none of the 1 windows of the reference has a row"):
        calibrate([profile({"x": np.zeros(0)}, reference_bins({"x": np.zeros(3)}))])


def test_a_reference_of_small_windows_is_taken_as_one() -> None:
    small = stream(np.zeros((30, 2)), 30, 29, np.random.default_rng(0)).reference
    assert calibrate(small).windows == 1


def test_a_window_cut_off_by_the_end_of_the_reference_is_left_aside() -> None:
    days = np.repeat(np.arange(7), 40)
    bins = reference_bins({"day": days})
    whole = [profile({"day": days}, bins)] * 20
    assert calibrate([*whole, profile({"day": days[:80]}, bins)]) == calibrate(whole)


def test_rows_without_columns_have_nothing_to_shift() -> None:
    none = [Profile(100, ())] * 8
    assert compare(none[0], none[0], calibrate(none)).names == ()


def test_profiles_that_do_not_belong_together_are_refused() -> None:
    rng = np.random.default_rng(0)
    one, two = (stream(np.zeros((5, c)), 5, 100, rng).reference for c in (1, 2))
    with pytest.raises(ValueError, match="other bins"):
        compare(one[0], two[0], calibrate(one))
    with pytest.raises(ValueError, match="no threshold for x1"):
        compare(two[0], two[0], calibrate([Profile(p.rows, p.columns[:1]) for p in two]))
