"""A long curve for the eye: the mean around each value, and groups that lose no spike."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.smoothing import smoothed, thinned, window_for

LOSSES = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=200)


def test_a_loss_is_smoothed_on_the_log_scale() -> None:
    found = smoothed(np.array([1.0, 1.0, 100.0, 1.0, 1.0]), 3)
    assert found == pytest.approx([1.0, 100 ** (1 / 3), 100 ** (1 / 3), 100 ** (1 / 3), 1.0])


def test_a_loss_below_zero_is_smoothed_as_it_is() -> None:
    assert smoothed(np.array([-3.0, 0.0, 3.0]), 3) == pytest.approx([-3.0, 0.0, 1.5])


def test_a_steep_beginning_is_not_pulled_down() -> None:
    falling = np.exp(-np.arange(50) / 3)
    assert smoothed(falling, 21)[:25] == pytest.approx(falling[:25])


def test_what_is_not_finite_counts_for_nothing() -> None:
    found = smoothed(np.array([math.nan, 2.0, math.inf, 2.0, 2.0]), 3)
    assert math.isnan(found[0])
    assert found[1:] == pytest.approx([2.0] * 4)


def test_no_value_at_all_is_smoothed_to_nothing() -> None:
    assert len(smoothed(np.zeros(0), 9)) == 0
    assert np.isnan(smoothed(np.full(3, np.nan), 9)).all()


@given(LOSSES)
def test_a_smoothed_curve_stays_between_its_extremes(losses: list[float]) -> None:
    found = smoothed(np.array(losses), window_for(len(losses)))
    assert found.min() >= min(losses) * (1 - 1e-9)
    assert found.max() <= max(losses) * (1 + 1e-9)


@given(LOSSES, st.integers(1, 300))
def test_no_spike_is_lost_by_thinning(losses: list[float], most: int) -> None:
    found = thinned(np.array(losses), most)
    assert len(found.places) <= most
    assert (found.low.min(), found.high.max()) == (min(losses), max(losses))
    assert (np.diff(found.places) > 0).all()


def test_a_group_without_a_number_is_a_gap() -> None:
    found = thinned(np.array([math.nan, math.nan, 1.0]), 2)
    assert np.isnan(found.low).tolist() == [True, False]
    assert (found.size, found.places.tolist()) == (2, [0.5, 2.0])


def test_nothing_is_thinned_to_nothing() -> None:
    assert len(thinned(np.zeros(0), 10).places) == 0
