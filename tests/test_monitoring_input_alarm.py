"""The input alarm: quiet while nothing changes, in whatever rhythm; quick and exact where something does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from monitoring.bins import reference_bins
from monitoring.input_alarm import (
    MOST_BLOCKS,
    InputAlarm,
    InputDetector,
    InputReference,
    InputWindow,
    furthest_score,
    input_alarms,
    input_reference,
)
from monitoring.joint import pair_bins, pair_sums
from monitoring.profile import Profile, profile
from monitoring.window import Window

BEGIN, HOUR = datetime(2024, 1, 1, tzinfo=UTC), timedelta(hours=1)
REFERENCE, ROWS = 100, 200
RUN_LENGTH = 1000.0
Rows = dict[str, Any]
Change = Callable[[Rows, int, np.random.Generator], None]


def same(rows: Rows, number: int, rng: np.random.Generator) -> None:
    """Nothing changes."""


def rows_of(number: int, rng: np.random.Generator, change: Change, rows: int) -> Rows:
    x = rng.normal(size=rows)
    found: Rows = {
        "x": x,
        "y": 0.7 * x + 0.7 * rng.normal(size=rows),
        "z": np.where(rng.random(rows) < 0.1, np.nan, rng.exponential(size=rows)),
        "level": rng.choice(np.array(["a", "b", "c"], dtype=object), rows, p=[0.6, 0.3, 0.1]),
        "constant": np.full(rows, 5.0),
    }
    change(found, number, rng)
    return found


def window_of(number: int) -> Window:
    return Window(BEGIN + number * HOUR, BEGIN + (number + 1) * HOUR)


def made(
    change: Change,
    windows: int,
    *,
    seed: int = 0,
    reference: int = REFERENCE,
    always: Change = same,
    rows: int = ROWS,
) -> tuple[InputReference, list[InputWindow]]:
    """The reference of a stream and the windows after it; change: what becomes of rows from the first of these on."""
    rng = np.random.default_rng(seed)

    def both(found: Rows, number: int, rng: np.random.Generator) -> None:
        always(found, number, rng)
        if number >= reference:
            change(found, number - reference, rng)

    tables = [rows_of(number, rng, both, rows) for number in range(reference + windows)]
    known: Rows = {name: np.concatenate([table[name] for table in tables[:reference]]) for name in tables[0]}
    bins = reference_bins(known)
    whole = profile(known, bins)
    pairs = pair_bins(known, whole)
    counted = [
        InputWindow(window_of(number), profile(table, bins), pair_sums(table, pairs))
        for number, table in enumerate(tables)
    ]
    return input_reference(whole, counted[:reference], pairs), counted[reference:]


def alarms_of(change: Change, windows: int = 20, **how: Any) -> tuple[InputAlarm, ...]:
    return input_alarms(*made(change, windows, **how), RUN_LENGTH)


def first_raised(alarms: tuple[InputAlarm, ...]) -> int:
    return next(place for place, alarm in enumerate(alarms) if alarm.raised)


def test_nothing_is_raised_while_nothing_changes() -> None:
    alarms = alarms_of(same, 300)
    assert not any(alarm.raised for alarm in alarms)
    assert alarms[-1].columns == ()
    assert alarms[-1].start is None


@pytest.mark.parametrize("column", ["x", "y", "z"])
def test_a_column_that_jumps_is_found_in_three_windows_and_named_alone(column: str) -> None:
    def jumps(rows: Rows, number: int, rng: np.random.Generator) -> None:
        rows[column] = rows[column] + 0.7 * (number >= 4)

    alarms = alarms_of(jumps)
    assert 4 < first_raised(alarms) <= 6
    alarm = alarms[first_raised(alarms)]
    assert alarm.columns == (column,)
    assert alarm.start == 4
    assert alarm.of(column)[0].by == pytest.approx(0.7, abs=0.3)


def test_missing_values_are_found_and_named_as_such() -> None:
    def gaps(rows: Rows, number: int, rng: np.random.Generator) -> None:
        rows["x"] = np.where(rng.random(ROWS) < 0.15, np.nan, rows["x"])

    alarms = alarms_of(gaps)
    assert first_raised(alarms) <= 2
    assert alarms[5].columns[0] == "x"
    assert "x: share of missing values" in str(alarms[5])


def test_a_level_that_takes_over_is_found() -> None:
    def renamed(rows: Rows, number: int, rng: np.random.Generator) -> None:
        rows["level"] = np.where(rng.random(ROWS) < 0.3, "new", rows["level"])

    assert alarms_of(renamed)[2].columns == ("level",)


def test_a_constant_that_begins_to_move_is_found() -> None:
    def moves(rows: Rows, number: int, rng: np.random.Generator) -> None:
        rows["constant"] = 5.0 + (rng.random(ROWS) < 0.5)

    assert alarms_of(moves)[2].columns == ("constant",)


def test_a_correlation_that_breaks_is_a_pair_and_no_column() -> None:
    def breaks(rows: Rows, number: int, rng: np.random.Generator) -> None:
        rows["y"] = rng.permutation(rows["y"])

    alarm = alarms_of(breaks)[2]
    assert alarm.raised
    assert alarm.columns == ()
    assert alarm.pairs == (("x", "y"),)
    assert "correlation of x and y" in str(alarm)


def test_a_column_that_moved_takes_the_blame_for_its_pairs() -> None:
    def jumps(rows: Rows, number: int, rng: np.random.Generator) -> None:
        rows["x"] = np.where(rng.random(ROWS) < 0.8, 3.0, rows["x"])

    alarm = alarms_of(jumps)[4]
    assert "x" in alarm.columns
    assert not any("x" in pair for pair in alarm.pairs)


def test_two_columns_that_move_are_both_named() -> None:
    def both(rows: Rows, number: int, rng: np.random.Generator) -> None:
        rows["x"], rows["z"] = rows["x"] + 1.0, rows["z"] * 3

    assert set(alarms_of(both)[4].columns) == {"x", "z"}


def test_one_odd_window_is_no_alarm_whatever_it_holds() -> None:
    def odd(rows: Rows, number: int, rng: np.random.Generator) -> None:
        for name in ("x", "y", "z", "constant"):
            rows[name] = rows[name] + 50.0 * (number == 3)

    assert not any(alarm.raised for alarm in alarms_of(odd))


def test_a_slow_drift_is_not_learned_as_normal() -> None:
    def drifts(rows: Rows, number: int, rng: np.random.Generator) -> None:
        rows["x"] = rows["x"] + number / 50

    alarms = alarms_of(drifts, 50)
    assert first_raised(alarms) < 25
    assert alarms[-1].columns == ("x",)


def test_an_alarm_stands_while_the_column_is_away_and_ends_when_it_is_back() -> None:
    def away_for_a_while(rows: Rows, number: int, rng: np.random.Generator) -> None:
        rows["x"] = rows["x"] + 0.5 * (10 <= number < 40)

    raised = [alarm.raised for alarm in alarms_of(away_for_a_while, 80)]
    assert not any(raised[:10])
    assert all(raised[13:40])
    assert not any(raised[50:])


def daily(rows: Rows, number: int, rng: np.random.Generator) -> None:
    rows["x"] = rows["x"] + 0.6 * np.sin(2 * np.pi * number / 24)


def test_a_season_that_the_reference_covers_is_no_shift() -> None:
    assert not any(alarm.raised for alarm in alarms_of(same, 200, always=daily))


def test_a_shift_in_a_season_is_found_all_the_same() -> None:
    def jumps(rows: Rows, number: int, rng: np.random.Generator) -> None:
        rows["x"] = rows["x"] + 0.7

    assert first_raised(alarms_of(jumps, always=daily)) <= 3


def test_a_column_that_wanders_as_it_did_in_the_reference_is_no_shift() -> None:
    steps = np.random.default_rng(5).normal(size=500)
    level = np.zeros(500)
    for number in range(1, 500):
        level[number] = 0.9 * level[number - 1] + 0.07 * steps[number]

    def wanders(rows: Rows, number: int, rng: np.random.Generator) -> None:
        rows["x"] = rows["x"] + level[number]

    assert not any(alarm.raised for alarm in alarms_of(same, 200, always=wanders, reference=200))


@pytest.mark.parametrize("reference", [1, 2, 3, 5, 8])
def test_a_short_reference_makes_no_noise(reference: int) -> None:
    alarms = [alarms_of(same, 40, reference=reference, seed=seed) for seed in range(3)]
    assert not any(alarm.raised for run in alarms for alarm in run)


@pytest.mark.parametrize("reference", [2, 4, 8])
def test_a_season_of_which_a_short_reference_shows_nothing_makes_no_noise(reference: int) -> None:
    assert not any(alarm.raised for alarm in alarms_of(same, 60, always=daily, reference=reference))


def test_a_gross_shift_is_found_after_eight_windows_of_reference() -> None:
    def jumps(rows: Rows, number: int, rng: np.random.Generator) -> None:
        rows["x"] = rows["x"] + 2.0

    assert first_raised(alarms_of(jumps, reference=8)) <= 3


def test_windows_with_few_rows_or_none_change_nothing() -> None:
    reference, windows = made(same, 6)
    columns: Rows = {"x": np.full(20, 99.0)}
    few = InputWindow(windows[2].window, profile(columns, reference.profile.bins))
    none = InputWindow(windows[3].window, profile({}, reference.profile.bins))
    alarms = input_alarms(reference, [*windows[:2], few, none, *windows[2:]], RUN_LENGTH)
    assert [alarm.enough for alarm in alarms] == [True, True, False, False, True, True, True, True]
    assert alarms[3].evidence == alarms[1].evidence


def test_a_column_that_stays_away_is_named() -> None:
    def goes(rows: Rows, number: int, rng: np.random.Generator) -> None:
        del rows["z"]

    assert alarms_of(goes)[3].columns == ("z",)


def test_windows_one_by_one_give_what_all_at_once_do() -> None:
    reference, windows = made(same, 12)
    detector = InputDetector(reference, RUN_LENGTH)
    assert tuple(detector.update(window) for window in windows) == input_alarms(
        reference, windows, RUN_LENGTH
    )


def test_the_order_of_columns_is_irrelevant() -> None:
    rng = np.random.default_rng(3)
    tables = [rows_of(number, rng, same, ROWS) for number in range(30)]
    evidence = []
    for names in (list(tables[0]), list(tables[0])[::-1]):
        known = {name: np.concatenate([table[name] for table in tables[:20]]) for name in names}
        bins = reference_bins(known)
        counted = [InputWindow(window_of(k), profile(table, bins)) for k, table in enumerate(tables)]
        reference = input_reference(profile(known, bins), counted[:20], None)
        evidence.append([alarm.evidence for alarm in input_alarms(reference, counted[20:], RUN_LENGTH)])
    assert evidence[0] == pytest.approx(evidence[1])


def test_a_higher_budget_asks_for_more_evidence() -> None:
    reference, windows = made(same, 1)
    assert input_alarms(reference, windows, 8000.0)[0].threshold == 8000.0
    assert furthest_score(8000.0) > furthest_score(1000.0)
    assert furthest_score(20.0) > 0


def test_a_long_reference_keeps_its_last_windows() -> None:
    block = made(same, 0, reference=1)
    reference = block[0]
    window = InputWindow(window_of(0), reference.profile)
    assert len(input_reference(reference.profile, [window] * (MOST_BLOCKS + 5), None).blocks) == MOST_BLOCKS


def test_an_infinite_number_in_a_window_changes_no_alarm() -> None:
    def spoiled(rows: Rows, number: int, rng: np.random.Generator) -> None:
        values: npt.NDArray[np.float64] = rows["x"].copy()
        values[0] = np.inf
        rows["x"] = values

    assert not any(alarm.raised for alarm in alarms_of(spoiled, 30))


def test_a_window_that_is_passed_over_leaves_the_others_as_they_are() -> None:
    reference, windows = made(same, 6)
    passed = input_alarms(reference, [*windows[:3], None, *windows[3:]], RUN_LENGTH)
    whole = input_alarms(reference, windows, RUN_LENGTH)
    assert [alarm.evidence for alarm in passed if alarm.enough] == [alarm.evidence for alarm in whole]


def test_columns_that_are_not_kept_leave_the_reference() -> None:
    def jumps(rows: Rows, number: int, rng: np.random.Generator) -> None:
        rows["x"] = rows["x"] + 1.0

    reference, windows = made(jumps, 6)
    fewer = reference.without(["y", "level"])
    kept = [column for column in reference.profile.columns if column.name not in ("y", "level")]
    assert fewer.profile.columns == tuple(kept)
    assert reference.without(["nobody"]) is reference
    seen = [
        InputWindow(
            one.window,
            Profile(one.profile.rows, tuple(c for c in one.profile.columns if c.bins in fewer.profile.bins)),
        )
        for one in windows
    ]
    assert input_alarms(fewer, seen, RUN_LENGTH)[3].columns == ("x",)
