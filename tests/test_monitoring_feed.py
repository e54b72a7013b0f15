"""The feed as a whole: copies, gaps, what stands still; and nothing of that in honest rows."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.bins import reference_bins
from monitoring.faults import DataFault
from monitoring.feed import (
    MOST_SAMPLED,
    FeedReference,
    FeedSample,
    column_faults,
    feed_faults,
    feed_reference,
    feed_sample,
    merge_samples,
)
from monitoring.profile import profile

WINDOWS, ROWS = 12, 500


def times(number: int, count: int = ROWS) -> Any:
    start = np.datetime64("2021-01-04", "us") + number * np.timedelta64(7, "D")
    return start + np.arange(count) * np.timedelta64(600, "s")


def rows(number: int, count: int = ROWS) -> dict[str, Any]:
    """A number, one of few values, one that is often 0, a name, and one that is the same for an hour."""
    rng = np.random.default_rng(number + 1000)
    return {
        "x": rng.normal(50, 10, count),
        "stars": rng.integers(0, 6, count).astype(float),
        "rain": np.where(rng.random(count) < 0.85, 0.0, rng.exponential(2.0, count)),
        "kind": rng.choice(np.array(["a", "b", None], dtype=object), count, p=[0.6, 0.35, 0.05]),
        "hour": np.repeat(rng.normal(10, 3, count // 6 + 1), 6)[:count],
    }


WHOLE = {name: np.concatenate([rows(k)[name] for k in range(WINDOWS)]) for name in rows(0)}
BINS = reference_bins(WHOLE)
COUNTED = profile(WHOLE, BINS)


def sample(number: int, columns: dict[str, Any] | None = None) -> FeedSample:
    values = rows(number) if columns is None else columns
    return feed_sample(values, times(number, len(values["x"])), BINS)


def made(samples: list[FeedSample] | None = None, counts: list[int] | None = None) -> FeedReference:
    ranges = [(column.minimum, column.maximum) for column in COUNTED.columns]
    usual = [sample(k) for k in range(WINDOWS)] if samples is None else samples
    found = feed_reference(usual, [ROWS] * WINDOWS if counts is None else counts, BINS, ranges)
    assert found is not None
    return found


REFERENCE = made()
BEFORE = [sample(k).without_values() for k in range(90, 98)]


def faults(columns: dict[str, Any], *, before: list[FeedSample] = BEFORE) -> list[tuple[str, str]]:
    current = sample(200, columns)
    whole = feed_faults(REFERENCE, current, arrived=current.rows, arrived_before=[ROWS] * 10, before=before)
    return [(fault.column, fault.kind) for fault in (*whole, *column_faults(REFERENCE, current))]


# --- the same rows again ---


@pytest.mark.parametrize("share", [0.15, 0.5, 1.0])
def test_rows_of_a_window_before_are_known_again(share: float) -> None:
    old, new = rows(97), rows(200)
    kept = int((1 - share) * ROWS)
    mixed = {name: np.concatenate([new[name][:kept], old[name][kept:]]) for name in new}
    assert faults(mixed) == [("all columns", "rows repeated")]


def test_rows_that_come_twice_within_a_window_are_copies() -> None:
    once = rows(200, ROWS // 2)
    twice = {name: np.tile(values, 2) for name, values in once.items()}
    assert faults(twice) == [("all columns", "rows repeated")]


def test_where_copies_are_usual_nobody_can_tell() -> None:
    few = {"x": np.zeros(ROWS)}
    bins = reference_bins(few)
    samples = [feed_sample(few, times(k), bins) for k in range(4)]
    found = feed_reference(samples, [ROWS] * 4, bins, [(0.0, 0.0)])
    assert found is not None
    told = feed_faults(found, samples[0], arrived=ROWS, arrived_before=[], before=samples)
    assert told == ()


# --- no rows ---


def absent(arrived: int, before: list[int]) -> tuple[DataFault, ...]:
    nothing = feed_sample({"x": np.zeros(0)}, times(0, 0), BINS)
    return feed_faults(REFERENCE, nothing, arrived=arrived, arrived_before=before, before=[])


@pytest.mark.parametrize("arrived", [0, 3, 49])
def test_no_rows_where_there_always_were_some_is_a_fault(arrived: int) -> None:
    found = absent(arrived, [480, 510])
    assert [(fault.column, fault.kind) for fault in found] == [("all columns", "rows absent")]
    assert "no window of the reference had fewer than 500" in found[0].evidence


def test_a_third_of_the_rows_is_a_quiet_week() -> None:
    assert absent(170, [500] * 5) == ()


def test_an_outage_is_told_for_as_long_as_it_lasts() -> None:
    assert all(absent(0, [500] * 10 + [0] * k) for k in range(3))


def test_pauses_that_come_again_and_again_are_a_rhythm() -> None:
    assert absent(0, [500, 500, 500, 0] * 5) == ()


def test_a_reference_with_gaps_knows_gaps() -> None:
    reference = made(counts=[500, 500, 0, 500, 500, 0, 500, 500, 0, 500])
    nothing = feed_sample({"x": np.zeros(0)}, times(0, 0), BINS)
    assert feed_faults(reference, nothing, arrived=0, arrived_before=[], before=[]) == ()


# --- columns in a part of the window ---


@pytest.mark.parametrize("share", [0.15, 0.4])
def test_a_sensor_that_stands_still_for_a_while_is_stuck(share: float) -> None:
    columns = rows(200)
    start = 120
    columns["x"][start : start + int(share * ROWS)] = 51.25
    assert faults(columns) == [("x", "stuck for a while")]


def test_values_that_are_gone_for_a_while_are_a_fault() -> None:
    columns = rows(200)
    columns["x"][300:340] = np.nan
    assert faults(columns) == [("x", "missing for a while")]


def test_names_that_are_gone_for_a_while_are_a_fault() -> None:
    columns = rows(200)
    columns["kind"][100:140] = None
    assert faults(columns) == [("kind", "missing for a while")]


@pytest.mark.parametrize("mark", [-999.0, 9999.0, -1.0])
def test_a_mark_for_unknown_is_impossible(mark: float) -> None:
    columns = rows(200)
    columns["x"][::40] = mark
    assert faults(columns) == ([("x", "impossible values")] if mark != -1.0 else [])


def test_values_that_wander_far_out_are_a_shift_and_not_impossible() -> None:
    columns = rows(200)
    columns["x"] = columns["x"] + 200
    assert faults(columns) == []


def test_a_column_that_counts_on_is_outside_as_a_whole_and_no_mark() -> None:
    columns = rows(200)
    columns["x"] = np.full(ROWS, 900.0)
    assert "impossible values" not in [kind for _, kind in faults(columns)]


def test_an_infinite_value_is_no_mark() -> None:
    columns = rows(200)
    columns["x"][:10] = np.inf
    assert faults(columns) == []


@pytest.mark.parametrize("number", range(100, 140))
def test_honest_windows_have_no_fault(number: int) -> None:
    assert faults(rows(number)) == []


def test_missing_values_here_and_there_are_no_stretch() -> None:
    columns = rows(200)
    columns["x"] = np.where(np.random.default_rng(1).random(ROWS) < 0.2, np.nan, columns["x"])
    assert faults(columns) == []


def test_few_rows_prove_nothing() -> None:
    few = sample(200, {name: np.repeat(values[:1], 20) for name, values in rows(200).items()})
    assert column_faults(REFERENCE, few) == ()
    assert feed_faults(REFERENCE, few, arrived=ROWS, arrived_before=[], before=[]) == ()


# --- the sample ---


@given(cuts=st.lists(st.integers(0, 3000), max_size=5))
def test_samples_of_parts_add_up_to_the_sample_of_the_whole(cuts: list[int]) -> None:
    columns, moments = rows(7, 3000), times(7, 3000)
    bounds = [0, *sorted(cuts), 3000]
    parts = [
        feed_sample({name: values[a:b] for name, values in columns.items()}, moments[a:b], BINS)
        for a, b in pairwise(bounds)
    ]
    whole, added = feed_sample(columns, moments, BINS), merge_samples(parts)
    assert len(whole.hashes) == MOST_SAMPLED
    for name in ("hashes", "counts", "times", "values"):
        np.testing.assert_array_equal(getattr(added, name), getattr(whole, name))


def test_equal_rows_have_equal_hashes_whatever_their_type() -> None:
    bins = reference_bins({"n": np.array([1.0, 2.0, 3.0])})
    moments = times(0, 2)
    floats = feed_sample({"n": np.array([1.0, 2.0])}, moments, bins)
    whole = feed_sample({"n": np.array([1, 2])}, moments, bins)
    texts = feed_sample({"n": ["1", "2"]}, moments, bins)
    assert floats.hashes.tolist() == whole.hashes.tolist() == texts.hashes.tolist()


def test_a_reference_comes_back_from_json_as_it_was() -> None:
    assert FeedReference.from_plain(json.loads(json.dumps(REFERENCE.to_plain()))) == REFERENCE


def test_without_a_reference_nothing_is_said() -> None:
    assert feed_faults(None, sample(0), arrived=0, arrived_before=[], before=[]) == ()
    assert column_faults(None, sample(0)) == ()
    assert feed_reference([], [], BINS, []) is None
