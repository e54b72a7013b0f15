"""Labels by day, as the report counts them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from pipelines.log import LabelTimes
from pipelines.report_labels import LabelDay, by_day, read_coverage

NOW = datetime(2013, 6, 1, tzinfo=UTC)


def label_times(ages: list[float], delays: list[float]) -> LabelTimes:
    """Rows by their age in days; a delay of nan is a row without a label."""
    now = np.datetime64("2013-06-01", "us")
    times = now - (np.array(ages) * 86_400e6).astype("timedelta64[us]")
    known = np.array(
        [np.timedelta64("NaT") if d != d else np.timedelta64(round(d * 86_400e6), "us") for d in delays]
    )
    return LabelTimes(times, times, times + known.astype("timedelta64[us]"))


def test_rows_are_counted_by_their_own_day() -> None:
    rows = label_times([1.5, 1.25, 0.5], [0.1, float("nan"), 0.1])
    assert by_day(rows) == (LabelDay("2013-05-30", 2, 1), LabelDay("2013-05-31", 1, 1))


def test_no_row_has_no_day() -> None:
    assert by_day(label_times([], [])) == ()


def test_labels_that_stopped_are_told() -> None:
    ages = np.repeat(np.arange(80, 0, -1.0), 50)
    delays = np.where(ages > 12, 1.0, np.nan)
    log = SimpleNamespace(label_times=lambda since, until, known: label_times(ages.tolist(), delays.tolist()))
    found = read_coverage(cast(Any, log), NOW + timedelta(0))
    assert found.silence is not None
    assert found.silence.startswith("no label for ")
    assert len(found.days) == 80


def test_labels_that_come_are_no_silence() -> None:
    ages = np.repeat(np.arange(80, 0, -1.0), 50)
    log = SimpleNamespace(
        label_times=lambda since, until, known: label_times(ages.tolist(), [0.5] * len(ages))
    )
    assert read_coverage(cast(Any, log), NOW).silence is None
