"""The classifier: guesses between rows of one source, tells rows apart that differ only in how columns go together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from monitoring.bins import reference_bins
from monitoring.domain import MOST_ROWS, DomainCheck, _area, domain_check
from monitoring.profile import profile


def rows(count: int, seed: int, *, twisted: bool = False) -> dict[str, Any]:
    """Three signs of which the third is the product of the others where twisted, and by chance where not."""
    rng = np.random.default_rng(seed)
    x, y, z = rng.normal(size=(3, count))
    if twisted:
        z = np.abs(z) * np.sign(x * y)
    level = rng.choice(np.array(["a", "b", "c"], dtype=object), count)
    return {
        "x": x,
        "y": y,
        "z": z,
        "level": level,
        "gaps": np.where(rng.random(count) < 0.1, np.nan, rng.normal(size=count)),
    }


def checked(current: dict[str, Any], count: int = 1_000, seed: int = 0) -> DomainCheck:
    reference = rows(count, 100 + seed)
    found = domain_check(
        reference,
        current,
        profile(reference, reference_bins(reference)),
        rng=np.random.default_rng(seed),
    )
    assert found is not None
    return found


def test_rows_of_one_source_are_guessed() -> None:
    found = [checked(rows(300, seed), count=300, seed=seed) for seed in range(8)]
    scores = [(one.separation - 0.5) / one.error for one in found]
    assert abs(np.mean(scores)) < 1.0
    assert 0.4 < np.std(scores) < 1.8
    assert all(one.p_value > 0.001 for one in found)


def test_three_columns_that_go_together_otherwise_are_told_apart_though_no_pair_moved() -> None:
    found = checked(rows(1_000, 1, twisted=True))
    assert found.separation > 0.57
    assert found.p_value < 1e-6
    assert {name for name, _ in found.columns} == {"x", "y", "z"}
    assert "tells reference and current rows apart at 0." in str(found)


def test_a_level_that_comes_more_often_is_named() -> None:
    current = rows(1_000, 1)
    current["level"] = np.where(np.arange(1_000) < 500, "c", current["level"])
    found = checked(current)
    assert found.columns[0][0] == "level"


def test_missing_values_are_told_apart() -> None:
    current = rows(1_000, 1)
    current["z"] = np.where(np.arange(1_000) < 400, np.nan, current["z"])
    assert checked(current).columns[0][0] == "z"


def test_the_area_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    score, domain = np.round(rng.random(200), 1), rng.integers(0, 2, 200)
    assert _area(score, domain) == pytest.approx(float(roc_auc_score(domain, score)))


def test_few_rows_say_nothing_and_many_are_sampled() -> None:
    reference = rows(200, 0)
    profiled = profile(reference, reference_bins(reference))
    rng = np.random.default_rng(0)
    assert domain_check(reference, rows(99, 1), profiled, rng=rng) is None
    found = domain_check(reference, rows(MOST_ROWS + 1, 1), profiled, rng=rng)
    assert found is not None
    assert found.rows == (200, MOST_ROWS)


def test_the_same_seed_gives_the_same_answer() -> None:
    assert checked(rows(300, 1), count=300) == checked(rows(300, 1), count=300)
