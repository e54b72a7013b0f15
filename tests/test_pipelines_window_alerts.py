"""Verdicts become alerts by small rules; a cause lasts from its first window to its end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.alerts import Episode
from pipelines.window_alerts import FAULT, INPUTS, LOSS, Judged, episodes, judged

START = datetime(2013, 3, 1, tzinfo=UTC)
WEEK = timedelta(days=7)
VERDICTS = ("quiet", "data fault", "benign shift", "harmful shift", "concept change", "not enough evidence")


def window(
    number: int, verdict: str, action: str = "keep", *, rows: int = 100, faults: Sequence[str] = ()
) -> Judged:
    start = START + number * WEEK
    return Judged(start, start + WEEK, rows, 1, verdict, action, (f"{verdict} {number}",), frozenset(faults))


def found(*verdicts: str, services: Sequence[tuple[datetime, str]] = ()) -> list[tuple[str, int, bool]]:
    """Cause, number of stages, and whether it is over, of each episode."""
    windows = [window(number, verdict, "update") for number, verdict in enumerate(verdicts)]
    return [
        (one.stages[0].cause, len(one.stages), one.over is not None)
        for one in episodes("flights", windows, services)
    ]


def test_a_quiet_time_has_no_alerts() -> None:
    assert found("quiet", "not enough evidence", "quiet") == []


def test_harm_in_one_window_after_the_other_is_one_alert() -> None:
    assert found("quiet", "harmful shift", "harmful shift", "harmful shift") == [(LOSS, 1, False)]


def test_a_worse_verdict_of_the_same_cause_is_a_stage_and_a_better_one_is_none() -> None:
    assert found("harmful shift", "concept change", "harmful shift", "concept change") == [(LOSS, 2, False)]


def test_harm_that_losswatch_can_do_nothing_about_is_worse() -> None:
    (one,) = episodes(
        "flights", [window(0, "concept change", "update"), window(1, "concept change", "keep")], ()
    )
    assert [stage.severity for stage in one.stages] == ["warning", "critical"]
    assert "losswatch retrain" in one.stages[0].next


def test_a_quiet_window_ends_what_stood() -> None:
    assert found("harmful shift", "quiet", "harmful shift") == [(LOSS, 1, True), (LOSS, 1, False)]


@pytest.mark.parametrize("silent", ["not enough evidence", "data fault"])
def test_a_window_that_does_not_know_of_the_loss_ends_nothing(silent: str) -> None:
    assert (LOSS, 1, False) in found("harmful shift", silent, "harmful shift")


def test_an_empty_window_does_not_mend_a_feed() -> None:
    empty = window(1, "not enough evidence", rows=0)
    assert [one.over for one in episodes("f", [window(0, "data fault"), empty], ())] == [None]
    few = window(1, "not enough evidence", rows=3)
    assert episodes("f", [window(0, "data fault"), few], ())[0].over is not None


def test_inputs_that_move_are_told_to_those_who_want_to_know() -> None:
    (one,) = episodes("flights", [window(0, "benign shift"), window(1, "harmful shift")], ())[:1]
    assert (one.stages[0].cause, one.stages[0].severity) == (INPUTS, "info")
    assert found("benign shift", "harmful shift") == [(INPUTS, 1, False), (LOSS, 1, False)]


def test_a_broken_feed_asks_for_a_person_and_another_column_is_news() -> None:
    windows = [
        window(0, "data fault", "fix data", faults=["wind: constant"]),
        window(1, "data fault", "fix data", faults=["wind: constant", "dep: another unit"]),
        window(2, "data fault", "fix data", faults=["dep: another unit"]),
    ]
    (one,) = episodes("flights", windows, ())
    assert [(stage.cause, stage.severity) for stage in one.stages] == [(FAULT, "critical")] * 2


def test_a_new_service_ends_what_was_told_of_the_one_before() -> None:
    services = [(START, "version 1"), (START + 2 * WEEK, "version 2 is in service")]
    assert found("harmful shift", "harmful shift", services=services) == [(LOSS, 1, True)]
    told = episodes("f", [window(0, "harmful shift"), window(2, "harmful shift")], services)
    assert [(one.over, one.stages[0].since) for one in told] == [
        ("version 2 is in service", START),
        (None, START + 2 * WEEK),
    ]


def test_a_verdict_of_the_log_is_read_with_or_without_its_evidence() -> None:
    payload: dict[str, Any] = {
        "number": 0,
        "start": START.isoformat(),
        "end": (START + WEEK).isoformat(),
        "rows": 10,
        "labelled": 9,
        "loss": None,
        "version": 2,
        "verdict": "data fault",
        "action": "fix data",
        "reasons": ["a", "b"],
    }
    assert judged(payload).faults == frozenset()
    payload["evidence"] = {"faults": [{"column": "wind", "kind": "constant", "evidence": "3"}]}
    assert judged(payload).faults == {"wind: constant"}
    assert judged(payload).why == "a; b"


weeks = st.lists(st.tuples(st.sampled_from(VERDICTS), st.sampled_from(("keep", "update"))), max_size=12)


@given(
    weeks,
    st.lists(st.integers(0, 12), max_size=3, unique=True),
    st.randoms(use_true_random=False),
)
@settings(max_examples=200)
def test_a_backfill_in_any_order_finds_what_a_live_run_found(
    verdicts: list[tuple[str, str]], services: list[int], random: Any
) -> None:
    windows = [window(number, *verdict) for number, verdict in enumerate(verdicts)]
    begun = [(START + number * WEEK, f"service {number}") for number in services]
    live: dict[tuple[str, datetime], Episode] = {}
    for known in range(len(windows) + 1):
        until = [one for one in begun if one[0] <= START + known * WEEK]
        for one in episodes("f", windows[:known], until):
            before = live.get((one.stages[0].cause, one.stages[0].since))
            # what was told stays so: a cause gets further stages and an end, and no other beginning
            assert before is None or one.stages[: len(before.stages)] == before.stages
            live[one.stages[0].cause, one.stages[0].since] = one
    random.shuffle(windows)
    random.shuffle(begun)
    until = [one for one in begun if one[0] <= START + len(windows) * WEEK]
    backfilled = {
        (one.stages[0].cause, one.stages[0].since): one for one in episodes("f", [*windows, *windows], until)
    }
    assert backfilled == live
