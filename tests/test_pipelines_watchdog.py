"""The scoring server has it told that the monitor does not run, once an hour and no more."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import listening
import pytest

from monitoring.loss_alarm import LossReference
from pipelines import heartbeat, watchdog
from pipelines.heartbeat import Heartbeat
from pipelines.log import Log
from pipelines.project import open_project
from pipelines.service import SERVICE
from pipelines.watchdog import Watchdog, tell_in_a_process

NOW = datetime(2024, 3, 1, 10, 5, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
CRON = "5 * * * *"


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def dog(folder: Path, clock: Callable[[], datetime], told: list[Path]) -> Watchdog:
    return Watchdog(folder / "project", folder, CRON, now=clock, tell=told.append)


def looks(watching: Watchdog, clock: Clock, minutes: int) -> list[int]:
    """At which minutes something is told."""
    found = []
    for minute in range(minutes):
        clock.now = NOW + minute * MINUTE
        found += [minute] if watching.look() else []
    return found


def test_a_monitor_that_runs_is_left_alone(tmp_path: Path, clock: Clock) -> None:
    told: list[Path] = []
    watching = dog(tmp_path, clock, told)
    for hour in range(5):
        heartbeat.ran(tmp_path, NOW + hour * 60 * MINUTE)
    assert looks(watching, clock, 300) == []
    assert told == []


def test_one_that_does_not_run_is_told_every_hour(tmp_path: Path, clock: Clock) -> None:
    told: list[Path] = []
    assert looks(dog(tmp_path, clock, told), clock, 260) == [131, 191, 251]
    assert told == [tmp_path / "project"] * 3


def test_what_waits_to_be_sent_again_is_told_when_it_is_time(tmp_path: Path, clock: Clock) -> None:
    heartbeat.write(tmp_path, Heartbeat((NOW,), retry=NOW + 5 * MINUTE))
    assert looks(dog(tmp_path, clock, []), clock, 8) == [5, 6, 7]


def test_starting_gives_the_monitor_time_and_stopping_ends_it(tmp_path: Path, clock: Clock) -> None:
    heartbeat.write(tmp_path, Heartbeat((NOW - 5000 * MINUTE,)))
    watching = dog(tmp_path, clock, [])
    watching.start()
    assert heartbeat.read(tmp_path).server == NOW
    assert not watching.look()
    watching.stop()
    watching._thread.join(10)
    assert not watching._thread.is_alive()


def test_a_fault_of_looking_does_not_end_it(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watchdog, "_EVERY", 0.01)
    twice = threading.Barrier(2, timeout=10)
    watching = dog(tmp_path, clock, [])

    def broken() -> bool:
        twice.wait()
        raise OSError("no")

    monkeypatch.setattr(watching, "look", broken)
    watching.start()
    twice.wait()
    twice.wait()
    watching.stop()
    assert "the monitor could not be looked after: OSError" in caplog.text


def test_it_is_told_by_a_process_of_its_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tell_in_a_process(tmp_path)  # there is no project
    assert "losswatch alerts deliver ended with 2" in caplog.text


def test_a_monitor_that_is_missed_reaches_people_through_that_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening.hook() as hook:
        monkeypatch.setenv("TEAM_CHAT", hook.service)
        (tmp_path / "losswatch.toml").write_text(
            '[data]\npath = "rows.csv"\ntarget = "y"\n[alerts.receivers]\nteam = "env:TEAM_CHAT"\n'
        )
        log = Log(open_project(tmp_path).log_folder())
        reference = asdict(LossReference(100, 0.5, 3.0, True, -0.69, 0.05, 0.05, 4.0))
        served = {
            "version": 1,
            "anchor": NOW.isoformat(),
            "window": "1 day",
            "reference": reference,
            "reason": "",
        }
        log.append_event(SERVICE, served, known_at=NOW, author="ann")
        heartbeat.ran(open_project(tmp_path).log_folder(), NOW)  # years ago
        tell_in_a_process(tmp_path)
        assert [one["title"].partition(": ")[2] for one in hook.received][-1] == "the monitor does not run"
