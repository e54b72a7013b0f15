"""Whoever looks can see when the monitor ran, and that it does not run any more."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipelines import heartbeat
from pipelines.heartbeat import FILE, Heartbeat, late, ran, read, write

NOW = datetime(2024, 3, 1, 10, 5, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)
CRON = "5 * * * *"


def test_runs_are_remembered_with_how_the_last_one_ended(tmp_path: Path) -> None:
    for hours in range(40):
        ran(tmp_path, NOW + hours * HOUR, failed="ValueError" if hours == 39 else None)
    seen = read(tmp_path)
    assert (len(seen.runs), seen.last, seen.failed) == (31, NOW + 39 * HOUR, "ValueError")
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_everything_comes_back_as_it_was_written(tmp_path: Path) -> None:
    seen = Heartbeat((NOW,), None, (("critical", 2),), 3, NOW + HOUR, NOW - HOUR)
    write(tmp_path, seen)
    assert read(tmp_path) == seen


@pytest.mark.parametrize("text", ["", "{", "[]", '{"runs": ["x"]}', '{"runs": 3}', "\udcff"])
def test_a_file_that_is_none_of_ours_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_bytes(text.encode("utf-8", "surrogateescape"))
    assert read(tmp_path) == Heartbeat()


def test_where_there_is_no_log_none_is_made(tmp_path: Path) -> None:
    ran(tmp_path / "log", NOW)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("minutes", "missed"), [(60, False), (125, False), (131, True)])
def test_it_is_late_when_two_of_its_times_have_passed(minutes: int, missed: bool) -> None:
    found = late(Heartbeat((NOW,)), CRON, NOW + timedelta(minutes=minutes), serving_since=NOW - 50 * HOUR)
    assert (found is not None) == missed


def test_late_is_said_with_both_times() -> None:
    found = late(Heartbeat((NOW,)), CRON, NOW + 9 * HOUR, serving_since=NOW)
    assert str(found) == (
        "the monitor does not run: it last ran at 2024-03-01 10:05, and another run was due by 2024-03-01 12:15"
    )


def test_whoever_runs_it_by_a_clock_of_their_own_is_not_accused() -> None:
    runs = tuple(NOW + days * 24 * HOUR for days in range(-5, 1))
    assert late(Heartbeat(runs), CRON, NOW + 47 * HOUR, serving_since=NOW) is None
    assert late(Heartbeat(runs), CRON, NOW + 49 * HOUR, serving_since=NOW) is not None


def test_an_outage_before_does_not_make_the_next_one_longer() -> None:
    runs = tuple(NOW + hours * HOUR for hours in (-200, -199, -198, -3, -2, -1, 0))
    assert late(Heartbeat(runs), CRON, NOW + 3 * HOUR, serving_since=NOW) is not None


def test_one_that_never_ran_is_missed_from_when_something_serves() -> None:
    assert late(Heartbeat(), CRON, NOW, serving_since=None) is None
    found = late(Heartbeat(), CRON, NOW + 3 * HOUR, serving_since=NOW)
    assert "it has never run" in str(found)


def test_a_machine_that_was_off_is_given_time_to_run_it() -> None:
    seen = Heartbeat((NOW - 72 * HOUR,), server=NOW)
    assert late(seen, CRON, NOW + HOUR, serving_since=NOW - 90 * HOUR) is None
    assert late(seen, CRON, NOW + 3 * HOUR, serving_since=NOW - 90 * HOUR) is not None


def test_a_line_that_is_never_due_misses_nothing() -> None:
    assert late(Heartbeat((NOW,)), "0 0 30 2 *", NOW + 9000 * HOUR, serving_since=NOW) is None


def test_the_scoring_server_says_it_in_figures(tmp_path: Path) -> None:
    assert {value for _, value in heartbeat.gauges(tmp_path).values()} == {0.0}
    write(tmp_path, replace(Heartbeat((NOW,)), open=(("critical", 1), ("warning", 2)), waiting=4))
    found = {name: value for name, (_, value) in heartbeat.gauges(tmp_path).items()}
    assert found == {
        "monitor_last_run_seconds": NOW.timestamp(),
        "monitor_failed": 0.0,
        "alerts_critical": 1.0,
        "alerts_warning": 2.0,
        "alerts_waiting": 4.0,
    }
