"""What has been in service: read from the log, as it was known at any moment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import versions

from monitoring.decision import PastRetraining
from monitoring.loss_alarm import LossReference
from monitoring.window import WindowLength
from pipelines.errors import UserError
from pipelines.service import (
    RETRAINING,
    Service,
    begin_service,
    bundle_of,
    current_service,
    needed_service,
    past_retrainings,
)
from pipelines.stores import Stores

ANCHOR = datetime(2021, 1, 1, tzinfo=UTC)
DAY, MONTH = WindowLength(1, "day"), WindowLength(1, "month")
REFERENCE = LossReference(500, 0.3, 2.0, True, -1.2, 0.02, 0.05, 9.0)


def service(since: datetime = ANCHOR, window: WindowLength = DAY) -> Service:
    return Service(1, since, ANCHOR, window, REFERENCE)


def starts(found: list[tuple[int, Any]]) -> list[tuple[int, str]]:
    return [(number, window.start.date().isoformat()) for number, window in found]


@pytest.fixture
def stores(make_stores: Callable[..., Any]) -> Stores:
    found: Stores = make_stores(pd.DataFrame({"when": ["2021-01-01"], "x": [1], "y": [0]}))
    return found


def begin(stores: Stores, version: int, now: datetime, *, window: WindowLength = DAY) -> None:
    begin_service(
        stores,
        version,
        now=now,
        anchor=ANCHOR,
        window=window,
        reference=REFERENCE,
        author="test",
        reason="the test",
    )


# --- which windows are due ---


def test_a_window_is_due_when_it_has_ended() -> None:
    assert starts(service().windows_until(ANCHOR + timedelta(days=2, hours=5), timedelta(0))) == [
        (0, "2021-01-01"),
        (1, "2021-01-02"),
    ]
    assert service().windows_until(ANCHOR + timedelta(hours=23), timedelta(0)) == []


def test_a_window_waits_for_its_truth() -> None:
    now = ANCHOR + timedelta(days=2)
    assert len(service().windows_until(now, timedelta(days=1))) == 1
    assert len(service().windows_until(now, timedelta(days=1, seconds=1))) == 0


def test_a_service_begins_with_the_window_that_was_open() -> None:
    later = service(since=ANCHOR + timedelta(days=5, hours=3))
    assert starts(later.windows_until(ANCHOR + timedelta(days=8), timedelta(0)))[0] == (5, "2021-01-06")


def test_at_the_end_of_a_window_the_next_one_begins() -> None:
    later = service(since=ANCHOR + timedelta(days=5))
    assert starts(later.windows_until(ANCHOR + timedelta(days=6), timedelta(0))) == [(5, "2021-01-06")]


def test_months_are_the_calendars() -> None:
    found = service(window=MONTH).windows_until(datetime(2021, 4, 1, tzinfo=UTC), timedelta(0))
    assert starts(found) == [(0, "2021-01-01"), (1, "2021-02-01"), (2, "2021-03-01")]


# --- what the log says ---


def test_before_the_first_promotion_nothing_serves(stores: Stores) -> None:
    assert current_service(stores, ANCHOR) is None
    with pytest.raises(UserError, match=r"no version serves yet.*losswatch promote --first"):
        needed_service(stores, ANCHOR)


@pytest.mark.parametrize("window", [DAY, MONTH, WindowLength(12, "hour"), WindowLength(30, "minute")])
def test_a_service_comes_back_as_it_began(stores: Stores, window: WindowLength) -> None:
    begin(stores, 3, ANCHOR, window=window)
    assert current_service(stores, ANCHOR) == Service(3, ANCHOR, ANCHOR, window, REFERENCE)


def test_a_moment_sees_what_was_known_then(stores: Stores) -> None:
    for version in (1, 2, 3):
        begin(stores, version, ANCHOR + timedelta(days=version))
    assert needed_service(stores, ANCHOR + timedelta(days=2, hours=1)).version == 2
    assert needed_service(stores, ANCHOR + timedelta(days=9)).version == 3
    assert current_service(stores, ANCHOR) is None


def test_a_service_is_written_down_once(stores: Stores) -> None:
    begin(stores, 1, ANCHOR)
    begin(stores, 1, ANCHOR)
    assert len(stores.log.events(kind="service")) == 1


def test_retrainings_are_remembered_in_order(stores: Stores) -> None:
    for window, promoted in ((4, True), (9, False)):
        stores.log.append_event(
            RETRAINING,
            {"window": window, "promoted": promoted},
            known_at=ANCHOR + timedelta(days=window),
            author="test",
        )
    assert past_retrainings(stores, ANCHOR + timedelta(days=20)) == (
        PastRetraining(4, True),
        PastRetraining(9, False),
    )
    assert past_retrainings(stores, ANCHOR + timedelta(days=5)) == (PastRetraining(4, True),)


def test_the_files_of_a_version_are_verified_once_a_process(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = versions.write_version(tmp_path / "bundle")
    with stores.registry.run("fit", kind="fit", parameters={}, tags={}) as run:
        version = run.register(bundle, signature_frame=pd.DataFrame(), tags={}).version
    found = bundle_of(stores, version)

    def again(version: int) -> Path:
        raise AssertionError("asked twice")

    monkeypatch.setattr(stores.registry, "bundle", again)
    assert bundle_of(stores, version) is found
