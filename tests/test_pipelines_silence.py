"""No rows, fewer labels, a monitor that does not run, a receiver that is down: each is a finding until it is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from monitoring.loss_alarm import LossReference
from pipelines import heartbeat
from pipelines.alerts import alerts_of
from pipelines.log import Log
from pipelines.project import open_project
from pipelines.registry import Registry
from pipelines.service import SERVICE
from pipelines.silence import monitor_late
from pipelines.stores import Stores
from pipelines.telling import tell, tell_that_nobody_watches

START = datetime(2013, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SETTINGS = '[data]\npath = "rows.csv"\ntarget = "y"\n[alerts]\nreceivers = {team = "env:NO_SUCH_CHAT"}\n'


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    (tmp_path / "losswatch.toml").write_text(SETTINGS)
    project = open_project(tmp_path)
    return Stores(project, cast(Registry, None), Log(project.log_folder()))


def serve(stores: Stores, since: datetime = START) -> None:
    reference: dict[str, Any] = {}
    payload = {"version": 1, "anchor": since.isoformat(), "window": "week", "reference": reference}
    stores.log.append_event(SERVICE, {**payload, "reason": "test"}, known_at=since, author="test")


@pytest.fixture(autouse=True)
def any_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a version is compared with is of no matter here."""
    from pipelines import service

    monkeypatch.setattr(service, "LossReference", lambda **_: cast(LossReference, None))


def daily(stores: Stores, days: range, *, labelled: float = 1.0, rows: int = 60) -> None:
    for day in days:
        at = START + day * DAY
        ids = [f"{day}-{row}" for row in range(rows)]
        times = [at + row * DAY / rows for row in range(rows)]
        stores.log.append_predictions(ids, times, {}, np.zeros(rows), version=1, known_at=at)
        stores.log.append_labels(
            ids[: round(rows * labelled)], np.ones(round(rows * labelled)), known_at=at + 1.5 * DAY
        )


def kinds(stores: Stores) -> list[tuple[str, bool]]:
    return [(alert.kind, alert.open) for alert in alerts_of(stores.log.events()).values()]


def test_rows_that_stop_are_an_alert_that_is_over_when_they_come_again(stores: Stores) -> None:
    serve(stores)
    daily(stores, range(20))
    tell(stores, START + 20 * DAY)
    assert kinds(stores) == []
    for days in (22.5, 23, 23.2):
        tell(stores, START + days * DAY)
    assert kinds(stores)[0] == ("no rows", True)
    daily(stores, range(23, 24))
    tell(stores, START + 23.5 * DAY)
    alert = next(iter(alerts_of(stores.log.events()).values()))
    assert (alert.kind, alert.open) == ("no rows", False)
    assert (alert.over, alert.since) == ("rows come again", START + 19 * DAY)


def test_rows_are_missed_only_while_something_serves(stores: Stores) -> None:
    daily(stores, range(20))
    tell(stores, START + 30 * DAY)
    assert ("no rows", True) not in kinds(stores)


def test_a_version_that_gets_no_rows_at_all_is_told_after_two_windows(stores: Stores) -> None:
    serve(stores)
    tell(stores, START + 20 * DAY)
    assert kinds(stores) == []
    tell(stores, START + 22 * DAY)
    assert kinds(stores) == [("no rows", True)]


def test_fewer_labels_are_told_and_none_at_all_is_another_cause(stores: Stores) -> None:
    serve(stores)
    daily(stores, range(60))
    daily(stores, range(60, 80), labelled=0.4)
    tell(stores, START + 62 * DAY)
    assert kinds(stores) == []
    tell(stores, START + 80 * DAY)
    assert kinds(stores) == [("label coverage", True)]
    tell(stores, START + 86 * DAY)
    assert ("labels stopped", True) in kinds(stores)


def test_a_monitor_that_fails_is_told_until_it_does_not(stores: Stores) -> None:
    tell(stores, START, failed="ZeroDivisionError")
    tell(stores, START + DAY, failed="ZeroDivisionError")
    assert kinds(stores) == [("monitor failed", True)]
    tell(stores, START + 2 * DAY)
    assert kinds(stores) == [("monitor failed", False)]


def test_a_monitor_that_does_not_run_is_told_by_somebody_else(stores: Stores) -> None:
    serve(stores)
    daily(stores, range(2))
    heartbeat.ran(stores.project.log_folder(), START)
    assert monitor_late(stores, START + timedelta(hours=1)) is None
    found = [tell_that_nobody_watches(stores, START + hours * timedelta(hours=1)).new for hours in (3, 4)]
    assert [len(one) for one in found] == [1, 0]
    assert kinds(stores) == [("monitor silent", True)]
    heartbeat.ran(stores.project.log_folder(), START + timedelta(hours=5))
    tell(stores, START + timedelta(hours=5))
    assert kinds(stores) == [("monitor silent", False)]


def test_a_receiver_that_is_down_is_told_to_the_others(stores: Stores) -> None:
    for hours in (0, 1, 2, 3):
        tell(stores, START + hours * timedelta(hours=1), failed="ValueError")
    down = [alert for alert in alerts_of(stores.log.events()).values() if alert.kind == "receiver down"]
    assert [(alert.cause, alert.receivers) for alert in down] == [("receiver team", ())]
    assert "NO_SUCH_CHAT is not set" in down[0].body


def test_an_empty_project_has_nothing_to_tell(stores: Stores) -> None:
    assert tell(stores, START).new == ()
