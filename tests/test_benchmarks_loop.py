"""The made years of the whole loop: what they say happens in them, happens."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks import loop
from benchmarks.loop_streams import CHANGE, FAMILIES, Family, made

DAYS, ROWS_A_DAY = 365, 20


def year(name: str) -> pd.DataFrame:
    return made(family(name), 1, days=DAYS, rows_a_day=ROWS_A_DAY)


def family(name: str) -> Family:
    return next(one for one in FAMILIES if one.name == name)


def late(frame: pd.DataFrame) -> pd.Series:
    return frame["time"] >= frame["time"].iloc[0].normalize() + pd.Timedelta(days=CHANGE)


@pytest.mark.parametrize("one", FAMILIES, ids=lambda one: one.name)
def test_a_year_is_in_order_and_the_same_again(one: Family) -> None:
    first = made(one, 1, days=40, rows_a_day=10)
    pd.testing.assert_frame_equal(first, made(one, 1, days=40, rows_a_day=10))
    assert not first.equals(made(one, 2, days=40, rows_a_day=10))
    assert first["time"].is_monotonic_increasing
    assert len(first) == 400
    assert first["y"].nunique() == 2 if one.classes else first["y"].nunique() > 300


def test_inputs_move_where_it_says_so() -> None:
    for name, column in (
        ("inputs move, the truth stays", "x7"),
        ("inputs move where the truth bends", "x4"),
    ):
        frame = year(name)
        moved = frame[late(frame)].mean(numeric_only=True) - frame[~late(frame)].mean(numeric_only=True)
        others = moved.drop([column, "y"])
        assert moved[column] > 1.9
        assert others.abs().max() < 0.15


def slope(frame: pd.DataFrame) -> np.ndarray:
    """What a straight line through the inputs makes of the target."""
    inputs = frame.filter(like="x").to_numpy()
    found: np.ndarray = np.linalg.lstsq(
        np.column_stack([np.ones(len(inputs)), inputs]), frame["y"].to_numpy()
    )[0]
    return found[1:5]


def test_a_concept_changes_for_good_or_comes_back() -> None:
    frame = year("sudden change of concept, numbers")
    before, after = slope(frame[~late(frame)]), slope(frame[late(frame)])
    assert np.abs(before - after).max() > 0.5
    back = year("a concept that comes back")
    first, last = back[back["time"].dt.dayofyear < 200], back[back["time"].dt.dayofyear > 305]
    assert np.abs(slope(first) - slope(last)).max() < 0.5


def test_demand_grows_three_times() -> None:
    frame = year("demand that grows")
    first, last = (frame[frame["time"].dt.month == month]["y"].mean() - 10 for month in (1, 12))
    assert 2.2 < last / first < 3.4


@pytest.mark.slow
def test_a_year_in_which_nothing_changes_is_replayed_without_a_retraining() -> None:
    found = loop.replayed(family("nothing changes, numbers"), 3, days=120)
    assert (found.retrainings, found.harmful) == (0, 0)
    assert found.loss == pytest.approx(found.never)
