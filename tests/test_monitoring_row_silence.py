"""Rows that stop are missed soon; a night, a weekend and a batch that is not due yet are not."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from monitoring.row_silence import row_silence

Array = npt.NDArray[np.float64]
RNG = np.random.default_rng(0)


def until_missed(moments: Array, stop: float) -> float:
    """Days after the last row until the silence is told, looked at every four hours."""
    for hour in range(0, 30 * 24, 4):
        found = row_silence(moments[moments < stop], stop + hour / 24)
        if found is not None and found.stopped:
            return hour / 24
    return float("nan")


def false_alarms(moments: Array, days: int) -> int:
    """Of five looks a day, how many say that rows have stopped; only 90 days are seen."""
    looks = np.arange(15, days, 0.2)
    found = (row_silence(moments[(moments > now - 90) & (moments <= now)], now) for now in looks)
    return sum(one is not None and one.stopped for one in found)


KINDS = {
    "one by one": np.sort(RNG.uniform(0, 200, 12_000)),
    "five a day": np.sort(RNG.uniform(0, 200, 1000)),
    "each night a batch": np.repeat(np.arange(200) + 0.1, 50),
    "on weekdays by day": np.sort(
        np.concatenate([day + RNG.uniform(0.3, 0.75, 40) for day in range(200) if day % 7 < 5])
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_ordinary_rows_are_not_missed(kind: str) -> None:
    assert false_alarms(KINDS[kind], 200) == 0


@pytest.mark.parametrize(
    ("kind", "days"),
    [("one by one", 1), ("five a day", 4), ("each night a batch", 3), ("on weekdays by day", 6)],
)
def test_rows_that_stop_are_missed(kind: str, days: float) -> None:
    assert until_missed(KINDS[kind], 100.5) <= days


def test_by_hand() -> None:
    found = row_silence(np.repeat(np.arange(20.0), 10), 22.5)
    assert found is not None
    assert (found.since, found.days, found.longest, found.history, found.row_days) == (
        19.0,
        3.5,
        1.0,
        19.0,
        20,
    )
    assert found.due == pytest.approx(3.5 * 200 / 19)
    assert found.stopped
    assert str(found) == "no row for 3.5 days, while about 37 were due; the longest pause before was 24 hours"


def test_a_short_history_says_nothing() -> None:
    found = row_silence(np.arange(0, 10, 0.01), 20.0)
    assert found is not None
    assert not found.stopped


def test_no_rows_are_no_silence() -> None:
    assert row_silence(np.zeros(0), 5.0) is None
    assert row_silence(np.array([6.0]), 5.0) is None


def test_rows_in_any_order_and_later_ones_say_the_same() -> None:
    moments = RNG.uniform(0, 30, 500)
    assert row_silence(moments, 40.0) == row_silence(np.append(np.sort(moments), 41.0), 40.0)
