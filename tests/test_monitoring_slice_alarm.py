"""The slice alarm: a rise in a part of the rows is found and named, and nothing is found where nothing rises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from monitoring.loss_slices import SliceReference, SliceSums, slice_reference, slice_sums, with_answers
from monitoring.slice_alarm import SliceAlarm, calibrated, restlessness, slice_alarms

RUN_LENGTH = 8000.0


def rows(rng: np.random.Generator, count: int) -> tuple[dict[str, Any], Any]:
    """Rows with three numbers and a region of twenty, and losses that are higher where x is positive."""
    numbers = {name: rng.standard_normal(count) for name in ("x", "y", "z")}
    region = np.array([f"r{k}" for k in rng.integers(0, 20, count)], dtype=object)
    losses = rng.standard_normal(count) ** 2 * (1 + 0.5 * (numbers["x"] > 0))
    return with_answers({**numbers, "region": region}, numbers["x"]), losses


def reference(seed: int = 0, count: int = 4000) -> SliceReference:
    columns, losses = rows(np.random.default_rng(seed), count)
    made = slice_reference(columns, losses, ceiling=float(np.quantile(losses, 0.99)))
    assert made is not None
    return made


REFERENCE = reference()


def window(rng: np.random.Generator, count: int = 600, *, worse: float = 1.0, hard: float = 1.0) -> SliceSums:
    """worse: how many times as much is lost in region r3; hard: in all rows."""
    columns, losses = rows(rng, count)
    losses = losses * hard * np.where(columns["region"] == "r3", worse, 1.0)
    return slice_sums(REFERENCE, columns, losses)


def alarms(windows: list[SliceSums | None]) -> list[SliceAlarm]:
    found = [alarm for alarm in slice_alarms(REFERENCE, windows, RUN_LENGTH) if alarm is not None]
    assert len(found) == len(windows)
    return found


@pytest.mark.parametrize("seed", range(3))
def test_a_rise_in_a_twentieth_of_the_rows_is_found_and_named(seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = alarms([window(rng, worse=3.0 if k >= 10 else 1.0) for k in range(20)])
    first = next(k for k, alarm in enumerate(found) if alarm.raised)
    assert 10 <= first < 16
    assert found[first].named[0].name == "region = r3"
    assert found[-1].start in (9, 10, 11)
    assert found[first].named[0].rise > 0.5


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_found_where_nothing_rises(seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    assert max(alarm.evidence for alarm in alarms([window(rng) for _ in range(80)])) < RUN_LENGTH / 20


def test_hard_days_of_all_rows_are_no_slice() -> None:
    rng = np.random.default_rng(1)
    found = alarms([window(rng, hard=float(np.exp(0.3 * rng.standard_normal()))) for _ in range(60)])
    assert not any(alarm.raised for alarm in found)


def test_a_rise_of_all_rows_is_for_the_loss_alarm() -> None:
    rng = np.random.default_rng(2)
    assert not any(alarm.raised for alarm in alarms([window(rng, hard=1.5) for _ in range(20)]))


def test_windows_without_labels_add_nothing() -> None:
    rng = np.random.default_rng(3)
    known = [window(rng, worse=3.0) for _ in range(4)]
    gaps: list[SliceSums | None] = [None, *known[:2], None, None, *known[2:]]
    assert alarms(gaps)[-1].evidence == pytest.approx(alarms([*known])[-1].evidence)


def test_the_windows_before_are_judged_the_same_whatever_comes_later() -> None:
    rng = np.random.default_rng(4)
    windows: list[SliceSums | None] = [window(rng, worse=2.0) for _ in range(12)]
    assert [str(alarm) for alarm in alarms(windows)[:6]] == [str(alarm) for alarm in alarms(windows[:6])]


def test_slices_that_differ_from_window_to_window_are_known_to_be_restless() -> None:
    rng = np.random.default_rng(5)
    calm = [window(rng) for _ in range(12)]
    moody = []
    for _ in range(12):
        columns, losses = rows(rng, 600)
        mood = np.exp(0.5 * rng.standard_normal(20))
        moody.append(slice_sums(REFERENCE, columns, losses * mood[[int(r[1:]) for r in columns["region"]]]))
    known, unruly = calibrated(REFERENCE, calm), calibrated(REFERENCE, moody)
    assert known.windows == unruly.windows == 12
    assert np.mean(known.restless) < 1.3 * 12
    assert max(unruly.restless) > 2 * max(known.restless)
    assert calibrated(REFERENCE, []) == REFERENCE


def test_a_column_whose_slices_come_together_in_time_is_restless_and_the_others_are_not() -> None:
    rng = np.random.default_rng(8)
    shifts = []
    for _ in range(16):  # every level of one column has a mood of its own in every window
        columns, losses = rows(rng, 3000)
        moods = dict(zip(sorted(set(columns["region"])), np.exp(0.4 * rng.standard_normal(20)), strict=True))
        shifts.append(slice_sums(REFERENCE, columns, losses * [moods[one] for one in columns["region"]]))
    names = [cut.name for cut in REFERENCE.cuts]
    restless = dict(zip(names, np.array(calibrated(REFERENCE, shifts).restless) / 16, strict=True))
    assert restless["region"] > 2 * max(value for name, value in restless.items() if name != "region")
    judged = slice_alarms(calibrated(REFERENCE, shifts), shifts, RUN_LENGTH)
    assert not any(alarm.raised for alarm in judged if alarm is not None)


def test_without_a_reference_there_is_no_alarm() -> None:
    assert slice_alarms(None, [None, None], RUN_LENGTH) == (None, None)


def test_few_labelled_rows_say_nothing_of_slices() -> None:
    assert restlessness(REFERENCE, window(np.random.default_rng(6), 50)) is None


def test_losses_below_zero_have_slices_too() -> None:
    columns, losses = rows(np.random.default_rng(7), 4000)
    made = slice_reference(columns, losses - 3, ceiling=float(np.quantile(losses - 3, 0.99)))
    assert made is not None
    rng = np.random.default_rng(8)
    windows = []
    for _ in range(8):
        columns, losses = rows(rng, 600)
        windows.append(slice_sums(made, columns, losses * np.where(columns["region"] == "r3", 9.0, 1.0) - 3))
    last = slice_alarms(made, windows, RUN_LENGTH)[-1]
    assert last is not None
    assert last.raised
    assert last.named[0].name == "region = r3"
    assert last.named[0].reference_loss == pytest.approx(-1.8, abs=0.4)
