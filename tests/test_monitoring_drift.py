"""Two tables compared: what moved is named, what is broken comes first, chance is left alone."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from monitoring.bins import reference_bins
from monitoring.drift import BLOCKS, TableDrift, table_drift
from monitoring.profile import Profile, profile

COLUMNS = 20


def _blocks(columns: dict[str, Any], count: int = 1) -> tuple[list[Profile], Any]:
    bins = reference_bins(columns)
    edges = np.linspace(0, len(next(iter(columns.values()))), count + 1).astype(int)
    parts = [{name: values[a:b] for name, values in columns.items()} for a, b in pairwise(edges)]
    return [profile(part, bins) for part in parts], bins


def _compared(before: dict[str, Any], after: dict[str, Any], **more: Any) -> TableDrift:
    blocks, bins = _blocks(before, BLOCKS if more.get("ordered") else 1)
    return table_drift(blocks, profile(after, bins), **more)


def _table(rng: np.random.Generator, rows: int) -> dict[str, Any]:
    found = {f"x{place}": rng.normal(size=rows) for place in range(COLUMNS - 4)}
    found |= {f"heavy{place}": rng.standard_t(2, size=rows) for place in range(2)}
    return found | {"level": rng.choice(list("abcdefg"), rows), "count": rng.poisson(2, rows).astype(float)}


@pytest.mark.parametrize("rows", [50, 300, 3000])
def test_tables_of_the_same_source_are_hardly_ever_called_different(rows: int) -> None:
    rng = np.random.default_rng(rows)
    reference = _table(rng, 5000)
    blocks, bins = _blocks(reference)
    alarms = sum(
        table_drift(blocks, profile(_table(rng, rows), bins)).verdict != "no shift" for _ in range(150)
    )
    assert alarms <= 2  # 0.15 are expected, over all twenty columns together


@pytest.mark.parametrize("rows", [300, 3000])
def test_a_mean_that_moved_by_half_a_deviation_is_found_and_named(rows: int) -> None:
    rng = np.random.default_rng(rows)
    reference = _table(rng, 5000)
    current = _table(rng, rows)
    current["x3"] = current["x3"] + 0.5
    found = _compared(reference, current)
    assert found.verdict == "shift"
    assert [column.name for column in found.drifted] == ["x3"]
    assert found.drifted[0].evidence.endswith("% of rows")


def test_of_many_rows_a_difference_that_matters_to_nobody_is_none() -> None:
    rng = np.random.default_rng(2)
    before, after = {"x": rng.normal(size=200_000)}, {"x": rng.normal(0.03, size=200_000)}
    found = _compared(before, after)
    assert found.columns[0].distances.p_value < 1e-6
    assert found.verdict == "no shift"


def test_what_is_broken_comes_before_what_moved() -> None:
    rng = np.random.default_rng(3)
    reference, current = _table(rng, 3000), _table(rng, 3000)
    current["x1"] = current["x1"] + 3
    current["x2"] = current["x2"] * 1000
    current.pop("x4")
    found = _compared(reference, current)
    assert found.verdict == "data fault"
    assert [column.name for column in found.drifted if column.fault] == [
        column.name for column in found.drifted[: len([one for one in found.drifted if one.fault])]
    ]
    kinds = {column.name: column.verdict for column in found.drifted}
    assert kinds["x4"] == "data fault"
    assert kinds["x1"] == "shift"


def test_a_reference_in_the_order_of_time_allows_for_its_seasons() -> None:
    rng = np.random.default_rng(4)
    season = np.sin(np.arange(20_000) / 20_000 * 8 * np.pi)
    before = {"warmth": season + 0.3 * rng.normal(size=20_000)}
    after = {"warmth": 1 + 0.3 * rng.normal(size=500)}  # summer
    assert _compared(before, after).verdict == "shift"
    assert _compared(before, after, ordered=True).verdict == "no shift"


@pytest.mark.parametrize("rows", [0, 10])
def test_few_rows_are_not_enough(rows: int) -> None:
    rng = np.random.default_rng(5)
    found = _compared(_table(rng, 1000), {name: values[:rows] for name, values in _table(rng, 100).items()})
    assert found.verdict == "not enough rows"
    assert found.rows == (1000, rows)
