"""Profiles: exact counts, exact merging, no input that breaks them."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import monitoring
from monitoring.bins import ColumnBins, reference_bins
from monitoring.counting import COMPARED
from monitoring.profile import ColumnProfile, Profile, cell_numbers, merge, merge_all, profile
from monitoring.values import LevelCounts

ODD = st.one_of(
    st.none(),
    st.floats(),
    st.integers(-5, 5),
    st.booleans(),
    st.text(max_size=3),
    st.just(pd.NA),
    st.just([1]),
)


def objects(values: list[Any]) -> NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def mixed_columns(rows: int, seed: int = 0) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(seed)
    numbers = rng.lognormal(size=rows)
    numbers[rng.random(rows) < 0.05] = np.nan
    return {
        "amount": numbers,
        "count": rng.integers(0, 100, rows),
        "flag": rng.random(rows) < 0.3,
        "carrier": rng.choice(objects(["AA", "UA", "DL", None]), rows),
        "plane": objects([f"N{k}" for k in rng.integers(0, 300, rows)]),
    }


def counts(bins: ColumnBins, values: Any) -> ColumnProfile:
    return profile({bins.name: values}, [bins]).columns[0]


def test_numbers_are_counted_into_half_open_cells() -> None:
    bins = ColumnBins("x", "number", edges=(0.0, 1.0))
    assert counts(bins, np.array([-1.0, 0.0, 0.5, 1.0, np.nan])).counts == (1, 2, 1, 1)


def test_cells_hold_about_the_same_number_of_reference_rows_and_none_beyond() -> None:
    values = np.random.default_rng(0).normal(size=2000)
    counted = counts(reference_bins({"x": values})[0], values)
    assert len(counted.counts) == 23
    assert set(counted.counts[1:-2]) <= {97, 98, 99, 100, 101, 102, 103}
    assert (counted.counts[0], counted.counts[-2:]) == (0, (0, 0))


def test_few_distinct_values_get_a_cell_each_and_room_outside() -> None:
    bins = reference_bins({"x": np.array([0, 1, 1, 3])})[0]
    assert bins.edges == (-0.5, 0.5, 2.0, 4.0)
    assert counts(bins, np.array([-7, 0, 1, 3, 9])).counts == (1, 1, 1, 1, 1, 0)


def test_a_constant_gets_a_cell_of_its_own_that_float32_does_not_leave() -> None:
    bins = reference_bins({"x": np.full(100, 0.414912)})[0]
    assert counts(bins, np.array([0.414912], dtype=np.float32)).counts == (0, 1, 0, 0)
    assert counts(bins, np.array([0.41, 0.42])).counts == (1, 0, 1, 0)


def test_a_value_that_fills_a_cell_gets_its_own() -> None:
    values = np.concatenate([np.zeros(900), np.linspace(0.1, 5, 100)])
    counted = counts(reference_bins({"rain": values})[0], values)
    assert counted.counts[:2] == (0, 900)


def test_levels_are_ordered_by_frequency_then_name_and_capped() -> None:
    values = objects(["b", "a", "c", "c", *[f"rare {k:03d}" for k in range(100)]])
    levels = reference_bins({"x": values})[0].levels
    assert levels[:4] == ("c", "a", "b", "rare 000")
    assert len(levels) == 64


def test_unseen_levels_count_as_other_and_are_named() -> None:
    bins = reference_bins({"x": objects(["a", "b"])})[0]
    counted = counts(bins, objects(["a", "z", "z", None, np.nan]))
    assert counted.counts == (1, 0, 2, 2)
    assert counted.unseen == (("z", 2),)


@pytest.mark.parametrize(
    "values",
    [
        objects([1, 2, None, 4]),
        objects([1.0, 2.0, pd.NA, 4.0]),
        pd.Series([1, 2, None, 4], dtype="Int64"),
        pd.Series([1, 2, None, 4], dtype="float32"),
        objects(["1", "2", "", "4"]),
        ["1", 2, None, "4.0"],
    ],
)
def test_a_number_is_a_number_however_it_is_stored(values: Any) -> None:
    bins = ColumnBins("x", "number", edges=(1.5, 3.0))
    counted = counts(bins, values)
    assert (counted.counts, counted.invalid) == ((1, 1, 1, 1), 0)
    assert counted.mean == pytest.approx(7 / 3)


@pytest.mark.parametrize("values", [pd.Series(["3", "4", None], dtype="category"), objects([3.0, 4, None])])
def test_a_level_is_the_same_as_text_or_number(values: Any) -> None:
    assert counts(ColumnBins("x", "category", levels=("3", "4")), values).counts == (1, 1, 0, 1)


def test_text_and_infinite_numbers_are_invalid_not_counted() -> None:
    bins = ColumnBins("x", "number", edges=(0.0,))
    counted = counts(bins, objects([1.0, "oops", math.inf, -math.inf, 1e200, 10**400, [1], None]))
    assert (counted.counts, counted.invalid, counted.rows) == ((0, 1, 1), 6, 8)
    assert (counted.minimum, counted.maximum) == (1.0, 1.0)


@pytest.mark.parametrize("values", [np.array(["2013-01-01"], dtype="datetime64[s]"), np.array([1 + 2j])])
def test_times_in_a_number_column_are_invalid(values: NDArray[Any]) -> None:
    assert counts(ColumnBins("x", "number"), values).invalid == 1


def test_a_column_that_is_not_there_is_absent() -> None:
    bins = reference_bins({"x": np.arange(3.0), "y": np.arange(3.0)})
    gone = profile({"x": np.arange(5.0), "z": np.arange(5.0)}, bins).column("y")
    assert (gone.absent, gone.missing, gone.rows) == (5, 5, 5)


def test_rows_are_counted_even_where_no_known_column_is_there() -> None:
    assert profile({"z": np.arange(5.0)}, reference_bins({"x": np.arange(3.0)})).rows == 5
    assert profile({}, reference_bins({"x": np.arange(3.0)})).rows == 0


def test_no_rows_have_no_shares_and_no_mean() -> None:
    empty = counts(reference_bins({"x": np.arange(3.0)})[0], np.array([]))
    assert empty.rows == 0
    assert np.isnan(empty.shares).all()
    assert math.isnan(empty.mean)
    assert math.isnan(empty.deviation)


def test_an_all_missing_reference_sees_the_first_value() -> None:
    bins = reference_bins({"x": np.full(4, np.nan), "y": objects([None] * 4)})
    current = profile({"x": np.array([1.0]), "y": objects(["a"])}, bins)
    assert [column.counts for column in current.columns] == [(1, 0), (1, 0)]
    assert [b.labels for b in bins] == [("any number", "missing"), ("other", "missing")]


def test_mean_and_deviation_survive_a_large_offset() -> None:
    values = 1.6e9 + np.random.default_rng(0).normal(size=10_000)
    counted = counts(reference_bins({"x": values})[0], values)
    assert counted.mean == pytest.approx(values.mean(), rel=1e-12)
    assert counted.deviation == pytest.approx(values.std(), rel=1e-6)


def test_shares_add_up_to_one() -> None:
    columns = mixed_columns(500)
    for column in profile(columns, reference_bins(columns)).columns:
        assert column.shares.sum() == pytest.approx(1)


@pytest.mark.parametrize("cut", [0, 1, 137, 400])
def test_merging_equals_counting_all_rows(cut: int) -> None:
    columns = mixed_columns(400)
    bins = reference_bins(mixed_columns(300, seed=1))
    parts = [
        profile({k: v[rows] for k, v in columns.items()}, bins) for rows in (slice(cut), slice(cut, None))
    ]
    for merged, whole in zip(merge(*parts).columns, profile(columns, bins).columns, strict=True):
        assert merged.counts == whole.counts
        assert merged.magnitudes == whole.magnitudes
        assert merged.unseen == whole.unseen
        assert (merged.minimum, merged.maximum) == (whole.minimum, whole.maximum)
        assert merged.total == pytest.approx(whole.total, rel=1e-12, abs=1e-12)
        assert merged.total_square == pytest.approx(whole.total_square, rel=1e-12)


@given(st.lists(ODD, max_size=30), st.integers(0, 30))
def test_odd_values_never_break_a_profile_and_merge_exactly(values: list[Any], cut: int) -> None:
    bins = [ColumnBins("x", "number", edges=(0.0, 1.0)), ColumnBins("y", "category", levels=("1", "a"))]
    first, second, whole = (
        profile({"x": objects(part), "y": objects(part)}, bins)
        for part in (values[:cut], values[cut:], values)
    )
    merged = merge(first, second)
    assert [c.counts for c in merged.columns] == [c.counts for c in whole.columns]
    assert [c.invalid for c in merged.columns] == [c.invalid for c in whole.columns]
    assert [c.unseen for c in merged.columns] == [c.unseen for c in whole.columns]
    assert Profile.from_json(whole.to_json()) == whole


@given(st.lists(ODD, max_size=30))
def test_bins_can_be_learned_from_odd_values(values: list[Any]) -> None:
    bins = reference_bins({"x": objects(values)})
    counted = profile({"x": objects(values)}, bins).columns[0]
    assert counted.rows == len(values)
    assert list(bins[0].edges) == sorted(set(bins[0].edges))


def test_many_profiles_merge_into_one() -> None:
    columns = mixed_columns(90)
    bins = reference_bins(columns)
    parts = [profile({k: v[a : a + 30] for k, v in columns.items()}, bins) for a in (0, 30, 60)]
    assert [c.counts for c in merge_all(parts).columns] == [c.counts for c in profile(columns, bins).columns]
    with pytest.raises(ValueError, match="at least one"):
        merge_all([])


def test_the_order_of_rows_does_not_matter() -> None:
    columns = mixed_columns(200)
    bins = reference_bins(columns)
    turned = {name: values[::-1] for name, values in columns.items()}
    assert [c.counts for c in profile(turned, bins).columns] == [
        c.counts for c in profile(columns, bins).columns
    ]


def test_json_gives_the_same_profile_back() -> None:
    columns = mixed_columns(300)
    counted = profile(columns, reference_bins(columns))
    assert Profile.from_json(counted.to_json()) == counted
    assert Profile.from_json(counted.to_json()).bins == counted.bins


def test_profiles_with_other_bins_are_not_merged() -> None:
    one, two = ({"x": np.arange(k)} for k in (3.0, 4.0))
    with pytest.raises(ValueError, match=r"differ in x\. Count both against the bins of one reference"):
        merge(profile(one, reference_bins(one)), profile(two, reference_bins(two)))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": np.zeros(3), "y": np.zeros(2)}, "columns of different lengths"),
        ({"x": np.zeros((3, 2)), "y": np.zeros(3)}, "is the name given twice"),
    ],
)
def test_columns_that_do_not_fit_are_refused(columns: dict[str, NDArray[Any]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        profile(columns, reference_bins({"x": np.zeros(1), "y": np.zeros(1)}))


def test_a_column_of_times_is_refused_with_advice() -> None:
    with pytest.raises(ValueError, match=r"column 'when' holds times; leave it out"):
        reference_bins({"when": np.array(["2013-01-01"], dtype="datetime64[s]")})


def test_fewer_than_two_bins_are_refused() -> None:
    with pytest.raises(ValueError, match="bins = 1"):
        reference_bins({"x": np.zeros(3)}, bins=1)


def test_an_unknown_column_is_named() -> None:
    with pytest.raises(KeyError, match="no column 'z' in this profile; it has x"):
        profile({"x": np.zeros(1)}, reference_bins({"x": np.zeros(1)})).column("z")


def test_a_frame_is_read_like_a_dict() -> None:
    columns = mixed_columns(100)
    bins = reference_bins(columns)
    assert reference_bins(pd.DataFrame(columns)) == bins  # type: ignore[arg-type]
    assert profile(pd.DataFrame(columns), bins) == profile(columns, bins)  # type: ignore[arg-type]


def test_importing_the_package_loads_nothing_heavy() -> None:
    script = (
        "import sys, monitoring; monitoring.merge; "
        "print([m for m in ('pandas', 'scipy', 'keras', 'evidently', 'mlflow') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    for name in monitoring.__all__:
        assert getattr(monitoring, name) is not None
    assert set(monitoring.__all__) <= set(dir(monitoring))
    with pytest.raises(AttributeError, match="no attribute 'surprise'"):
        _ = monitoring.surprise


def test_levels_that_were_counted_before_are_counted_as_their_rows() -> None:
    rows = np.array(["AA", None, "UA", "UA", "DL", None, "AA"], dtype=object)
    counted = LevelCounts(["UA", "AA", None, "DL"], [2, 2, 2, 1])
    bins = reference_bins({"carrier": counted})
    assert bins == reference_bins({"carrier": rows})
    assert profile({"carrier": counted}, bins) == profile({"carrier": rows}, bins)


def test_counted_text_in_a_number_column_is_invalid() -> None:
    bins = reference_bins({"x": np.arange(100.0)})
    found = profile({"x": LevelCounts(["7", "seven", None], [3, 2, 1])}, bins).columns[0]
    assert (found.valid, found.invalid, found.missing) == (3, 2, 1)


@pytest.mark.parametrize("cells", [5, COMPARED, COMPARED + 20])
def test_many_cells_are_counted_as_few_are(cells: int) -> None:
    rng = np.random.default_rng(cells)
    rows, edges = rng.normal(size=500).round(2), tuple(np.sort(rng.normal(size=cells).round(2)).tolist())
    edges = tuple(sorted(set(edges)))
    found = profile({"x": rows}, (ColumnBins("x", "number", edges=edges),)).columns[0]
    by_hand = np.histogram(rows, [-np.inf, *edges, np.inf])[0]
    assert found.counts[:-1] == tuple(by_hand.tolist())


@given(
    st.lists(ODD, max_size=30),
    st.sampled_from([{"c": [1.0, 2.0, 3.0]}, {"c": ["1", "2", "x"]}]),
)
def test_the_cells_of_rows_are_those_that_a_profile_counts(
    values: list[Any], reference: dict[str, Any]
) -> None:
    bins = reference_bins(reference)
    cells = cell_numbers({"c": values}, bins[0], len(values))
    counted = profile({"c": values}, bins).columns[0]
    assert np.bincount(cells, minlength=bins[0].cells + 2).tolist() == [*counted.counts, counted.invalid]
