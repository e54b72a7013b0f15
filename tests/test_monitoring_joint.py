"""Pairs of columns: correlations as scipy has them, sums that add up to the last digit."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from monitoring.bins import reference_bins
from monitoring.joint import (
    ALL_PAIRS_OF,
    MOST_PAIRS,
    PER_UNIT,
    PairBins,
    cell_scores,
    merge_pairs,
    pair_bins,
    pair_sums,
)
from monitoring.profile import profile
from monitoring.values import LevelCounts

RNG = np.random.default_rng(0)
FIRST = RNG.normal(size=400)
ROWS: dict[str, Any] = {
    "x": FIRST,
    "y": 0.8 * FIRST + 0.6 * RNG.normal(size=400),
    "level": np.where(FIRST > 0.5, "high", "low").astype(object),
    "gaps": np.where(RNG.random(400) < 0.3, np.nan, RNG.normal(size=400)),
}
REFERENCE = profile(ROWS, reference_bins(ROWS))
BINS = pair_bins(ROWS, REFERENCE)


def part(first: int, last: int) -> dict[str, Any]:
    return {name: values[first:last] for name, values in ROWS.items()}


def names(bins: PairBins) -> list[tuple[str, str]]:
    return [(bins.variables[a].name, bins.variables[b].name) for a, b in bins.pairs]


def test_the_scores_of_cells_are_normal_scores_of_middle_ranks() -> None:
    rows = {"x": np.array([1.0, 1.0, 2.0, 3.0])}
    scores = cell_scores(profile(rows, reference_bins(rows)).columns[0])
    middle = np.array(stats.norm.ppf([0.25, 0.625, 0.875]))
    by_row = middle[[0, 0, 1, 2]]
    assert scores[1:4] == pytest.approx((middle - by_row.mean()) / by_row.std())


def test_a_constant_column_has_scores_only_where_it_never_was() -> None:
    rows = {"x": np.full(5, 7.0)}
    assert cell_scores(profile(rows, reference_bins(rows)).columns[0]).tolist() == [-3.5, 0.0, 3.5]


def test_all_pairs_of_few_columns_are_counted_but_a_column_with_its_own_gaps() -> None:
    assert ("x", "y") in names(BINS)
    assert ("x", "gaps missing") in names(BINS)
    assert ("gaps", "gaps missing") not in names(BINS)


def test_a_correlation_is_near_the_one_of_ranks() -> None:
    found = pair_sums(ROWS, BINS).correlations[names(BINS).index(("x", "y"))]
    van_der_waerden = [stats.norm.ppf(stats.rankdata(ROWS[name]) / 401) for name in ("x", "y")]
    assert found == pytest.approx(float(stats.pearsonr(*van_der_waerden).statistic), abs=0.02)


def test_a_correlation_of_scores_is_numpys() -> None:
    sums = pair_sums({"x": ROWS["x"], "y": ROWS["y"], "level": ROWS["level"], "gaps": ROWS["gaps"]}, BINS)
    place = names(BINS).index(("x", "y"))
    scores = [
        np.array(BINS.variables[k].scores)[
            np.searchsorted(BINS.variables[k].bins.edges, ROWS[name], side="right")
        ]
        for k, name in ((0, "x"), (1, "y"))
    ]
    assert BINS.variables[1].name == "y"
    assert sums.correlations[place] == pytest.approx(float(stats.pearsonr(*scores).statistic))
    assert sums.products[place] == int(scores[0].astype(int) @ scores[1].astype(int))


@given(st.lists(st.integers(0, 400), min_size=1, max_size=5), st.randoms())
def test_parts_in_any_order_add_up_to_exactly_the_whole(cuts: list[int], shuffled: Any) -> None:
    ends = [0, *sorted(cuts), 400]
    parts = [pair_sums(part(a, b), BINS) for a, b in pairwise(ends)]
    shuffled.shuffle(parts)
    assert merge_pairs(parts) == pair_sums(ROWS, BINS)


def test_the_order_of_rows_is_irrelevant() -> None:
    order = np.random.default_rng(1).permutation(400)
    assert pair_sums({name: values[order] for name, values in ROWS.items()}, BINS) == pair_sums(ROWS, BINS)


def test_of_many_columns_the_most_correlated_pairs_are_counted() -> None:
    rng = np.random.default_rng(2)
    rows = {f"x{k}": rng.normal(size=500) for k in range(ALL_PAIRS_OF + 10)}
    rows["twin"] = rows["x7"] + 0.1 * rng.normal(size=500)
    bins = pair_bins(rows, profile(rows, reference_bins(rows)))
    assert len(bins.pairs) == MOST_PAIRS
    assert ("x7", "twin") in names(bins)
    assert pair_sums(rows, bins).correlations[names(bins).index(("x7", "twin"))] > 0.95


def test_a_column_that_is_not_there_counts_as_missing_in_every_row() -> None:
    rows = {name: values for name, values in ROWS.items() if name != "x"}
    sums = pair_sums(rows, BINS)
    assert sums.totals[0] == 0
    assert np.isnan(sums.correlations[names(BINS).index(("x", "y"))])


def test_a_single_column_has_no_pairs() -> None:
    rows = {"x": ROWS["x"]}
    bins = pair_bins(rows, profile(rows, reference_bins(rows)))
    assert bins.pairs == ()
    assert pair_sums(rows, bins).correlations.tolist() == []


def test_no_rows_have_no_correlation() -> None:
    assert np.isnan(pair_sums(part(0, 0), BINS).correlations).all()


def test_counts_of_levels_cannot_be_joined_with_rows() -> None:
    with pytest.raises(ValueError, match="'level' comes as counts of levels"):
        pair_sums({**ROWS, "level": LevelCounts(["high"], [400])}, BINS)


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="'y' has 3 rows, expected 400"):
        pair_sums({**ROWS, "y": np.zeros(3)}, BINS)


def test_sums_of_other_pairs_are_not_merged() -> None:
    with pytest.raises(ValueError, match="other pairs"):
        merge_pairs([pair_sums(ROWS, BINS), pair_sums(ROWS, BINS.without(["x"]))])
    with pytest.raises(ValueError, match="at least one"):
        merge_pairs([])


def test_pairs_can_be_kept_as_text_and_lose_a_column() -> None:
    assert PairBins.from_json(BINS.to_json(), REFERENCE.bins) == BINS
    fewer = BINS.without(["gaps"])
    assert names(fewer) == [("x", "y"), ("x", "level"), ("y", "level")]


def test_a_level_that_is_no_text_is_counted_all_the_same() -> None:
    odd = {**part(0, 3), "level": np.array([["a"], "low", None], dtype=object)}
    assert pair_sums(odd, BINS).rows == 3


def test_an_infinite_number_changes_no_sum_beyond_one_row() -> None:
    spoiled = {**ROWS, "x": np.where(np.arange(400) == 3, np.inf, ROWS["x"])}
    assert abs(pair_sums(spoiled, BINS).totals[0] - pair_sums(ROWS, BINS).totals[0]) <= 4 * PER_UNIT
