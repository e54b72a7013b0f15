"""A window as numbers: 0 where nothing has moved, 1 standard deviation for 1 standard deviation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.bins import reference_bins
from monitoring.input_statistics import MOST_SHARES, Measure
from monitoring.joint import merge_pairs, pair_bins, pair_sums
from monitoring.profile import merge, profile
from monitoring.values import Columns


def rows(count: int, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    number = rng.normal(size=count)
    return {
        "number": number,
        "gaps": np.where(rng.random(count) < 0.2, np.nan, rng.normal(size=count)),
        "flag": rng.integers(0, 2, count),
        "level": rng.choice(np.array(["a", "b", "c"], dtype=object), count, p=[0.5, 0.3, 0.2]),
        "twin": number + rng.normal(size=count),
    }


REFERENCE = profile(rows(20_000), reference_bins(rows(20_000)))
PAIRS = pair_bins(rows(20_000), REFERENCE)
MEASURE = Measure(REFERENCE, PAIRS)


def measured(columns: Columns) -> dict[tuple[str, ...], float]:
    values, _ = MEASURE.of(profile(columns, REFERENCE.bins), pair_sums(columns, PAIRS))
    keys = [(one.kind, *one.columns, one.level) for one in MEASURE.statistics]
    return dict(zip(keys, values.tolist(), strict=True))


def test_every_column_weighs_the_same_and_all_weights_add_up_to_one() -> None:
    by_column: dict[tuple[str, ...], float] = {}
    for statistic, weight in zip(MEASURE.statistics, MEASURE.weights, strict=True):
        by_column[statistic.columns] = by_column.get(statistic.columns, 0.0) + weight
    assert [by_column[(name,)] for name in REFERENCE.names] == pytest.approx([0.15] * 5)
    assert MEASURE.weights.sum() == pytest.approx(1.0)


def test_without_pairs_the_columns_have_all_the_weight() -> None:
    assert Measure(REFERENCE, None).weights.sum() == pytest.approx(1.0)


def test_a_column_of_two_values_has_no_spread_of_its_own() -> None:
    kinds = [(one.kind, one.columns[0]) for one in MEASURE.statistics]
    assert ("spread", "number") in kinds
    assert ("spread", "flag") not in kinds


def test_the_reference_itself_is_zero_in_every_column() -> None:
    values, _ = Measure(REFERENCE, None).of(REFERENCE, None)
    assert values == pytest.approx(np.zeros(len(values)), abs=1e-3)


def test_a_shift_of_half_a_deviation_is_about_a_half() -> None:
    moved = rows(20_000, 1)
    moved["number"] = moved["number"] + 0.5
    assert measured(moved)[("mean", "number", "")] == pytest.approx(0.5, abs=0.05)


def test_values_that_scatter_further_have_more_spread() -> None:
    moved = rows(20_000, 1)
    moved["number"] = moved["number"] * 1.5
    found = measured(moved)
    assert found[("spread", "number", "")] > 0.3
    assert abs(found[("mean", "number", "")]) < 0.05


def test_a_share_is_measured_by_the_arc_sine_of_its_root() -> None:
    moved = rows(20_000, 1)
    moved["gaps"] = np.where(np.arange(20_000) < 6_000, np.nan, 1.0)
    expected = 2 * (np.arcsin(np.sqrt(0.3)) - np.arcsin(np.sqrt(0.2)))
    assert measured(moved)[("missing", "gaps", "")] == pytest.approx(expected, abs=0.02)


def test_a_level_that_is_new_counts_among_the_others() -> None:
    moved = rows(20_000, 1)
    moved["level"] = np.where(np.arange(20_000) < 2_000, "new", moved["level"])
    found = measured(moved)
    assert found[("level", "level", "other")] > 0.5
    assert found[("level", "level", "a")] < 0


def test_rare_levels_are_counted_together() -> None:
    many = {"level": np.array([f"level {k % 40}" for k in range(4_000)], dtype=object)}
    reference = profile(many, reference_bins(many))
    assert len(Measure(reference, None).statistics) == MOST_SHARES + 2  # the others, and missing values


def test_a_pair_is_fishers_z_of_its_correlation() -> None:
    columns = rows(5_000, 2)
    sums = pair_sums(columns, PAIRS)
    places = [k for k, one in enumerate(MEASURE.statistics) if one.kind == "pair"]
    values, behind = MEASURE.of(profile(columns, REFERENCE.bins), sums)
    assert values[places] == pytest.approx(np.arctanh(sums.correlations))
    assert set(behind[places]) == {5_000.0}


def test_independent_rows_scatter_with_a_variance_of_one_by_their_number() -> None:
    windows = np.array([list(measured(rows(200, seed)).values()) for seed in range(10, 210)])
    scaled = windows.std(axis=0) * np.sqrt(200)
    behind = MEASURE.of(profile(rows(200), REFERENCE.bins), pair_sums(rows(200), PAIRS))[1]
    varied = scaled[(scaled > 0.2)] * np.sqrt(behind[scaled > 0.2] / 200)
    assert 0.8 < varied.min() < varied.max() < 1.2


def test_where_nothing_can_be_measured_stands_nan() -> None:
    values, behind = MEASURE.of(profile({}, REFERENCE.bins), None)
    assert np.isnan(values).all()
    assert not behind.any()
    empty = {name: np.full(50, np.nan) for name in ("number", "gaps", "flag", "twin")}
    found = measured({**empty, "level": np.full(50, None, dtype=object)})
    assert np.isnan(found[("mean", "number", "")])
    assert found[("missing", "number", "")] > 1.0


@given(st.integers(0, 300))
def test_parts_added_up_give_exactly_the_numbers_of_the_whole(cut: int) -> None:
    whole = rows(300, 3)
    parts = [
        {name: values[piece] for name, values in whole.items()} for piece in (slice(cut), slice(cut, None))
    ]
    added = merge(*(profile(one, REFERENCE.bins) for one in parts))
    joined = merge_pairs([pair_sums(one, PAIRS) for one in parts])
    first, second = (
        MEASURE.of(added, joined)[0],
        MEASURE.of(profile(whole, REFERENCE.bins), pair_sums(whole, PAIRS))[0],
    )
    assert np.array_equal(first, second, equal_nan=True)


def test_other_cells_and_other_pairs_are_refused() -> None:
    other = {"number": np.arange(10.0)}
    with pytest.raises(ValueError, match="other cells"):
        MEASURE.of(profile(other, reference_bins(other)), None)
    with pytest.raises(ValueError, match="pairs are others"):
        MEASURE.of(REFERENCE, pair_sums(rows(10), PAIRS.without(["gaps"])))


def test_a_statistic_says_what_it_is() -> None:
    said = {str(one) for one in MEASURE.statistics}
    assert {
        "level",
        "spread",
        "share of missing values",
        "share of 'a'",
        "correlation of number and twin",
    } <= said
