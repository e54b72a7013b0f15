"""What the monitor asks for: what the newest verdict says, until it has been done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import streams

from monitoring.window import WindowLength
from pipelines import steps
from pipelines.prepared import prepare_rows
from pipelines.service import RETRAINING, VERDICT, needed_service
from pipelines.steps import JudgedWindow, monitor_stores, promote_first, retrain_stores, serve_again, serves
from pipelines.stores import Stores
from pipelines.training import train_version

BEGIN = datetime(2021, 1, 5, tzinfo=UTC)
JUDGED, LATER = BEGIN + timedelta(hours=1), BEGIN + timedelta(hours=2)


@pytest.fixture
def stores(make_stores: Callable[..., Any]) -> Stores:
    """A project with a version that serves, before its first window is due."""
    stores: Stores = make_stores(streams.stream(4, 100), '[monitor]\nwindow = "day"\n')
    version = train_version(stores, prepare_rows(stores.project)).version.version
    day = WindowLength(1, "day")
    promote_first(stores, version, now=BEGIN, anchor=BEGIN, window=day, author="test")
    return stores


def _judge(stores: Stores, action: str, *, number: int = 0, at: datetime = JUDGED) -> None:
    """A verdict of a monitor that ended, or was ended, right after it."""
    verdict = "concept change" if action in ("update", "refit") else "stable"
    window = JudgedWindow(
        number, at.isoformat(), at.isoformat(), 100, 100, 0.7, 1, verdict, action, ("loss 0.3 to 0.7",)
    )
    stores.log.append_event(VERDICT, asdict(window), known_at=at, author="test")


def _retrained(stores: Stores, window: int, at: datetime) -> None:
    payload = {"window": window, "promoted": True}
    stores.log.append_event(RETRAINING, payload, known_at=at, author="test")


def _serve_again(stores: Stores, at: datetime) -> None:
    serve_again(stores, needed_service(stores, at), 1, now=at, author="test", reason="test")


def test_nothing_judged_asks_for_nothing(stores: Stores) -> None:
    result = monitor_stores(stores, LATER)
    assert (result.harmful, result.action, result.reasons) == (False, "keep", ())
    assert result.lines() == ["no window is due: each is judged when its labels are complete"]


@pytest.mark.parametrize("action", ["update", "refit"])
def test_a_verdict_whose_monitor_died_before_anybody_heard_of_it_is_told_again(
    stores: Stores, action: str
) -> None:
    _judge(stores, action)
    result = monitor_stores(stores, LATER)
    assert result.windows == ()
    assert (result.harmful, result.action, result.reasons) == (True, action, ("loss 0.3 to 0.7",))
    assert result.lines()[1:] == [f"still to be done: {action}", "next: losswatch retrain"]


@pytest.mark.parametrize("action", ["keep", "fix data"])
def test_a_verdict_that_asks_for_no_retraining_is_not(stores: Stores, action: str) -> None:
    _judge(stores, action)
    assert not monitor_stores(stores, LATER).harmful


def test_the_newest_verdict_is_what_counts(stores: Stores) -> None:
    _judge(stores, "update")
    _judge(stores, "keep", number=1, at=LATER)
    assert monitor_stores(stores, JUDGED).harmful
    assert not monitor_stores(stores, LATER).harmful


@pytest.mark.parametrize("ended", [JUDGED, LATER])
def test_a_retraining_that_has_ended_is_not_asked_for_again(stores: Stores, ended: datetime) -> None:
    _judge(stores, "update")
    _retrained(stores, 0, ended)
    _serve_again(stores, ended)
    assert not monitor_stores(stores, LATER).harmful
    result = retrain_stores(stores, LATER)
    assert result.challenger is None
    assert result.lines() == ["no retraining: no new verdict asks for one"]


def test_a_retraining_that_was_cut_off_before_its_winner_served_is_asked_for_again(stores: Stores) -> None:
    _judge(stores, "update")
    _retrained(stores, 0, LATER)
    assert monitor_stores(stores, LATER).harmful


def test_the_retraining_of_an_earlier_window_does_not_answer_a_later_verdict(stores: Stores) -> None:
    _judge(stores, "update")
    _retrained(stores, 0, JUDGED)
    _serve_again(stores, JUDGED)
    _judge(stores, "update", number=1, at=LATER)
    assert monitor_stores(stores, LATER).harmful


def test_a_rollback_answers_the_verdict_on_what_it_took_away(stores: Stores) -> None:
    _judge(stores, "update")
    _serve_again(stores, LATER)
    assert not monitor_stores(stores, LATER).harmful


def test_a_project_serves_from_its_first_promotion_on(stores: Stores) -> None:
    assert serves(stores.project, BEGIN)
    assert not serves(stores.project, BEGIN - timedelta(seconds=1))


@pytest.mark.parametrize(
    ("labelled", "said"), [(100, "100 rows  loss"), (25, "100 rows, 25% labelled  loss")]
)
def test_a_window_says_how_many_of_its_rows_have_a_label(labelled: int, said: str) -> None:
    at = JUDGED.isoformat()
    window = JudgedWindow(0, at, at, 100, labelled, 0.7, 1, "quiet", "keep", ())
    assert said in window.line()


def test_the_status_is_in_step_with_the_report(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "open_stores", lambda project: stores)
    stores.project.state.mkdir(exist_ok=True)
    _judge(stores, "update")
    found = steps.status(stores.project)
    assert found.standing is not None
    told = found.lines()
    assert told[1] == "loss ▁  0.700 to 0.700 in 1 window"
    assert told[2] == found.standing.headline
    assert told[-1] == "next: losswatch retrain"
