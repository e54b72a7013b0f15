"""The life of a project, read from its events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pipelines.log import Event
from pipelines.report_windows import read_life

START = datetime(2013, 3, 4, tzinfo=UTC)
DAY = timedelta(days=1)


def service(version: int, day: float, author: str = "losswatch", **more: Any) -> Event:
    payload = {"version": version, "reference": {"loss": 0.5}, "reason": "why", **more}
    return Event("service", START + day * DAY, author, payload)


def verdict(number: int, **more: Any) -> Event:
    start = START + number * DAY
    payload = {
        "number": number, "start": start.isoformat(), "end": (start + DAY).isoformat(), "rows": 100, "labelled": 90,
        "loss": 0.6, "version": 1, "verdict": "quiet", "action": "keep", "reasons": ["a", "b"],
    }  # fmt: skip
    return Event("verdict", start + DAY, "losswatch", {**payload, **more})


def retraining(number: int, *, promoted: bool) -> Event:
    payload = {"window": number, "challenger": 2, "promoted": promoted, "reasons": ["0.6 to 0.5"]}
    return Event("retraining", START + (number + 1) * DAY, "losswatch", payload)


def test_a_verdict_of_an_older_log_has_no_evidence() -> None:
    (window,) = read_life([service(1, 0, "ann"), verdict(0)]).windows
    assert (window.start, window.labelled, window.reasons, window.evidence) == (START, 90, ("a", "b"), {})
    assert (window.shifted, window.estimate, window.outcome) == ((), None, "")


def test_windows_come_in_order_with_what_became_of_their_retrainings() -> None:
    events = [
        service(1, 0, "ann"),
        verdict(1, action="update"),
        verdict(0, action="update"),
        retraining(0, promoted=False),
    ]
    refused, open_ = read_life(events).windows
    assert (refused.outcome, refused.challenger, refused.gate) == ("refused", 2, ("0.6 to 0.5",))
    assert (open_.outcome, open_.challenger) == ("open", None)


def test_a_version_that_was_let_in_is_a_turn_and_a_service() -> None:
    events = [service(1, 0, "ann"), verdict(0, action="update"), retraining(0, promoted=True), service(2, 1)]
    life = read_life(events)
    assert [(turn.kind, turn.version) for turn in life.turns] == [("first", 1), ("promoted", 2)]
    assert [(one.version, one.until) for one in life.services] == [(1, START + DAY), (2, None)]
    assert life.windows[0].outcome == "promoted"


def test_what_a_person_does_is_told_from_what_the_gate_did() -> None:
    rolled_back = Event("rollback", START + 3 * DAY, "bob", {"from": 2, "to": 1})
    events = [service(1, 0, "ann"), service(2, 1, "bob"), service(2, 2), service(1, 3, "bob"), rolled_back]
    turns = read_life(events).turns
    assert [(turn.kind, turn.version) for turn in turns] == [("first", 1), ("by hand", 2), ("rolled back", 1)]


def test_a_verdict_is_about_the_service_before_the_one_that_it_led_to() -> None:
    life = read_life([service(1, 0, "ann"), verdict(0), service(2, 1), verdict(1)])
    assert [life.since_of(window) for window in life.windows] == [START, START + DAY]


def test_an_estimate_has_its_interval() -> None:
    kept = {"estimate": {"loss": 0.5, "low": 0.4, "high": None, "trusted": False, "reason": "too few"}}
    estimate = read_life([verdict(0, evidence=kept)]).windows[0].estimate
    assert estimate is not None
    assert (estimate.loss, estimate.low, estimate.high, estimate.trusted) == (0.5, 0.4, 0.5, False)


def test_estimates_of_windows_that_are_not_due_are_pending() -> None:
    def estimated(day: int, loss: float) -> Event:
        start = START + day * DAY
        payload = {
            "start": start.isoformat(),
            "end": (start + DAY).isoformat(),
            "loss": loss,
            "low": 0.4,
            "high": 0.7,
        }
        return Event("estimate", start + DAY, "losswatch", payload)

    life = read_life([verdict(0), estimated(0, 0.5), estimated(2, 0.5), estimated(1, 0.5), estimated(2, 0.6)])
    assert [(one.start, one.estimate.loss) for one in life.pending] == [
        (START + DAY, 0.5),
        (START + 2 * DAY, 0.6),
    ]


def test_the_sequential_test_names_the_columns_where_there_is_one() -> None:
    kept = {"shifted": [{"name": "a"}], "input_alarm": {"columns": ["b", "c"]}}
    (window,) = read_life([verdict(0, evidence=kept)]).windows
    assert (window.shifted, window.names_columns) == (("b", "c"), True)
    (quiet,) = read_life(
        [verdict(0, evidence={"shifted": [{"name": "a"}], "input_alarm": {"columns": []}})]
    ).windows
    assert quiet.shifted == ()
