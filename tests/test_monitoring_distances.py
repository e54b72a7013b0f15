"""Distances from counts: equal to SciPy's and Evidently's on the same cells, and bounds that hold on the rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from monitoring.bins import reference_bins
from monitoring.distances import Bounds, Distances, distances
from monitoring.profile import ColumnProfile, profile


def _columns(before: Any, after: Any) -> tuple[ColumnProfile, ColumnProfile]:
    bins = reference_bins({"x": before})
    return profile({"x": before}, bins).columns[0], profile({"x": after}, bins).columns[0]


def _distances(before: Any, after: Any) -> Distances:
    return distances(*_columns(before, after))


def test_two_cells_by_hand() -> None:
    found = _distances([0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 1.0, 1.0])
    assert found.psi == pytest.approx((0.5 - 0.25) * math.log(2) + (0.5 - 0.75) * math.log(0.5 / 0.75))
    assert found.chi_squared == pytest.approx(8 / 15)
    assert found.degrees == 1
    assert found.kolmogorov_smirnov == Bounds(0.25, 0.25, 0.25)
    # a quarter of the rows moves by 1, the deviation is a half
    assert found.wasserstein == Bounds(0.5, 0.5, 0.5)


def test_the_same_rows_are_no_distance_apart() -> None:
    rows = np.random.default_rng(0).normal(size=1000)
    found = _distances(rows, rows)
    assert (found.psi, found.jensen_shannon, found.chi_squared, found.p_value) == (0.0, 0.0, 0.0, 1.0)
    assert found.kolmogorov_smirnov is not None
    assert (found.kolmogorov_smirnov.value, found.kolmogorov_smirnov.least) == (0.0, 0.0)
    assert found.wasserstein is not None
    assert (found.wasserstein.value, found.wasserstein.least) == (0.0, 0.0)


counts = st.lists(st.integers(0, 60), min_size=3, max_size=8)


@settings(max_examples=60)
@given(before=counts, after=counts)
def test_categories_are_as_far_apart_as_scipy_says(before: list[int], after: list[int]) -> None:
    names = [f"level {place}" for place in range(max(len(before), len(after)))]
    first, second = (
        [name for name, count in zip(names, one, strict=False) for _ in range(count)]
        for one in (before, after)
    )
    if not first or not second:
        return
    found = _distances(first, second)
    reference, current = _columns(first, second)
    table = np.array([[*reference.counts, 0], [*current.counts, 0]], float)
    assert found.jensen_shannon == pytest.approx(jensenshannon(table[0], table[1]), abs=1e-7)
    used = table[:, table.sum(0) > 0]
    if used.shape[1] > 1:
        theirs = stats.chi2_contingency(used, correction=False)
        assert found.chi_squared == pytest.approx(theirs.statistic, abs=1e-9)
        assert (found.degrees, found.p_value) == (theirs.dof, pytest.approx(theirs.pvalue, abs=1e-12))
    assert found.kolmogorov_smirnov is None
    assert found.wasserstein is None


numbers = st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=2, max_size=300)


@settings(max_examples=80)
@given(before=numbers, after=numbers, seed=st.integers(0, 2**16))
def test_the_bounds_hold_on_the_rows_themselves(before: list[float], after: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    first = np.concatenate([before, rng.normal(size=200) * (1 + np.ptp(before))])
    second = np.array(after)
    found = _distances(first, second)
    largest = stats.ks_2samp(first, second, method="asymp").statistic
    assert found.kolmogorov_smirnov is not None
    assert found.kolmogorov_smirnov.least - 1e-9 <= largest <= found.kolmogorov_smirnov.most + 1e-9
    moved = stats.wasserstein_distance(first, second) / first.std()
    assert found.wasserstein is not None
    assert found.wasserstein.least <= moved * (1 + 1e-6) + 1e-9
    assert moved <= found.wasserstein.most * (1 + 1e-6) + 1e-9
    assert found.wasserstein.least <= found.wasserstein.value <= found.wasserstein.most


@settings(max_examples=60)
@given(
    before=st.lists(st.integers(0, 9), min_size=1, max_size=200),
    after=st.lists(st.integers(0, 9), min_size=1, max_size=200),
)
def test_few_distinct_values_are_exact(before: list[int], after: list[int]) -> None:
    first, second = np.array([*range(10), *before], float), np.array(after, float)
    found = _distances(first, second)
    assert found.kolmogorov_smirnov is not None
    assert found.kolmogorov_smirnov.value == pytest.approx(
        stats.ks_2samp(first, second, method="asymp").statistic
    )
    assert found.wasserstein is not None
    assert found.wasserstein.value == pytest.approx(stats.wasserstein_distance(first, second) / first.std())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_index_of_stability_is_evidently_s_on_the_same_cells() -> None:
    import pandas as pd
    from evidently.legacy.calculations.stattests.psi import _psi as theirs
    from evidently.legacy.core import ColumnType

    rng = np.random.default_rng(3)
    first, second = rng.choice(list("abcde"), 3000), rng.choice(list("abcf"), 900)
    found = _distances(first.tolist(), second.tolist())
    score, _ = theirs(pd.Series(first), pd.Series(second), ColumnType.Categorical, 0.1)
    assert found.psi == pytest.approx(score, rel=1e-12)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_jensen_shannon_is_evidently_s_on_the_same_cells() -> None:
    import pandas as pd
    from evidently.legacy.calculations.stattests.jensenshannon import _jensenshannon as theirs
    from evidently.legacy.core import ColumnType

    rng = np.random.default_rng(4)
    first, second = rng.choice(list("abcde"), 3000), rng.choice(list("abcd"), 900)
    score, _ = theirs(pd.Series(first), pd.Series(second), ColumnType.Categorical, 0.1)
    assert _distances(first.tolist(), second.tolist()).jensen_shannon == pytest.approx(score, rel=1e-9)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_wasserstein_is_evidently_s_where_every_cell_is_one_value() -> None:
    import pandas as pd
    from evidently.legacy.calculations.stattests.wasserstein_distance_norm import (
        _wasserstein_distance_norm as theirs,
    )
    from evidently.legacy.core import ColumnType

    rng = np.random.default_rng(5)
    first, second = rng.poisson(3, 3000).astype(float), rng.poisson(4, 900).clip(max=8).astype(float)
    score, _ = theirs(pd.Series(first), pd.Series(second), ColumnType.Numerical, 0.1)
    found = _distances(first, second).wasserstein
    assert found is not None
    assert found.value == found.least == found.most == pytest.approx(score, rel=1e-3)


def test_missing_values_are_a_cell() -> None:
    rows = np.random.default_rng(1).normal(size=1000)
    holes = np.where(np.arange(1000) % 4 == 0, np.nan, rows)
    found = _distances(rows, holes)
    assert found.psi > 0.5
    assert found.p_value < 1e-40


def test_without_rows_there_is_no_distance() -> None:
    found = _distances([1.0, 2.0], np.zeros(0))
    assert math.isnan(found.psi)
    assert math.isnan(found.jensen_shannon)
    assert math.isnan(found.chi_squared)
    assert found.kolmogorov_smirnov is None


def test_a_constant_that_moves_has_moved_by_its_own_size() -> None:
    found = _distances([5.0] * 50, [7.0] * 50)
    assert found.kolmogorov_smirnov == Bounds(1.0, 1.0, 1.0)
    assert found.wasserstein == Bounds(2.0, 2.0, 2.0)  # in its own units, for it has no deviation


def test_cells_of_another_reference_are_refused() -> None:
    first, _ = _columns([1.0, 2.0], [1.0])
    _, second = _columns([1.0, 3.0], [1.0])
    with pytest.raises(ValueError, match="other cells"):
        distances(first, second)


def test_bounds_that_meet_are_one_number() -> None:
    assert str(Bounds(0.25, 0.25, 0.25)) == "0.25"
    assert str(Bounds(0.25, 0.2, 0.3)) == "0.25 (0.2 to 0.3)"
