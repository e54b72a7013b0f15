"""What the comparison with Spark takes for another count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks.spark import differing
from monitoring.bins import reference_bins
from monitoring.profile import Profile, merge_all, profile


def counted() -> Profile:
    rng = np.random.default_rng(0)
    columns = {"x": rng.normal(size=500), "c": rng.choice(["a", "b", "rare"], 500).tolist()}
    return profile(columns, reference_bins({"x": columns["x"], "c": ["a", "b"]}))


def test_the_same_rows_in_other_parts_are_counted_alike() -> None:
    rng = np.random.default_rng(1)
    columns = {"x": rng.normal(1e6, 1.0, size=999), "c": rng.choice(["a", "b", "rare"], 999)}
    bins = reference_bins({"x": columns["x"][:100], "c": ["a"]})
    parts = np.array_split(rng.permutation(999), 7)
    joined = merge_all(
        profile({name: values[part] for name, values in columns.items()}, bins) for part in parts
    )
    assert differing(profile(columns, bins), joined) == []


@pytest.mark.parametrize(
    "change",
    [
        {"counts": (1,) * 22 + (0,)},
        {"invalid": 1},
        {"minimum": -9.0},
        {"magnitudes": ((0, 1),)},
        {"total": 5.0},
        {"total_square": 1.0},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_count_is_found(change: dict[str, Any]) -> None:
    found = counted()
    other = Profile(found.rows, (replace(found.columns[0], **change), found.columns[1]))
    assert differing(found, other) == ["x"]


def test_rows_that_are_missing_are_found() -> None:
    found = counted()
    assert differing(found, replace(found, rows=found.rows - 1)) == ["x", "c"]
