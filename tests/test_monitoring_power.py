"""What a window could have shown: more with more rows, and about what is then really found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from monitoring.loss_alarm import AlarmConfig, LossReference, loss_alarms, loss_level, loss_reference
from monitoring.power import WINDOWS, Power, power


def reference(rows: int = 20_000) -> LossReference:
    losses = np.random.default_rng(0).exponential(size=rows)
    return loss_reference(losses, np.split(losses, 20), windows=20.0)


def could_show(rows: int, made: LossReference) -> Power:
    losses = np.random.default_rng(1).exponential(size=rows)
    level = loss_level(losses, made.ceiling, made.logarithmic)
    return power(made, level, threshold=1060.0, tolerance=0.05, distances={"a": 0.1, "b": 0.2, "c": 1.0})


def test_more_rows_show_a_smaller_rise() -> None:
    made = reference()
    rises = [could_show(rows, made).rise or 9.0 for rows in (100, 1000, 10_000)]
    assert rises[0] > rises[1] > rises[2] > 0.05


@pytest.mark.parametrize("rows", [200, 1000])
def test_the_rise_that_is_told_is_found_in_time(rows: int) -> None:
    made = reference()
    rise = could_show(rows, made).rise
    assert rise is not None
    rng = np.random.default_rng(2)
    found = 0
    for _ in range(20):
        windows = [
            loss_level((1 + rise) * rng.exponential(size=rows), made.ceiling, made.logarithmic)
            for _ in range(WINDOWS)
        ]
        found += loss_alarms(made, windows, AlarmConfig(), 1000.0)[-1].raised
    assert found >= 12


def test_without_labelled_rows_only_the_shift_is_told() -> None:
    told = power(reference(), None, threshold=1060.0, tolerance=0.05, distances={"a": 0.1, "b": 0.2})
    assert told.rise is None
    assert told.shift == pytest.approx(0.58, abs=0.1)
    assert str(told).startswith("would have been found within 5 windows: a column moved by 0.5")


def test_with_too_few_rows_nothing_is_told() -> None:
    told = power(reference(), None, threshold=1060.0, tolerance=0.05, distances={"a": 1.0})
    assert told == Power(None, None)
    assert str(told) == "too few rows to show anything"


def test_a_loss_that_may_be_negative_is_told_in_its_own_units() -> None:
    made = replace(reference(), logarithmic=False, level=-2.0, spread=0.1, error=0.0)
    level = loss_level(np.random.default_rng(3).normal(size=500), 9.0, False)
    told = power(made, level, threshold=1060.0, tolerance=0.05, distances={})
    assert told.rise == pytest.approx(0.1 + (3.73 + 0.84) / np.sqrt(5) * 0.11, rel=0.1)
    assert "a rise of the loss from +0." in str(told)
