"""How labels come is told from the log, and one alert is raised when they stop."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import versions

from pipelines import labels as module
from pipelines.answer import to_json
from pipelines.arrival import ArrivingLabel
from pipelines.labels import add_file, labels
from pipelines.log import Log
from pipelines.moments import microseconds
from pipelines.project import Project, open_project
from pipelines.registry import Registry
from pipelines.silence import STOPPED
from pipelines.stores import Stores
from pipelines.telling import tell

NOW = datetime(2013, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@dataclass
class Served:
    """A registry of one version, or of none."""

    folder: Path | None = None

    def alias(self, name: str) -> Any:
        return None if self.folder is None else type("Named", (), {"version": 7})

    def bundle(self, version: int) -> Path:
        assert self.folder is not None
        return self.folder


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stores:
    (tmp_path / "losswatch.toml").write_text('[data]\npath = "rows.csv"\ntarget = "binary"\nkey = "ride"\n')
    project = open_project(tmp_path)
    opened = Stores(project, cast(Registry, Served()), Log(project.log_folder()))
    monkeypatch.setattr(module, "open_stores", lambda _: opened)
    return opened


def score(log: Log, ids: list[str], times: list[datetime], **more: Any) -> None:
    log.append_predictions(ids, times, {}, np.zeros(len(ids)), version=1, known_at=min(times), **more)


def project_of(stores: Stores) -> Project:
    return stores.project


def test_coverage_and_delay_are_told_by_day(stores: Stores) -> None:
    first, second = NOW - 5 * DAY, NOW - 2 * DAY
    score(stores.log, ["a", "b", "c", "d"], [first, first, second, second])
    stores.log.append_labels(["a", "b"], [1, 0], known_at=first + 3 * DAY)
    found = labels(project_of(stores), NOW)
    assert [(day.day, day.rows, day.labelled) for day in found.days] == [
        ("2013-02-24", 2, 2),
        ("2013-02-27", 2, 0),
    ]
    assert (found.rows, found.labelled, found.coverage, found.median_delay) == (4, 2, 1.0, 3.0)
    assert found.days[0].median_delay == found.days[0].late_delay == 3.0
    assert np.isnan(found.days[1].median_delay)
    assert (found.expected, found.days[1].expected) == (2.0, 2.0)
    assert found.lines()[0] == (
        f"{stores.project.name}: 2 of 4 rows since 2012-12-01 have a label; in the end 100% of them do, half within "
        "3 d, nine in ten within 3 d; 2 are still to come"
    )


def test_the_days_that_are_told_can_be_fewer_than_those_that_say_what_is_usual(stores: Stores) -> None:
    now = daily(stores, 20, rows=4)
    found = labels(project_of(stores), now, days=3)
    assert [day.day for day in found.days] == ["2013-03-18", "2013-03-19", "2013-03-20"]
    assert (found.rows, found.coverage) == (80, 1.0)


def test_what_was_known_at_a_moment_is_told_as_it_was_then(stores: Stores) -> None:
    score(stores.log, ["a", "b"], [NOW - 5 * DAY, NOW - 5 * DAY])
    stores.log.append_labels(["a"], [1], known_at=NOW - DAY)
    before = labels(project_of(stores), NOW - 2 * DAY)
    stores.log.append_labels(["b"], [1], known_at=NOW)
    assert labels(project_of(stores), NOW - 2 * DAY).labelled == before.labelled == 0
    assert labels(project_of(stores), NOW - DAY).labelled == 1
    assert labels(project_of(stores), NOW).labelled == 2


def test_labels_are_counted_by_what_they_say_beside_the_others(stores: Stores) -> None:
    log, at = stores.log, NOW - DAY
    score(log, ["a", "b", "c"], [at] * 3, keys=["x", None, None])
    moment = np.array(["2013-02-01"] * 2, "datetime64[us]")
    log.append_labels(["a", "b"], [1, 1], known_at=at - DAY)
    log.append_labels(["a"], [1], known_at=at)  # again
    log.append_labels(["a"], [0], known_at=at)  # a correction
    log.append_labels(["c", "c"], [0, 1], known_at=at, moments=moment)  # a conflict
    log.take_labels([ArrivingLabel("x", 1, microseconds(at), keyed=True)])
    log.take_labels([ArrivingLabel("lost", 1, microseconds(at), keyed=True)])
    log.append_labels(["gone"], [1], known_at=at - DAY)
    found = labels(project_of(stores), NOW)
    assert (found.labels, found.again, found.corrected, found.conflicts, found.early) == (9, 1, 1, 1, 2)
    assert (found.unknown, found.unknown_examples) == (2, ("gone", "lost"))
    assert found.unknown_since == (at - DAY).isoformat()
    assert "2 labels fit no row, the oldest since 2013-02-27T00:00: gone, lost" in found.lines()[2]


def test_labels_that_the_target_cannot_take_are_told(stores: Stores) -> None:
    version = versions.write_version(stores.project.folder / "version", "regression")
    score(stores.log, ["a", "b"], [NOW - DAY] * 2)
    stores.log.append_labels(["a", "b", "a"], [1, 0, 1], known_at=NOW)
    object.__setattr__(stores, "registry", Served(version))
    assert labels(project_of(stores), NOW + DAY).unusable == 0
    stores.log.append_labels(["a", "b", "b"], ["perhaps", "many", "many"], known_at=NOW)
    found = labels(project_of(stores), NOW + DAY)
    assert found.unusable == 3
    assert "3 labels are none that the target can take" in found.lines()


def test_of_an_empty_log_it_is_said_that_there_are_no_rows(stores: Stores) -> None:
    found = labels(project_of(stores), NOW)
    assert found.lines() == [f"{stores.project.name}: no row was scored from 2012-12-01 to 2013-03-01"]
    assert '"coverage": null' in to_json(found)


# --- silence ---


def daily(stores: Stores, days: int, *, rows: int = 40, until: int | None = None) -> datetime:
    """Rows of each day with labels two days later; until: the day from which on no label comes."""
    for day in range(days):
        at = NOW + day * DAY
        ids = [f"{day}-{row}" for row in range(rows)]
        score(stores.log, ids, [at + row * DAY / rows for row in range(rows)])
        if until is None or day + 2 < until:
            stores.log.append_labels(ids, np.ones(rows), known_at=at + 2 * DAY)
    return NOW + days * DAY


def watch_labels(stores: Stores, now: datetime) -> Any:
    return tell(stores, now).labels


def alerts(stores: Stores) -> list[str]:
    return [event.payload["kind"] for event in stores.log.events(kind="alert")]


def test_labels_that_stop_give_one_alert_for_the_outage(stores: Stores) -> None:
    now = daily(stores, 30, until=25)
    assert watch_labels(stores, now - 4 * DAY) is None
    first, second = watch_labels(stores, now), watch_labels(stores, now + timedelta(hours=1))
    assert first is not None
    assert second is not None
    assert alerts(stores) == [STOPPED]
    found = labels(project_of(stores), now)
    assert found.failed
    assert found.coverage == 1.0  # what is usual is known from before the outage
    assert found.expected == found.rows - found.labelled
    assert found.lines()[-1].startswith("labels have stopped: no label for 6.0 days, while about")


def test_labels_that_come_give_no_alert(stores: Stores) -> None:
    now = daily(stores, 25)
    assert watch_labels(stores, now) is None
    assert not labels(project_of(stores), now).failed
    assert alerts(stores) == []


def test_an_empty_log_gives_no_alert(stores: Stores) -> None:
    assert watch_labels(stores, NOW) is None


def test_long_times_are_told_in_the_terminal_by_their_newest_days(stores: Stores) -> None:
    now = daily(stores, 30, rows=2)
    lines = labels(project_of(stores), now).lines()
    assert sum(line.startswith("2013-") for line in lines) == 21
    assert lines[-1].split()[:3] == ["2013-03-30", "2", "0"]
    assert "████████████████████" in lines[-10]


# --- a file ---


def test_a_file_is_added_by_the_users_own_key(stores: Stores) -> None:
    score(stores.log, ["a", "b"], [NOW - DAY] * 2, keys=["4711", "4712"])
    path = stores.project.folder / "truth.csv"
    path.write_text("ride,binary\n4711,1\n4713,0\n")
    assert add_file(project_of(stores), path).added == 2
    rows = stores.log.predictions(NOW - 2 * DAY, NOW)
    np.testing.assert_array_equal(rows.labels, [1.0, np.nan])


def test_of_a_regression_only_numbers_are_labels(stores: Stores) -> None:
    version = versions.write_version(stores.project.folder / "version", "regression")
    object.__setattr__(stores, "registry", Served(version))
    path = stores.project.folder / "truth.csv"
    path.write_text("ride,binary\n4711,1\n4713,many\n")
    found = add_file(project_of(stores), path)
    assert (found.added, found.refused) == (1, 1)


# --- from the command line and in the monitor ---


def run(stores: Stores, *words: str) -> int:
    from pipelines.cli import main

    return main(["labels", *words, "--project", str(stores.project.folder), "--quiet"])


def test_the_command_ends_with_1_where_labels_have_stopped(
    stores: Stores, capsys: pytest.CaptureFixture[str]
) -> None:
    now = daily(stores, 30, until=25)
    assert run(stores, "--now", f"{now:%Y-%m-%d}") == 1
    assert "labels have stopped: no label for 6.0 days" in capsys.readouterr().out
    assert run(stores, "--now", f"{now - 4 * DAY:%Y-%m-%d}", "--days", "2") == 0


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("ride,binary\n1,1\n", 0, "1 rows, 1 labels added by key"),
        ("ride,binary\n1,1\n,0\n", 1, "row 2: ride is missing"),
        ("rode,binary\n1,1\n", 2, "neither id nor ride"),
    ],
)
def test_the_command_ends_as_the_file_was(
    stores: Stores, capsys: pytest.CaptureFixture[str], text: str, code: int, said: str
) -> None:
    path = stores.project.folder / "truth.csv"
    path.write_text(text)
    assert run(stores, str(path)) == code
    told = capsys.readouterr()
    assert said in told.out + told.err


def test_the_monitor_says_that_labels_have_stopped(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines import steps

    monkeypatch.setattr(steps, "open_stores", lambda _: stores)
    monkeypatch.setattr(steps, "monitor_stores", lambda *_: steps.MonitorResult((), "keep", ()))
    now = daily(stores, 30, until=25)
    assert steps.monitor(stores.project, now - 4 * DAY).labels_stopped is None
    lines = steps.monitor(stores.project, now).lines()
    assert lines[-2].startswith("labels have stopped: no label for 6.0 days")
    assert lines[-1].endswith("labels have stopped since 2013-03-25 00:00 UTC")
    assert alerts(stores) == [STOPPED]
